// world.mjs - user-svc alone: the real daemon on the real PostgreSQL, Redis and Kafka, a database of its own, and a stand-in for
// the two addresses of auth-svc that every service asks (keys and revocations). Tokens are signed here.
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

/** UUIDv7 of a moment: ids that are older than a minute are not waited for. */
export function uuid(at = Date.now()) {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(at, 0, 6);
  bytes[6] = 0x70 | (bytes[6] & 0x0f);
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
export const oldUuid = () => uuid(Date.now() - 3600_000);

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
  }
  async start() {
    this.server = http.createServer((req, res) => {
      const url = new URL(req.url, 'http://auth');
      const reply = { '/.well-known/jwks.json': { keys: [this.jwk] }, '/internal/revoked': { last: 0, sessions: [], users: [], more: false } }[url.pathname];
      res.writeHead(reply ? 200 : 404, { 'Content-Type': 'application/json' }).end(JSON.stringify(reply ?? {}));
    });
    await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${this.server.address().port}`;
  }
  token(person, claims = {}) {
    const now = Math.floor(Date.now() / 1000);
    const body = { iss: 'madang', aud: 'madang', sub: person.id, sid: uuid(), role: person.role ?? 'user', rv: 1, handle: person.handle, name: person.nickname, iat: now, exp: now + 300, ...claims };
    const input = `${base64url({ alg: 'ES256', typ: 'JWT', kid: this.kid })}.${base64url(body)}`;
    return `${input}.${sign('sha256', Buffer.from(input), { key: this.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  }
  stop() {
    this.server.close();
    this.server.closeAllConnections();
  }
}

// ---- the database ----

const ownerUrl = (database) => Object.assign(new URL(env.PG_URL), { pathname: `/${database}` }).href;
const roleUrl = (database) => Object.assign(new URL(env.USER_DB_URL), { pathname: `/${database}` }).href;

async function asOwner(work, database = new URL(env.PG_URL).pathname.slice(1)) {
  const client = new pg.Client({ connectionString: ownerUrl(database) });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

async function createDatabase(name) {
  const role = new URL(env.USER_DB_URL).username;
  await asOwner((client) => client.query(`CREATE DATABASE ${name} TEMPLATE template0 LC_CTYPE 'C.UTF-8' LC_COLLATE 'C' ENCODING 'UTF8'`));
  await asOwner(async (client) => {
    await client.query(`REVOKE ALL ON DATABASE ${name} FROM PUBLIC; GRANT CONNECT ON DATABASE ${name} TO ${role}`);
    await client.query(`REVOKE ALL ON SCHEMA public FROM PUBLIC; CREATE SCHEMA users AUTHORIZATION ${role}`);
  }, name);
}

// ---- the world ----

let names = 0;

export class World {
  async start(settings = {}) {
    if (pidOf('user-svc-1')) throw new Error('a user-svc of this stack runs: it would share its topics with this test (make down; make stores)');
    this.name = `t_user_${process.pid}`;
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'madang-user-'));
    this.auth = new Auth();
    this.authUrl = await this.auth.start();
    await createDatabase(this.name);
    this.role = roleUrl(this.name);
    this.pool = new pg.Pool({ connectionString: ownerUrl(this.name), max: 4, options: '-c search_path=users' });
    this.pool.on('error', () => {});
    this.settings = settings;
    await this.startDaemon();
    return this;
  }

  async startDaemon() {
    const [port, admin] = [await freePort(), await freePort()];
    this.url = `http://127.0.0.1:${port}`;
    this.admin = `http://127.0.0.1:${admin}`;
    this.log = '';
    this.child = spawn(path.join(buildDir, 'bin/user-svc'), [], {
      env: {
        PATH: process.env.PATH,
        USER_DB_URL: this.role, REDIS_URL: env.REDIS_URL, KAFKA_BROKERS: env.KAFKA_BROKERS, AUTH_URL: this.authUrl,
        LISTEN: `127.0.0.1:${port}`, ADMIN_LISTEN: `127.0.0.1:${admin}`, DRAIN_SECONDS: '0', DATA_DIR: this.folder, FILES_SECRET: 'only-for-this-test-0123456789abcdef',
        PICTURE_GRACE_SECONDS: '0', LOG_LEVEL: 'info', PROFILE: 'dev', ...this.settings,
      },
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    this.child.stderr.on('data', (part) => (this.log = (this.log + part).slice(-100000)));
    this.exited = new Promise((resolve) => this.child.on('exit', (code, signal) => resolve(code ?? signal)));
    await eventually(30000, async () => {
      if (this.child.exitCode !== null) throw new Error(`user-svc ended: ${this.log}`);
      return (await request('GET', `${this.admin}/readyz`)).status === 200;
    }, 'user-svc is ready').catch((error) => {
      throw new Error(`${error.message}\n${this.log}`);
    });
  }

  /** The daemon anew, with other settings; who has an `api` of before gives it the new address (api.base = world.url). */
  async restart(settings = {}) {
    this.child.kill('SIGTERM');
    await this.exited;
    this.settings = settings;
    await this.startDaemon();
  }

  async stop() {
    this.child?.kill('SIGTERM');
    const code = await this.exited;
    await this.pool?.end();
    this.auth.stop();
    await asOwner((client) => client.query(`DROP DATABASE IF EXISTS ${this.name} WITH (FORCE)`));
    fs.rmSync(this.folder, { recursive: true });
    if (code !== 0) throw new Error(`user-svc ended with ${code}: ${this.log}`);
  }

  async sql(text, values = []) {
    return (await this.pool.query(text, values)).rows;
  }
  async one(text, values = []) {
    return Object.values((await this.sql(text, values))[0] ?? {})[0];
  }

  // ---- people ----

  /** Names nobody has; nothing is told to the daemon. With `api` of a token. */
  stranger(more = {}) {
    const handle = `u${process.pid}.${++names}`;
    const person = { id: oldUuid(), handle, nickname: handle, email: `${handle}@example.test`, role: 'user', locale: 'ko', version: 1, ...more };
    person.token = this.auth.token(person);
    person.api = new Api(this.url, person.token);
    return person;
  }

  /** The account's event as auth-svc sends it. */
  account(person, more = {}) {
    return {
      v: 1, id: uuid(), at: new Date().toISOString(), kind: 'account', user_id: person.id, handle: person.handle, nickname: person.nickname, email: person.email,
      email_verified: true, phone: '', locale: person.locale, role: person.role, verified: true, withdrawn: false, version: person.version, created_at: '2026-01-02T03:04:05.678Z', ...more,
    };
  }

  /** Accounts' events on the topic, in this order. */
  publish(events) {
    const lines = events.map((event) => `${event.user_id}\t${JSON.stringify(event)}`).join('\n');
    execFileSync('kcat', ['-P', '-b', env.KAFKA_BROKERS, '-t', 'accounts', '-K', '\t', '-X', 'topic.partitioner=murmur2_random', '-X', 'acks=all'], { input: `${lines}\n`, timeout: 20000 });
  }

  /** People whose events have arrived. */
  async people(count, more = {}) {
    const people = Array.from({ length: count }, (_, i) => this.stranger(typeof more === 'function' ? more(i) : more));
    this.publish(people.map((person) => this.account(person)));
    await eventually(15000, async () => (await this.one('SELECT count(*) FROM people WHERE user_id = ANY ($1) AND account_version > 0', [people.map((person) => person.id)])) === count, 'the accounts are copied');
    return people;
  }

  /** A change of an account, once it is copied. */
  async change(person, more) {
    person.version = more.version ?? person.version + 1;
    this.publish([this.account(person, { version: person.version, ...more })]);
    await eventually(15000, async () => (await this.one('SELECT account_version FROM people WHERE user_id = $1', [person.id])) >= person.version, 'the change is copied');
  }
  withdraw(person) {
    return this.change(person, { withdrawn: true, handle: '', nickname: '', email: '' });
  }

  async befriend(a, b) {
    const asked = await a.api.put(`/api/friends/requests/${b.id}`);
    const agreed = await b.api.post(`/api/friends/requests/${a.id}/accept`);
    if (asked.status !== 201 || agreed.status !== 200) throw new Error(`befriend: ${asked.text} ${agreed.text}`);
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
