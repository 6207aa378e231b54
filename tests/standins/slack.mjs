// slack.mjs - a stand-in for Slack on one local port: users.info, users.lookupByEmail, conversations.open, chat.postMessage, incoming webhooks. It checks the token, methods,
// content types, fields and escaping, fails as Slack does ({ok: false, error} with 200; 429 with Retry-After; plain words for webhooks), keeps to one message a
// second and channel when told to, and records every call and message.
//
//   const slack = await Slack.start();
//   slack.users.set('U1', {id: 'U1', ...});  slack.channels.add('C1');  slack.fail('chat.postMessage', {status: 429, headers: {'Retry-After': '1'}});
//   slack.messages -> [{channel, users, text, at}]        slack.event(secret, {...}) -> {headers, body} signed as Slack signs
//
// As a program (`node slack.mjs`): the address on standard output, then each call as a line of JSON; a line of standard input is {"set": {"users": [...],
// "channels": [...], "pace_ms": n}} or {"fail": "<method>", ...}. It ends with its standard input.
import { createHmac } from 'node:crypto';
import http from 'node:http';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';

export const TOKEN = 'xoxb-stand-in-token';
export const SIGNING_SECRET = '8f742231b10e8888abcd99yyyzzz85a5';

export const user = (id, email, more = {}) => ({
  id,
  name: id.toLowerCase(),
  deleted: false,
  is_bot: false,
  real_name: `Person ${id}`,
  ...more,
  profile: { email, display_name: '', real_name: `Person ${id}`, image_24: null, ...more.profile },
});

const GROUP_MAX = 8;

export class Slack {
  users = new Map();
  channels = new Set(); // that the bot is in
  conversations = new Map(); // "U1,U2" -> channel
  messages = [];
  calls = [];
  failures = [];
  hooks = new Set(['/services/T1/B1/general', '/services/T1/B1/errors']);
  paceMs = 0;
  last = new Map();
  onCall = () => {};

  static async start() {
    const slack = new Slack();
    slack.server = http.createServer((req, res) => slack.serve(req, res));
    await new Promise((resolve) => slack.server.listen(0, '127.0.0.1', resolve));
    slack.url = `http://127.0.0.1:${slack.server.address().port}`;
    return slack;
  }
  stop() {
    this.server.close();
    this.server.closeAllConnections();
  }

  /** The next good call of the method (or path) is answered so: {status, body, headers, drop, stall}. */
  fail(method, answer) {
    this.failures.push({ method, ...answer });
  }

  /** As Slack posts it. */
  event(event, { secret = SIGNING_SECRET, at = Math.floor(Date.now() / 1000), id = `Ev${Math.random().toString(36).slice(2).toUpperCase()}`, type = 'event_callback', more = {} } = {}) {
    const body = JSON.stringify({ token: 'deprecated', team_id: 'T1', api_app_id: 'A1', type, event_id: id, event_time: at, event, ...more });
    return { body, id, headers: this.sign(body, secret, at) };
  }
  sign(body, secret = SIGNING_SECRET, at = Math.floor(Date.now() / 1000)) {
    const signature = `v0=${createHmac('sha256', secret).update(`v0:${at}:${body}`).digest('hex')}`;
    return { 'Content-Type': 'application/json', 'X-Slack-Request-Timestamp': String(at), 'X-Slack-Signature': signature };
  }

  async serve(req, res) {
    const parts = [];
    for await (const part of req) parts.push(part);
    const raw = Buffer.concat(parts).toString('utf8');
    const url = new URL(req.url, this.url);
    const method = url.pathname.startsWith('/api/') ? url.pathname.slice(5) : url.pathname;
    let [status, body, headers] = url.pathname.startsWith('/services/') ? this.hook(req, url.pathname, raw) : this.api(req, url, method, raw);
    const index = this.failures.findIndex((failure) => failure.method === method);
    const told = index >= 0 ? this.failures.splice(index, 1)[0] : undefined;
    if (told) {
      if (body?.ok === true && method === 'chat.postMessage' && !told.kept) this.messages.pop();
      [status, body, headers] = [told.status ?? 200, told.body ?? { ok: false, error: 'told' }, told.headers];
    }
    const call = { method, status, ok: body?.ok ?? body === 'ok', error: body?.error, query: Object.fromEntries(url.searchParams), body: safeParse(raw), at: Date.now() };
    this.calls.push(call);
    this.onCall(call);
    if (told?.stall) return;
    if (told?.drop) return void req.socket.destroy();
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    res.writeHead(status, { 'Content-Type': typeof body === 'string' ? 'text/html' : 'application/json; charset=utf-8', ...headers }).end(text);
  }

  hook(req, path, raw) {
    if (!this.hooks.has(path)) return [404, 'no_service'];
    if (req.method !== 'POST') return [400, 'invalid_payload'];
    const body = safeParse(raw);
    if (!/^application\/json/.test(req.headers['content-type'] ?? '') || typeof body?.text !== 'string' || !body.text) return [400, 'no_text'];
    const paced = this.paced(path);
    if (paced) return paced;
    this.messages.push({ channel: path, text: body.text, at: Date.now() });
    return [200, 'ok'];
  }

  api(req, url, method, raw) {
    const fail = (error) => [200, { ok: false, error }];
    if (req.headers.authorization !== `Bearer ${TOKEN}`) return fail(req.headers.authorization ? 'invalid_auth' : 'not_authed');
    const methods = { 'users.info': 'GET', 'users.lookupByEmail': 'GET', 'conversations.open': 'POST', 'chat.postMessage': 'POST' };
    if (!methods[method]) return fail('unknown_method');
    if (req.method !== methods[method]) return fail('invalid_post_type');
    if (req.method === 'GET') return this.lookup(url, method, fail);
    if (!/^application\/json; charset=utf-8$/i.test(req.headers['content-type'] ?? '')) return fail('invalid_post_type');
    const body = safeParse(raw);
    if (!body) return fail('invalid_json');
    return method === 'conversations.open' ? this.open(body, fail) : this.post(body, fail);
  }

  lookup(url, method, fail) {
    if (method === 'users.info') {
      const found = this.users.get(url.searchParams.get('user'));
      return found ? [200, { ok: true, user: found }] : fail('user_not_found');
    }
    const email = url.searchParams.get('email');
    if (!email) return fail('invalid_arguments');
    const found = [...this.users.values()].find((one) => one.profile.email?.toLowerCase() === email.toLowerCase());
    return found ? [200, { ok: true, user: found }] : fail('users_not_found');
  }

  open({ users }, fail) {
    const ids = typeof users === 'string' ? users.split(',') : [];
    if (ids.length === 0) return fail('users_list_not_supplied');
    if (ids.length > GROUP_MAX) return fail('too_many_users');
    if (new Set(ids).size !== ids.length) return fail('invalid_user_combination');
    if (!ids.every((id) => this.users.has(id))) return fail('user_not_found');
    const key = [...ids].sort().join(',');
    if (!this.conversations.has(key)) this.conversations.set(key, `${ids.length === 1 ? 'D' : 'G'}0${this.conversations.size + 1}`);
    return [200, { ok: true, no_op: false, channel: { id: this.conversations.get(key) } }];
  }

  post({ channel, text }, fail) {
    if (typeof text !== 'string' || !text) return fail('no_text');
    if ([...text].length > 4000) return fail('msg_too_long');
    if (/&(?!amp;|lt;|gt;)|[<>]/.test(text)) return fail('stand_in_saw_unescaped_text');
    const users = [...this.conversations].find(([, id]) => id === channel)?.[0];
    if (!users && !this.channels.has(channel)) return fail(/^C/.test(channel ?? '') ? 'not_in_channel' : 'channel_not_found');
    const paced = this.paced(channel);
    if (paced) return paced;
    this.messages.push({ channel, users, text, at: Date.now() });
    return [200, { ok: true, channel, ts: '1.000100', message: { type: 'message', text, bot_id: 'B1', blocks: [] } }];
  }

  paced(channel) {
    const now = Date.now();
    if (this.paceMs && now - (this.last.get(channel) ?? 0) < this.paceMs) return [429, { ok: false, error: 'ratelimited' }, { 'Retry-After': '1' }];
    this.last.set(channel, now);
    return undefined;
  }
}

function safeParse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const slack = await Slack.start();
  slack.onCall = (call) => console.log(JSON.stringify(call));
  console.log(slack.url);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { set, fail, ...answer } = JSON.parse(line);
    for (const one of set?.users ?? []) slack.users.set(one.id, user(one.id, one.email, one));
    for (const channel of set?.channels ?? []) slack.channels.add(channel);
    if (set?.pace_ms !== undefined) slack.paceMs = set.pace_ms;
    if (fail) slack.fail(fail, answer);
    console.log('told');
  }
  process.exit(0);
}
