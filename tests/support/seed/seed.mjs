// seed.mjs - people with friends, by COPY, into an empty yard: accounts (schema auth), people, pairs and friends (schema users), and
// the events all of that would have left (outboxes of both). Everybody asked half of the friends and was asked by the other half.
//
//   node tests/support/seed/seed.mjs [--users 10000] [--friends 6] [--seed 1] [--out FILE]
//
// PG_URL (owner) from the environment or .run/env. --out writes {password, people: [{id, handle, email, friends: [ids, newest first]}]}.
// All share one password, `Seed-password-1`. Running it twice with other seeds adds people; the same seed again is refused (same ids).
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { parseArgs } from 'node:util';
import { random } from '../wait.mjs';

export const PASSWORD = 'Seed-password-1';
const HASH = '$argon2id$v=19$m=19456,t=2,p=1$bWFkYW5nIHNlZWQgc2FsdA$y2a0cHvLaFAl+BQL0Q8rxISAj0UBFC2s43thvVT9I6U';

const pad = (n, width) => String(n).padStart(width, '0');

/** The same ids and friends for the same seed. `friends` is even: half asked, half were asked. */
export function plan({ users = 10000, friends = 6, seed = 1, now = Date.now() } = {}) {
  if (friends % 2 || friends >= users) throw new Error('friends: an even number below users');
  const next = random(seed);
  const hex = (digits) => Array.from({ length: digits }, () => Math.floor(next() * 16).toString(16)).join('');
  const uuid = (at) => {
    const time = pad(at.toString(16), 12);
    return `${time.slice(0, 8)}-${time.slice(8)}-7${hex(3)}-${'89ab'[Math.floor(next() * 4)]}${hex(3)}-${hex(12)}`;
  };
  const day = 86400_000;
  const people = Array.from({ length: users }, (_, i) => {
    const at = now - 30 * day + Math.floor((i * 20 * day) / users);
    const handle = `seed${seed}_${pad(i, 6)}`;
    return { id: uuid(at), handle, nickname: `마당${seed} ${pad(i, 6)}`, email: `${handle}@example.test`, at };
  });
  // A ring in random order: everybody asks the next friends / 2, so everybody has exactly `friends`, and no pair twice.
  const ring = people.map((_, i) => i);
  for (let i = users - 1; i > 0; i--) {
    const k = Math.floor(next() * (i + 1));
    [ring[i], ring[k]] = [ring[k], ring[i]];
  }
  const pairs = [];
  for (let i = 0; i < users; i++) {
    for (let step = 1; step <= friends / 2; step++) {
      const asker = people[ring[i]], asked = people[ring[(i + step) % users]];
      pairs.push({ asker, asked, since: now - 9 * day + Math.floor(next() * 8 * day) });
    }
  }
  return { people, pairs, now };
}

/** The password goes by environment: a command line can be read by everybody. */
function psqlOf(url, command, stdin) {
  const open = Object.assign(new URL(url), { password: '' });
  return spawn('psql', ['-qX', '-v', 'ON_ERROR_STOP=1', '-d', open.href, '-c', command], {
    env: { ...process.env, PGPASSWORD: decodeURIComponent(url.password) },
    stdio: [stdin, 'ignore', 'inherit'],
  });
}

/** Streams rows into one COPY. */
async function copy(url, table, columns, rows) {
  const psql = psqlOf(url, `COPY ${table} (${columns.join(', ')}) FROM STDIN`, 'pipe');
  const ended = once(psql, 'exit');
  psql.stdin.on('error', () => {}); // its exit tells more
  const escape = (value) => (value === null ? '\\N' : String(value).replace(/[\\\n\r\t]/g, (c) => ({ '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' })[c]));
  let part = '';
  for (const row of rows) {
    part += `${row.map(escape).join('\t')}\n`;
    if (part.length > 1 << 18) {
      if (!psql.stdin.write(part)) await Promise.race([once(psql.stdin, 'drain'), ended]);
      part = '';
    }
  }
  psql.stdin.end(part);
  const [code] = await ended;
  if (code !== 0) throw new Error(`COPY ${table} failed`);
}

async function run(url, sql) {
  const [code] = await once(psqlOf(url, sql, 'ignore'), 'exit');
  if (code !== 0) throw new Error(`${sql} failed`);
}

const iso = (ms) => new Date(ms).toISOString();
const pieces = (text) => {
  const letters = [...text];
  return letters.slice(1).map((letter, i) => letters[i] + letter);
};
/** A text[] as COPY reads it. */
const array = (items) => `{${items.map((item) => `"${item.replace(/["\\]/g, '\\$&')}"`).join(',')}}`;

function* accountRows({ people }) {
  for (const { id, handle, nickname, email, at } of people) yield [id, email, email, true, handle, nickname, nickname, HASH, 'ko', 'user', iso(at)];
}
function* peopleRows({ people }) {
  for (const { id, handle, nickname, email, at } of people) {
    yield [id, handle, nickname, email, 'user', 'ko', iso(at), 1, handle, nickname, email, array([...new Set([...pieces(nickname), ...pieces(handle)])])];
  }
}
const ordered = ({ asker, asked }) => (asker.id < asked.id ? [asker.id, asked.id] : [asked.id, asker.id]);
function* pairRows({ pairs }) {
  for (const pair of pairs) yield [...ordered(pair), iso(pair.since), 2];
}
function* friendRows({ pairs }) {
  for (const { asker, asked, since } of pairs) {
    yield [asker.id, asked.id, iso(since)];
    yield [asked.id, asker.id, iso(since)];
  }
}
/** As user-svc/person.c has it: FNV-1a of the id. */
function stockPicture(id) {
  let hash = 2166136261;
  for (const c of Buffer.from(id)) hash = Math.imul(hash ^ c, 16777619) >>> 0;
  return `/files/user/stock/${1 + ((hash >>> 8) % 4)}`;
}
const event = (id, kind, now, members) => JSON.stringify({ v: 1, id, at: iso(now), kind, ...members });
function* accountEvents({ people, now }) {
  for (const { id, handle, nickname, email, at } of people) {
    yield ['accounts', id, event(id, 'account', now, { user_id: id, handle, nickname, email, email_verified: true, phone: '', locale: 'ko', role: 'user', verified: true, withdrawn: false, version: 1, created_at: iso(at) })];
  }
}
function* relationEvents({ pairs, now }) {
  for (const pair of pairs) {
    const [a, b] = ordered(pair);
    yield ['relations', `${a}:${b}`, event(a, 'relation', now, { a, b, friend: true, blocked_by: [], version: 2, since: iso(pair.since) })];
  }
}

function* profileEvents({ people, now }) {
  for (const { id } of people) yield ['profiles', id, event(id, 'profile', now, { user_id: id, avatar_url: stockPicture(id), bio: '', location: '', interests: [], version: 0 })];
}
function* userEvents(made) {
  yield* profileEvents(made);
  yield* relationEvents(made);
}

export async function load(pgUrl, made) {
  const url = new URL(pgUrl);
  await copy(url, 'auth.accounts', ['id', 'email', 'email_folded', 'email_verified', 'handle', 'nickname', 'nickname_folded', 'password_hash', 'locale', 'role', 'created_at'], accountRows(made));
  await copy(url, 'users.people', ['user_id', 'handle', 'nickname', 'email', 'role', 'locale', 'created_at', 'account_version', 'handle_folded', 'nickname_folded', 'email_folded', 'grams'], peopleRows(made));
  await copy(url, 'users.pairs', ['a', 'b', 'friends_since', 'version'], pairRows(made));
  await copy(url, 'users.friends', ['user_id', 'friend_id', 'since'], friendRows(made));
  await copy(url, 'auth.outbox', ['topic', 'key', 'payload'], accountEvents(made));
  await copy(url, 'users.outbox', ['topic', 'key', 'payload'], userEvents(made));
  for (const table of ['auth.accounts', 'users.people', 'users.pairs', 'users.friends']) await run(url, `VACUUM ANALYZE ${table}`);
}

/** Each person's friends as GET /api/friends lists them. */
export function lists({ people, pairs }) {
  const friends = new Map(people.map((person) => [person.id, []]));
  for (const { asker, asked, since } of pairs) {
    friends.get(asker.id).push({ id: asked.id, since });
    friends.get(asked.id).push({ id: asker.id, since });
  }
  const order = (x, y) => y.since - x.since || (x.id < y.id ? 1 : -1);
  return people.map(({ id, handle, email }) => ({ id, handle, email, friends: friends.get(id).sort(order).map((friend) => friend.id) }));
}

if (process.argv[1] === import.meta.filename || process.argv[1]?.endsWith('/seed.mjs')) {
  const { values } = parseArgs({ options: { users: { type: 'string', default: '10000' }, friends: { type: 'string', default: '6' }, seed: { type: 'string', default: '1' }, out: { type: 'string' } } });
  const pgUrl = process.env.PG_URL ?? (await import('../stack.mjs')).env.PG_URL;
  const started = performance.now();
  const made = plan({ users: Number(values.users), friends: Number(values.friends), seed: Number(values.seed) });
  await load(pgUrl, made);
  if (values.out) fs.writeFileSync(values.out, JSON.stringify({ password: PASSWORD, people: lists(made) }));
  console.log(`${made.people.length} people, ${made.pairs.length} friendships, ${((performance.now() - started) / 1000).toFixed(1)} s`);
}
