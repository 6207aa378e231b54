// world.mjs - chat-svc alone: two real instances on the real PostgreSQL, Redis and Kafka, a database of their own, and a stand-in for the two
// addresses of auth-svc that every service asks. Tokens are signed here; people and friendships come as events, as in life.
import { execFileSync, spawn } from 'node:child_process';
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { Api, request } from '../support/http.mjs';
import { buildDir, env, pidOf } from '../support/stack.mjs';
import { eventually } from '../support/wait.mjs';

pg.types.setTypeParser(20, Number);

export const EVERYBODY = '00000000-0000-7000-8000-000000000001'; // the room of the first migration

/** UUIDv7 of a moment: ids that are older than a minute are not waited for. */
export function uuid(at = Date.now()) {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(at, 0, 6);
  bytes[6] = 0x70 | (bytes[6] & 0x0f);
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
export const oldUuid = () => uuid(Date.now() - 3600_000);
let clients = 0;
export const clientId = () => `c-${process.pid}-${++clients}`;

const freePort = () =>
  new Promise((resolve, reject) => {
    const server = net.createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

// ---- the stand-in for auth-svc ----

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

class Auth {
  constructor() {
    this.kid = `test-${randomBytes(6).toString('hex')}`;
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.privateKey = privateKey;
    this.jwk = { ...publicKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: this.kid };
    this.ended = []; // of GET /internal/revoked
  }
  async start() {
    this.server = http.createServer((req, res) => {
      const url = new URL(req.url, 'http://auth');
      const after = Number(url.searchParams.get('after') ?? 0);
      const replies = {
        '/.well-known/jwks.json': { keys: [this.jwk] },
        '/internal/revoked': { last: this.ended.length, sessions: this.ended.filter(({ n }) => n > after), users: [], more: false },
      };
      const reply = replies[url.pathname];
      res.writeHead(reply ? 200 : 404, { 'Content-Type': 'application/json' }).end(JSON.stringify(reply ?? {}));
    });
    await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${this.server.address().port}`;
  }
  token(person, claims = {}) {
    const now = Math.floor(Date.now() / 1000);
    const body = {
      iss: 'madang', aud: 'madang', sub: person.id, sid: person.sid, role: person.role, rv: 1, handle: person.handle, name: person.nickname, iat: now, exp: now + 900, ...claims,
    };
    const input = `${base64url({ alg: 'ES256', typ: 'JWT', kid: this.kid })}.${base64url(body)}`;
    return `${input}.${sign('sha256', Buffer.from(input), { key: this.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  }
  ticket(person) {
    return this.token(person, { aud: 'ticket', jti: uuid(), exp: Math.floor(Date.now() / 1000) + 30 });
  }
  endSession(sid) {
    this.ended.push({ n: this.ended.length + 1, sid, until: Date.now() + 400_000 });
  }
  stop() {
    this.server.close();
    this.server.closeAllConnections();
  }
}

// ---- the database ----

const inDatabase = (url, database) => Object.assign(new URL(url), { pathname: `/${database}` }).href;

async function asOwner(work, database = new URL(env.PG_URL).pathname.slice(1)) {
  const client = new pg.Client({ connectionString: inDatabase(env.PG_URL, database) });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

async function createDatabase(name) {
  const role = new URL(env.CHAT_DB_URL).username;
  await asOwner((client) => client.query(`CREATE DATABASE ${name} TEMPLATE template0 LC_CTYPE 'C.UTF-8' LC_COLLATE 'C' ENCODING 'UTF8'`));
  await asOwner(async (client) => {
    await client.query(`REVOKE ALL ON DATABASE ${name} FROM PUBLIC; GRANT CONNECT ON DATABASE ${name} TO ${role}`);
    await client.query(`REVOKE ALL ON SCHEMA public FROM PUBLIC; CREATE SCHEMA chat AUTHORIZATION ${role}`);
  }, name);
}

// ---- one instance ----

class Instance {
  constructor(world, n) {
    this.world = world;
    this.n = n;
  }
  async start() {
    this.ports ??= { http: await freePort(), admin: await freePort(), ws: await freePort() };
    const { http: port, admin, ws } = this.ports;
    this.url = `http://127.0.0.1:${port}`;
    this.admin = `http://127.0.0.1:${admin}`;
    this.wsUrl = `ws://127.0.0.1:${ws}/ws/chat`;
    this.log = '';
    const { world } = this;
    this.child = spawn(path.join(buildDir, 'bin/chat-svc'), [], {
      env: {
        PATH: process.env.PATH, ASAN_OPTIONS: process.env.ASAN_OPTIONS ?? '', TSAN_OPTIONS: process.env.TSAN_OPTIONS ?? '',
        CHAT_DB_URL: inDatabase(env.CHAT_DB_URL, world.name), REDIS_URL: env.REDIS_URL, KAFKA_BROKERS: env.KAFKA_BROKERS, AUTH_URL: world.authUrl,
        LISTEN: `127.0.0.1:${port}`, ADMIN_LISTEN: `127.0.0.1:${admin}`, WS_LISTEN: `127.0.0.1:${ws}`, INSTANCE: `chat-svc-test-${this.n}`, INSTANCE_SLOT: String(this.n),
        DRAIN_SECONDS: '0', DATA_DIR: world.folder, FILES_SECRET: 'only-for-this-test-0123456789abcdef', LOG_LEVEL: 'info', PROFILE: 'dev', ...world.settings,
      },
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    const { child } = this;
    child.stderr.on('data', (part) => (this.log = (this.log + part).slice(-200000)));
    this.exited = new Promise((resolve) => child.on('exit', (code, signal) => resolve(code ?? signal)));
  }
  async ready() {
    await eventually(40000, async () => {
      if (this.child.exitCode !== null) throw new Error('it ended');
      return (await request('GET', `${this.admin}/readyz`)).status === 200;
    }, `chat-svc ${this.n} is ready`).catch((error) => {
      throw new Error(`${error.message}\n${this.log}`);
    });
  }
  async kill() {
    this.child.kill('SIGKILL');
    await this.exited;
  }
  async stop() {
    if (this.child.exitCode !== null || this.child.signalCode) return undefined;
    this.child.kill('SIGTERM');
    const code = await this.exited;
    return code === 0 ? undefined : `chat-svc ${this.n} ended with ${code}: ${this.log.slice(-4000)}`;
  }
}

// ---- the world ----

let names = 0;

export class World {
  /** `count` instances with these settings. */
  async start(settings = {}, count = 2) {
    if (pidOf('chat-svc-1')) throw new Error('a chat-svc of this stack runs: it would share its topics with this test (make down; make stores)');
    this.name = `t_chat_${process.pid}`;
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'madang-chat-'));
    this.auth = new Auth();
    this.authUrl = await this.auth.start();
    await createDatabase(this.name);
    this.pool = new pg.Pool({ connectionString: inDatabase(env.PG_URL, this.name), max: 4, options: '-c search_path=chat' });
    this.pool.on('error', () => {});
    this.settings = settings;
    this.instances = Array.from({ length: count }, (_, i) => new Instance(this, i + 1));
    for (const instance of this.instances) await instance.start();
    for (const instance of this.instances) await instance.ready();
    return this;
  }

  async stop() {
    const complaints = (await Promise.all((this.instances ?? []).map((instance) => instance.stop()))).filter(Boolean);
    await this.pool?.end();
    this.auth.stop();
    await asOwner((client) => client.query(`DROP DATABASE IF EXISTS ${this.name} WITH (FORCE)`));
    fs.rmSync(this.folder, { recursive: true });
    if (complaints.length) throw new Error(complaints.join('\n'));
  }

  async sql(text, values = []) {
    return (await this.pool.query(text, values)).rows;
  }
  async one(text, values = []) {
    return Object.values((await this.sql(text, values))[0] ?? {})[0];
  }

  // ---- people ----

  /** Names nobody has; nothing is told to the daemons. `api` talks to the first instance, `other` to the last. */
  stranger(more = {}) {
    const handle = `c${process.pid}.${++names}`;
    const person = { id: oldUuid(), sid: uuid(), handle, nickname: handle, role: 'user', version: 1, ...more };
    person.token = this.auth.token(person);
    person.api = new Api(this.instances[0].url, person.token);
    person.other = new Api(this.instances.at(-1).url, person.token);
    return person;
  }
  account(person, more = {}) {
    return {
      v: 1, id: uuid(), at: new Date().toISOString(), kind: 'account', user_id: person.id, handle: person.handle, nickname: person.nickname, email: `${person.handle}@example.test`,
      email_verified: true, phone: '', locale: 'ko', role: person.role, verified: true, withdrawn: false, version: person.version, created_at: '2026-01-02T03:04:05.678Z', ...more,
    };
  }
  relation(one, two, more = {}) {
    const [a, b] = [one.id, two.id].sort();
    this.versions ??= new Map();
    const version = (this.versions.get(a + b) ?? 0) + 1;
    this.versions.set(a + b, version);
    return { v: 1, id: uuid(), at: new Date().toISOString(), kind: 'relation', a, b, friend: true, blocked_by: [], version, since: new Date().toISOString(), ...more };
  }

  /** Records on a topic, in this order: [[key, value], ...]. */
  publish(topic, records) {
    const lines = records.map(([key, value]) => `${key}\t${JSON.stringify(value)}`).join('\n');
    execFileSync('kcat', ['-P', '-b', env.KAFKA_BROKERS, '-t', topic, '-K', '\t', '-X', 'topic.partitioner=murmur2_random', '-X', 'acks=all'], { input: `${lines}\n`, timeout: 20000 });
  }
  tellAccounts(people, more = {}) {
    this.publish('accounts', people.map((person) => [person.id, this.account(person, more)]));
  }
  tellRelations(relations) {
    this.publish('relations', relations.map((relation) => [`${relation.a}:${relation.b}`, relation]));
  }

  /** People whose accounts have arrived. */
  async people(count, more = {}) {
    const people = Array.from({ length: count }, (_, i) => this.stranger(typeof more === 'function' ? more(i) : more));
    this.tellAccounts(people);
    await eventually(15000, async () => (await this.one('SELECT count(*) FROM people WHERE user_id = ANY ($1) AND account_version > 0', [people.map(({ id }) => id)])) === count, 'the accounts are copied');
    return people;
  }
  /** A relation of two, once it is copied. */
  async relate(one, two, more = {}) {
    const relation = this.relation(one, two, more);
    this.tellRelations([relation]);
    await this.copied([relation]);
  }
  copied(relations) {
    return eventually(15000, async () => {
      const rows = await this.sql('SELECT count(*)::int AS n FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS x (a, b, v) JOIN relations r ON r.a = x.a AND r.b = x.b AND r.version >= x.v', [
        relations.map(({ a }) => a), relations.map(({ b }) => b), relations.map(({ version }) => version),
      ]);
      return rows[0].n === relations.length;
    }, 'the relations are copied');
  }
  /** People who are all friends of each other. */
  async friends(count, more = {}) {
    const people = await this.people(count, more);
    const relations = people.flatMap((one, i) => people.slice(i + 1).map((two) => this.relation(one, two)));
    this.tellRelations(relations);
    await this.copied(relations);
    return people;
  }

  // ---- rooms ----

  async dm(one, two) {
    const reply = await one.api.post('/api/chat/rooms', { kind: 'dm', user_id: two.id });
    if (![200, 201].includes(reply.status)) throw new Error(`dm: ${reply.status} ${reply.text}`);
    return reply.json;
  }
  async group(creator, others, title) {
    const reply = await creator.api.post('/api/chat/rooms', { kind: 'group', user_ids: others.map(({ id }) => id), ...(title && { title }) });
    if (reply.status !== 201) throw new Error(`group: ${reply.status} ${reply.text}`);
    return reply.json;
  }
  /** A message that was taken; its JSON. */
  async say(person, room, content = 'hello', more = {}) {
    const reply = await person.api.post(`/api/chat/rooms/${room.id ?? room}/messages`, { client_id: clientId(), content, ...more });
    if (reply.status !== 201) throw new Error(`say: ${reply.status} ${reply.text}`);
    return reply.json;
  }
}

/** Every item of a list, page by page; checks each page's size. */
export async function all(api, where, limit = 100) {
  const items = [];
  for (let cursor = ''; cursor !== null; ) {
    const reply = await api.get(`${where}${where.includes('?') ? '&' : '?'}limit=${limit}${cursor && `&cursor=${cursor}`}`);
    if (reply.status !== 200 || reply.json.items.length > limit) throw new Error(reply.text);
    items.push(...reply.json.items);
    cursor = reply.json.next_cursor;
  }
  return items;
}
