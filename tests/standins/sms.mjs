// sms.mjs - stand-ins for Solapi and Naver SENS on one local port. They verify signatures for real and fail in the providers' forms: wrong method, path, content
// type, time, signature, a missing field, a text that is too long for its type. Every call is recorded.
//
//   const sms = await Sms.start();       sms.url, sms.calls, sms.next(...)
//
// As a program (`node sms.mjs`): the address on standard output, then each call as a line of JSON; a line of standard input is one next(): {"times", "status", "body",
// "headers", "drop", "stall"}. It ends with its standard input.
import { createHmac, timingSafeEqual } from 'node:crypto';
import http from 'node:http';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';

export const SOLAPI = { key: 'NCSAYU7YDBXYORXC', secret: 'solapi secret /+', from: '0212345678' };
export const SENS = { service: 'ncp:sms:kr:123456789012:madang', key: 'sens-access', secret: 'sens secret /+', from: '0212345678' };
const MINUTES_15 = 15 * 60_000;
const MINUTES_5 = 5 * 60_000;

const same = (a, b) => Buffer.byteLength(a) === Buffer.byteLength(b) && timingSafeEqual(Buffer.from(a), Buffer.from(b));
/** Bytes in EUC-KR: all it has beyond ASCII takes two. */
const bytes = (text) => [...text].reduce((sum, letter) => sum + (letter.codePointAt(0) < 128 ? 1 : 2), 0);
const isNumber = (text) => typeof text === 'string' && /^0\d{8,10}$/.test(text);

/** What is wrong with a message of either provider: a word, or undefined. */
function wrongText({ type, text, subject }) {
  if (typeof text !== 'string' || !text) return 'EmptyText';
  if (!['SMS', 'LMS'].includes(type)) return 'BadType';
  if (bytes(text) > (type === 'SMS' ? 90 : 2000)) return 'TooLong';
  if (subject !== undefined && (type === 'SMS' || bytes(subject) > 40)) return 'BadSubject';
  return undefined;
}

const only = (object, names) => Object.keys(object).every((name) => names.includes(name));

function solapi(req, body) {
  const fail = (status, errorCode) => [status, { errorCode, errorMessage: `${errorCode}.` }];
  const auth = /^HMAC-SHA256 apiKey=([^,]+), date=([^,]+), salt=([^,]+), signature=([0-9a-f]{64})$/.exec(req.headers.authorization ?? '');
  if (!auth) return fail(401, 'Unauthorized');
  const [, key, date, salt, signature] = auth;
  if (key !== SOLAPI.key) return fail(403, 'InvalidAPIKey');
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(date) || Math.abs(Date.now() - Date.parse(date)) > MINUTES_15) return fail(403, 'RequestTimeTooSkewed');
  if (salt.length < 12 || salt.length > 64) return fail(400, 'InvalidSalt');
  if (!same(createHmac('sha256', SOLAPI.secret).update(date + salt).digest('hex'), signature)) return fail(403, 'SignatureDoesNotMatch');
  if (!Array.isArray(body.messages) || body.messages.length !== 1 || !only(body, ['messages', 'allowDuplicates', 'showMessageList'])) return fail(400, 'ValidationError');
  const [message] = body.messages;
  if (!only(message, ['to', 'from', 'text', 'subject', 'type'])) return fail(400, 'ValidationError');
  const wrong = wrongText(message);
  if (wrong) return fail(400, wrong);
  const failed = [];
  if (message.from !== SOLAPI.from) failed.push({ to: message.to, from: message.from, statusCode: '1062', statusMessage: '발신번호 미등록' });
  else if (!isNumber(message.to)) failed.push({ to: message.to, from: message.from, statusCode: '1061', statusMessage: '수신번호 오류' });
  return [200, { failedMessageList: failed, groupInfo: { groupId: 'G4V20260101000000', count: { total: 1, registeredFailed: failed.length, registeredSuccess: 1 - failed.length } } }];
}

function sens(req, body, path) {
  const fail = (status, errorCode) => [status, { status, errorCode: String(errorCode), errorMessage: 'refused' }];
  const { 'x-ncp-apigw-timestamp': at, 'x-ncp-iam-access-key': key, 'x-ncp-apigw-signature-v2': signature } = req.headers;
  if (!at || !key || !signature) return fail(401, 'AuthFailed');
  if (!/^\d{13}$/.test(at) || Math.abs(Date.now() - Number(at)) > MINUTES_5) return fail(401, 'Expired');
  if (key !== SENS.key || !same(createHmac('sha256', SENS.secret).update(`POST ${path}\n${at}\n${key}`).digest('base64'), signature)) return fail(401, 'AuthFailed');
  if (!only(body, ['type', 'contentType', 'countryCode', 'from', 'subject', 'content', 'messages'])) return fail(400, 'BadRequest');
  if (body.contentType !== 'COMM' || body.countryCode !== '82') return fail(400, 'BadRequest');
  if (!Array.isArray(body.messages) || body.messages.length !== 1 || !isNumber(body.messages[0].to)) return fail(400, 'BadRequest');
  if (body.from !== SENS.from) return fail(403, 'NotRegisteredSender');
  const wrong = wrongText({ type: body.type, text: body.content, subject: body.subject });
  if (wrong) return fail(400, wrong);
  return [202, { requestId: 'VORSSA-1', requestTime: new Date().toISOString(), statusCode: '202', statusName: 'success' }];
}

const ROUTES = new Map([
  ['/messages/v4/send-many/detail', solapi],
  [`/sms/v2/services/${SENS.service}/messages`, sens],
]);

export class Sms {
  calls = []; // {provider, status, body}
  told = [];
  onCall = () => {};

  /** The next answers: `times` of them are {status, body, headers}, or none at all ("drop": the connection is cut; "stall": silence). */
  next(answer) {
    for (let i = 0; i < (answer.times ?? 1); i++) this.told.push(answer);
  }

  static async start() {
    const sms = new Sms();
    sms.server = http.createServer((req, res) => sms.serve(req, res));
    await new Promise((resolve) => sms.server.listen(0, '127.0.0.1', resolve));
    sms.url = `http://127.0.0.1:${sms.server.address().port}`;
    return sms;
  }
  stop() {
    this.server.close();
    this.server.closeAllConnections();
  }

  async serve(req, res) {
    const parts = [];
    for await (const part of req) parts.push(part);
    const path = new URL(req.url, 'http://sms').pathname;
    const route = ROUTES.get(path);
    let body;
    let answer;
    try {
      body = JSON.parse(Buffer.concat(parts).toString('utf8'));
    } catch {
      answer = [400, { errorCode: 'ValidationError' }];
    }
    if (!route) answer = [404, { errorCode: 'NotFound' }];
    else if (req.method !== 'POST') answer = [405, { errorCode: 'MethodNotAllowed' }];
    else if (!/^application\/json; charset=utf-8$/i.test(req.headers['content-type'] ?? '')) answer = [415, { errorCode: 'UnsupportedMediaType' }];
    answer ??= route(req, body, path);
    const good = answer[0] < 300;
    const told = good ? this.told.shift() : undefined; // what is wrong stays wrong, whatever was told
    if (told) answer = [told.status, told.body ?? {}];
    this.record({ provider: route?.name, status: answer[0] ?? 0, good, body });
    if (told?.stall) return;
    if (told?.drop) return void req.socket.destroy();
    const text = typeof answer[1] === 'string' ? answer[1] : JSON.stringify(answer[1]);
    res.writeHead(answer[0], { 'Content-Type': 'application/json', ...told?.headers }).end(text);
  }
  record(call) {
    this.calls.push(call);
    this.onCall(call);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const sms = await Sms.start();
  sms.onCall = (call) => console.log(JSON.stringify(call));
  console.log(sms.url);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    sms.next(JSON.parse(line));
    console.log('told');
  }
  process.exit(0);
}
