// people.mjs - users made through the public door.
import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { Api } from './http.mjs';
import { env } from './stack.mjs';
import { eventually } from './wait.mjs';

const run = randomBytes(4).readUInt32BE();
let count = 0;

/** Names nobody has. Digits only after the first letter: no word list objects. */
export function names(prefix = 'p') {
  const tail = `${run}${String(++count).padStart(4, '0')}`;
  return {
    email: `${prefix}${tail}@example.test`,
    handle: `${prefix}${tail}`,
    nickname: `${prefix}${tail}`,
    password: `Yard-${randomInt(1e9)}-a1`,
  };
}

/** A user without a session: {id, email, handle, nickname, password, user}. */
export async function signUp({ base = env.GATEWAY_URL, prefix, ...more } = {}) {
  const wish = { ...names(prefix), ...more };
  const reply = await new Api(base).post('/api/auth/signup', wish);
  assert.equal(reply.status, 201, `sign-up: ${reply.text}`);
  return { ...wish, id: reply.json.user.id, user: reply.json.user };
}

/** A session of a user: {access, refresh, sid, api}. */
export async function logIn(person, { base = env.GATEWAY_URL, ...more } = {}) {
  const reply = await new Api(base).post('/api/auth/login', { login: person.email, password: person.password, ...more });
  assert.equal(reply.status, 200, `log-in: ${reply.text}`);
  return sessionOf(reply.json, base);
}

export function sessionOf(tokens, base = env.GATEWAY_URL) {
  return {
    access: tokens.access_token,
    refresh: tokens.refresh_token,
    sid: tokens.session_id,
    user: tokens.user,
    api: new Api(base, tokens.access_token),
  };
}

/** A row of the whole stack's database. Who only wants names needs no driver. */
const one = async (text, values) => (await import('./db.mjs')).one(text, values);

/** A user with a session, both in one object; the services that keep copies of accounts know it. */
export async function newcomer(options = {}) {
  const person = await signUp(options);
  const session = await logIn(person, { base: options.base });
  await eventually(20000, () => one('SELECT 1 FROM users.people u JOIN chat.people c USING (user_id) WHERE u.user_id = $1 AND u.account_version > 0 AND c.account_version > 0', [person.id]), 'the account is copied');
  return { ...person, ...session };
}

export const crowd = (n, options) => Promise.all(Array.from({ length: n }, () => newcomer(options)));

export async function befriend(a, b) {
  assert.equal((await a.api.put(`/api/friends/requests/${b.id}`)).status, 201);
  assert.equal((await b.api.post(`/api/friends/requests/${a.id}/accept`)).status, 200);
  await eventually(20000, () => one('SELECT 1 FROM chat.relations WHERE a = least($1::uuid, $2::uuid) AND b = greatest($1::uuid, $2::uuid) AND friend', [a.id, b.id]), 'the friendship is copied');
}

/** Every item of a list, page by page; checks each page's size. */
export async function all(api, path, limit = 100) {
  const items = [];
  for (let cursor = ''; cursor !== null; ) {
    const reply = await api.get(`${path}${path.includes('?') ? '&' : '?'}limit=${limit}${cursor && `&cursor=${cursor}`}`);
    assert.ok(reply.status === 200 && reply.json.items.length <= limit, reply.text);
    items.push(...reply.json.items);
    cursor = reply.json.next_cursor;
  }
  return items;
}

/** The claims of a token, unchecked. */
export const claims = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
