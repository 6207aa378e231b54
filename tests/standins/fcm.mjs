// fcm.mjs - a stand-in for FCM HTTP v1 and its token endpoint: HTTP/2 over TLS. It checks what the real ones check (the assertion's signature and
// claims, method, path, content type, access token, every field of the message) and fails in FCM's form. Calls are recorded in `sends` and `grants`.
//
//   const fcm = await Fcm.start(certificate(folder));
//   fcm.credentials                               // the service account's JSON
//   fcm.answers.set(token, [unregistered]);       // what the next sends to this token get; after the last one: 200
//   fcm.every = () => quota({ retryAfter: 1 });   // what all get, when it returns something
//   fcm.goAway();                                 // GOAWAY on every connection
import { createVerify, generateKeyPairSync, randomBytes } from 'node:crypto';
import http2 from 'node:http2';

const FCM_ERROR = 'type.googleapis.com/google.firebase.fcm.v1.FcmError';
const BAD_REQUEST = 'type.googleapis.com/google.rpc.BadRequest';
const QUOTA_FAILURE = 'type.googleapis.com/google.rpc.QuotaFailure';

/** An answer in FCM's error form. */
export function failure(status, name, { errorCode, message = name, details = [], retryAfter } = {}) {
  const all = errorCode ? [{ '@type': FCM_ERROR, errorCode }, ...details] : details;
  return { status, headers: retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }, body: { error: { code: status, message, status: name, details: all } } };
}
export const unregistered = failure(404, 'NOT_FOUND', { errorCode: 'UNREGISTERED', message: 'Requested entity was not found.' });
export const invalidToken = failure(400, 'INVALID_ARGUMENT', { errorCode: 'INVALID_ARGUMENT', message: 'The registration token is not a valid FCM registration token' });
export const badRequest = (field, description) =>
  failure(400, 'INVALID_ARGUMENT', { message: `Invalid value at '${field}'`, details: [{ '@type': BAD_REQUEST, fieldViolations: [{ field, description }] }] });
export const senderMismatch = failure(403, 'PERMISSION_DENIED', { errorCode: 'SENDER_ID_MISMATCH', message: 'SenderId mismatch' });
export const thirdPartyAuth = failure(401, 'UNAUTHENTICATED', { errorCode: 'THIRD_PARTY_AUTH_ERROR', message: 'Auth error from APNS or Web Push Service' });
export const unauthenticated = failure(401, 'UNAUTHENTICATED', { message: 'Request had invalid authentication credentials.' });
export const quota = ({ retryAfter, of = 'project' } = {}) =>
  failure(429, 'RESOURCE_EXHAUSTED', {
    errorCode: 'QUOTA_EXCEEDED', message: 'Quota exceeded.', retryAfter,
    details: [{ '@type': QUOTA_FAILURE, violations: [{ subject: of, description: `Message rate quota of the ${of} exceeded.` }] }],
  });
export const unavailable = ({ retryAfter } = {}) => failure(503, 'UNAVAILABLE', { errorCode: 'UNAVAILABLE', message: 'The service is currently unavailable.', retryAfter });
export const internal = failure(500, 'INTERNAL', { errorCode: 'INTERNAL', message: 'Internal error encountered.' });
/** No answer at all: the stream is reset, or stays silent. */
export const reset = { reset: true };
export const silence = { silence: true };

const isText = (value) => typeof value === 'string';
const isTexts = (value) => value && typeof value === 'object' && Object.values(value).every(isText);
const RESERVED = /^(from|message_type|collapse_key|google.*|gcm.*)$/i;

/** What is wrong with the fields of a message: [field, why] or undefined. */
function wrongField(body) {
  if (!body || typeof body !== 'object' || Object.keys(body).some((key) => !['message', 'validate_only'].includes(key))) return ['', 'unknown name'];
  const { message } = body;
  if (!message || typeof message !== 'object') return ['message', 'required'];
  const known = ['token', 'notification', 'data', 'android', 'apns', 'webpush'];
  const unknown = Object.keys(message).find((key) => !known.includes(key));
  if (unknown) return [`message.${unknown}`, 'unknown name'];
  if (!isText(message.token) || !message.token) return ['message.token', 'required'];
  const notification = message.notification ?? {};
  for (const [key, value] of Object.entries(notification)) if (!['title', 'body', 'image'].includes(key) || !isText(value)) return [`message.notification.${key}`, 'not a text'];
  for (const [key, value] of Object.entries(message.data ?? {})) {
    if (!isText(value)) return [`message.data[0].value`, 'TYPE_STRING'];
    if (RESERVED.test(key)) return [`message.data.${key}`, 'reserved'];
  }
  const android = message.android ?? {};
  if (Object.keys(android).some((key) => !['priority', 'ttl', 'collapse_key', 'notification'].includes(key))) return ['message.android', 'unknown name'];
  if (android.priority !== undefined && !['NORMAL', 'HIGH'].includes(android.priority)) return ['message.android.priority', 'enum'];
  if (android.ttl !== undefined && !/^\d+(\.\d+)?s$/.test(android.ttl)) return ['message.android.ttl', 'duration'];
  if (android.collapse_key !== undefined && !isText(android.collapse_key)) return ['message.android.collapse_key', 'not a text'];
  const apns = message.apns ?? {};
  if (apns.headers !== undefined && !isTexts(apns.headers)) return ['message.apns.headers', 'not texts'];
  if (Buffer.byteLength(apns.headers?.['apns-collapse-id'] ?? '') > 64) return ['message.apns.headers', 'apns-collapse-id is longer than 64 bytes'];
  if (message.webpush?.headers !== undefined && !isTexts(message.webpush.headers)) return ['message.webpush.headers', 'not texts'];
  const size = Buffer.byteLength(JSON.stringify({ ...message, token: '' }));
  if (size > 4096) return ['message', `payload of ${size} bytes`];
  return undefined;
}

export class Fcm {
  project = 'madang-test';
  kid = randomBytes(20).toString('hex');
  email = 'push@madang-test.iam.example.test';
  sends = []; // {token, message, connection, answer, at}
  grants = []; // {claims, answer}
  refusals = []; // why something was refused that should not have come
  answers = new Map(); // token -> [answer, ...]
  every = undefined; // (message) => answer or undefined
  grantAnswer = undefined; // () => {status, body, headers} instead of a grant
  expiresIn = 3600;
  delay = 0; // ms before each answer
  held = undefined; // a promise: answers wait for it
  connections = 0;
  inFlight = 0;
  mostInFlight = 0;
  record = true;

  static async start(tls, { port = 0, streams = 100 } = {}) {
    const fcm = new Fcm();
    fcm.keys = generateKeyPairSync('rsa', { modulusLength: 2048 });
    fcm.server = http2.createSecureServer({ key: tls.key, cert: tls.cert, settings: { maxConcurrentStreams: streams } });
    fcm.sessions = new Set();
    fcm.server.on('session', (session) => {
      const number = ++fcm.connections;
      fcm.sessions.add(session);
      session.on('close', () => fcm.sessions.delete(session));
      session.on('error', () => {});
      session.on('stream', (stream, headers) => fcm.#stream(stream, headers, number));
    });
    fcm.server.on('tlsClientError', () => {});
    await new Promise((resolve) => fcm.server.listen(port, '127.0.0.1', resolve));
    fcm.url = `https://127.0.0.1:${fcm.server.address().port}`;
    fcm.tokens = new Set();
    fcm.credentials = JSON.stringify({
      type: 'service_account', project_id: fcm.project, private_key_id: fcm.kid, client_email: fcm.email, token_uri: `${fcm.url}/token`,
      private_key: fcm.keys.privateKey.export({ type: 'pkcs8', format: 'pem' }),
    });
    return fcm;
  }

  /** Answers wait until the result is called. */
  hold() {
    let release;
    this.held = new Promise((resolve) => (release = resolve));
    return () => {
      this.held = undefined;
      release();
    };
  }

  stop() {
    for (const session of this.sessions) session.destroy();
    return new Promise((resolve) => this.server.close(resolve));
  }

  /** Every connection: streams that run end, no new ones. */
  goAway() {
    for (const session of this.sessions) {
      session.goaway();
      session.close();
    }
  }
  /** Every connection is gone at once. */
  cut() {
    for (const session of this.sessions) session.destroy();
  }
  /** No access token that was given is good any more. */
  forgetTokens() {
    this.tokens.clear();
  }
  of(token) {
    return this.sends.filter((send) => send.token === token);
  }
  delivered(token) {
    return this.of(token).filter((send) => send.answer.status === 200);
  }

  #stream(stream, headers, connection) {
    const parts = [];
    stream.on('error', () => {});
    stream.on('data', (part) => parts.push(part));
    stream.on('end', () => {
      const body = Buffer.concat(parts).toString('utf8');
      this.mostInFlight = Math.max(this.mostInFlight, ++this.inFlight);
      const answer = headers[':path'] === '/token' ? this.#grant(headers, body) : this.#send(headers, body, connection);
      const reply = () => {
        this.inFlight--;
        this.#reply(stream, answer);
      };
      if (this.held) this.held.then(reply);
      else if (this.delay > 0) setTimeout(reply, this.delay);
      else reply();
    });
  }

  #reply(stream, answer) {
    if (answer.silence || stream.destroyed) return;
    if (answer.reset) {
      stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
      return;
    }
    stream.respond({ ':status': answer.status, 'content-type': 'application/json; charset=UTF-8', ...answer.headers });
    stream.end(typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body));
  }

  #refuse(why, answer) {
    this.refusals.push(why);
    return answer;
  }

  // ---- the token endpoint ----

  #grant(headers, body) {
    const bad = (why) => this.#refuse(`grant: ${why}`, { status: 400, body: { error: 'invalid_grant', error_description: why } });
    const form = new URLSearchParams(body);
    if (headers[':method'] !== 'POST') return this.#refuse('grant: method', { status: 405, body: {} });
    if (!/^application\/x-www-form-urlencoded/.test(headers['content-type'] ?? '')) return bad('content type');
    if (form.get('grant_type') !== 'urn:ietf:params:oauth:grant-type:jwt-bearer') return bad('grant_type');
    const [head, claims, signature] = (form.get('assertion') ?? '').split('.');
    let header, claim;
    try {
      header = JSON.parse(Buffer.from(head, 'base64url'));
      claim = JSON.parse(Buffer.from(claims, 'base64url'));
    } catch {
      return bad('assertion');
    }
    const now = Date.now() / 1000;
    if (header.alg !== 'RS256' || header.kid !== this.kid) return bad('alg or kid');
    if (!createVerify('RSA-SHA256').update(`${head}.${claims}`).verify(this.keys.publicKey, Buffer.from(signature ?? '', 'base64url'))) return bad('signature');
    if (claim.iss !== this.email || claim.aud !== `${this.url}/token`) return bad('iss or aud');
    if (claim.scope !== 'https://www.googleapis.com/auth/firebase.messaging') return bad('scope');
    if (!(claim.iat <= now + 10 && claim.iat > now - 300 && claim.exp > now && claim.exp <= claim.iat + 3600)) return bad('iat or exp');
    const other = this.grantAnswer?.();
    const answer = other ?? { status: 200, body: { access_token: `ya29.${randomBytes(24).toString('base64url')}`, expires_in: this.expiresIn, token_type: 'Bearer' } };
    if (!other) this.tokens.add(answer.body.access_token);
    this.grants.push({ claims: claim, answer });
    return answer;
  }

  // ---- messages:send ----

  #send(headers, text, connection) {
    if (headers[':path'] !== `/v1/projects/${this.project}/messages:send`) return this.#refuse(`path ${headers[':path']}`, failure(404, 'NOT_FOUND'));
    if (headers[':method'] !== 'POST') return this.#refuse('method', failure(405, 'METHOD_NOT_ALLOWED'));
    if (!/^application\/json/.test(headers['content-type'] ?? '')) return this.#refuse('content type', badRequest('', 'content type'));
    let body;
    try {
      body = JSON.parse(text);
    } catch {
      return this.#refuse('JSON', badRequest('', 'not JSON'));
    }
    const token = body?.message?.token;
    const given = /^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1];
    const wrong = wrongField(body);
    if (wrong) this.refusals.push(wrong.join(': '));
    const answer = !this.tokens.has(given)
      ? unauthenticated
      : wrong
        ? badRequest(...wrong)
        : (this.every?.(body.message) ?? this.answers.get(token)?.shift() ?? { status: 200, body: { name: `projects/${this.project}/messages/${this.sends.length + 1}` } });
    if (this.record) this.sends.push({ token, message: body.message, connection, answer, at: Date.now() });
    else this.sends.length++;
    return answer;
  }
}

// As a program (for the benchmark): answers, counts, says its address.
if (process.argv[1] === new URL(import.meta.url).pathname) {
  const { certificate } = await import('./tls.mjs');
  const [, , folder, delay] = process.argv;
  const fcm = await Fcm.start(certificate(folder), { streams: 1000 });
  fcm.record = false;
  fcm.delay = Number(delay ?? 0);
  process.stdout.write(`${JSON.stringify({ url: fcm.url, credentials: fcm.credentials })}\n`);
  process.on('message', () => process.send({ sends: fcm.sends.length, grants: fcm.grants.length, connections: fcm.connections, refusals: fcm.refusals.length }));
}
