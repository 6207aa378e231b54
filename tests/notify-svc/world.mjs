// world.mjs - notify-svc alone: real daemons (several instances) on the real PostgreSQL, Redis and Kafka, a database of their own, and a stand-in for
// the two addresses of auth-svc that every service asks. Tokens and tickets are signed here.
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

/** UUIDv7 of a moment. */
export function uuid(at = Date.now()) {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(at, 0, 6);
  bytes[6] = 0x70 | (bytes[6] & 0x0f);
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

export const freePort = () =>
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
    const body = { iss: 'madang', aud: 'madang', sub: person.id, sid: person.sid, role: person.role ?? 'user', rv: 1, handle: person.handle, name: person.nickname, iat: now, exp: now + 300, ...claims };
    const input = `${base64url({ alg: 'ES256', typ: 'JWT', kid: this.kid })}.${base64url(body)}`;
    return `${input}.${sign('sha256', Buffer.from(input), { key: this.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  }
  ticket(person, claims = {}) {
    const now = Math.floor(Date.now() / 1000);
    return this.token(person, { aud: 'ticket', jti: uuid(), exp: now + 30, ...claims });
  }
  stop() {
    this.server.close();
    this.server.closeAllConnections();
  }
}

// ---- the database ----

const ownerUrl = (database) => Object.assign(new URL(env.PG_URL), { pathname: `/${database}` }).href;
const roleUrl = (database) => Object.assign(new URL(env.NOTIFY_DB_URL), { pathname: `/${database}` }).href;

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
  const role = new URL(env.NOTIFY_DB_URL).username;
  await asOwner((client) => client.query(`CREATE DATABASE ${name} TEMPLATE template0 LC_CTYPE 'C.UTF-8' LC_COLLATE 'C' ENCODING 'UTF8'`));
  await asOwner(async (client) => {
    await client.query(`REVOKE ALL ON DATABASE ${name} FROM PUBLIC; GRANT CONNECT ON DATABASE ${name} TO ${role}`);
    await client.query(`REVOKE ALL ON SCHEMA public FROM PUBLIC; CREATE SCHEMA notify AUTHORIZATION ${role}`);
  }, name);
}

// ---- one daemon ----

class Instance {
  constructor(world, slot) {
    this.world = world;
    this.slot = slot;
  }
  async start() {
    // The same address again after a kill: clients come back by themselves.
    const [port, admin] = (this.ports ??= [await freePort(), await freePort()]);
    this.url = `http://127.0.0.1:${port}`;
    this.admin = `http://127.0.0.1:${admin}`;
    this.log ??= '';
    this.child = spawn(path.join(buildDir, 'bin/notify-svc'), [], {
      env: {
        PATH: process.env.PATH,
        NOTIFY_DB_URL: this.world.role, REDIS_URL: this.world.redisUrl, KAFKA_BROKERS: env.KAFKA_BROKERS, AUTH_URL: this.world.authUrl,
        LISTEN: `127.0.0.1:${port}`, ADMIN_LISTEN: `127.0.0.1:${admin}`, INSTANCE: `notify-test-${this.slot}`, INSTANCE_SLOT: String(this.slot),
        DRAIN_SECONDS: '0', DATA_DIR: this.world.folder, LOG_LEVEL: 'info', PROFILE: 'dev', ...this.world.settings,
      },
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    this.child.stderr.on('data', (part) => (this.log = (this.log + part).slice(-200000)));
    this.exited = new Promise((resolve) => this.child.on('exit', (code, signal) => resolve(code ?? signal)));
    await eventually(40000, async () => {
      if (this.child.exitCode !== null) throw new Error(`notify-svc ended: ${this.log}`);
      return (await request('GET', `${this.admin}/readyz`)).status === 200;
    }, 'notify-svc is ready').catch((error) => {
      throw new Error(`${error.message}\n${this.log}`);
    });
    return this;
  }
  async kill() {
    this.child.kill('SIGKILL');
    await this.exited;
  }
  async stop() {
    this.child?.kill('SIGTERM');
    return this.exited;
  }
  async metric(line) {
    const { text } = await request('GET', `${this.admin}/metrics`);
    const found = text.split('\n').find((one) => one.startsWith(`${line} `));
    return found ? Number(found.slice(line.length + 1)) : 0;
  }
}

// ---- the world ----

let names = 0;

export class World {
  /** `redisUrl`: another Redis than the stack's. */
  async start({ instances = 1, settings = {}, redisUrl = env.REDIS_URL } = {}) {
    if (pidOf('notify-svc-1')) throw new Error('a notify-svc of this stack runs: it would share its topics with this test (make down; make stores)');
    this.name = `t_notify_${process.pid}`;
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'madang-notify-'));
    this.redisUrl = redisUrl;
    this.auth = new Auth();
    this.authUrl = await this.auth.start();
    await createDatabase(this.name);
    this.role = roleUrl(this.name);
    this.pool = new pg.Pool({ connectionString: ownerUrl(this.name), max: 4, options: '-c search_path=notify' });
    this.pool.on('error', () => {});
    this.settings = settings;
    this.instances = Array.from({ length: instances }, (_, i) => new Instance(this, i + 1));
    await Promise.all(this.instances.map((instance) => instance.start()));
    return this;
  }
  get url() {
    return this.instances[0].url;
  }

  async stop() {
    const codes = await Promise.all((this.instances ?? []).map((instance) => instance.stop()));
    await this.pool?.end();
    this.auth.stop();
    await asOwner((client) => client.query(`DROP DATABASE IF EXISTS ${this.name} WITH (FORCE)`));
    fs.rmSync(this.folder, { recursive: true });
    codes.forEach((code, i) => {
      if (code !== 0) throw new Error(`notify-svc ${i + 1} ended with ${code}: ${this.instances[i].log}`);
    });
  }

  async sql(text, values = []) {
    return (await this.pool.query(text, values)).rows;
  }
  async one(text, values = []) {
    return Object.values((await this.sql(text, values))[0] ?? {})[0];
  }

  // ---- people and events ----

  /** Somebody with a session; nothing is told to the daemons. `api` asks the first instance. */
  person(more = {}) {
    const handle = `n${process.pid}.${++names}`;
    const person = { id: uuid(), sid: uuid(), handle, nickname: handle, email: `${handle}@example.test`, phone: '', locale: 'en', version: 1, ...more };
    person.token = this.auth.token(person);
    person.at = (instance) => new Api(instance.url, person.token);
    person.api = person.at(this.instances[0]);
    return person;
  }
  session(person) {
    return { ...person, sid: uuid(), token: undefined };
  }

  publish(topic, key, events) {
    const lines = events.map((event) => `${key}\t${typeof event === 'string' ? event : JSON.stringify(event)}`).join('\n');
    execFileSync('kcat', ['-P', '-b', env.KAFKA_BROKERS, '-t', topic, '-K', '\t', '-X', 'topic.partitioner=murmur2_random', '-X', 'acks=all'], { input: `${lines}\n`, timeout: 20000 });
  }

  /** A record of notify.requests. */
  request(person, more = {}) {
    return {
      v: 1, id: uuid(), at: new Date().toISOString(), kind: 'friend_request', to: { user: person.id }, args: { from: { id: uuid(), nickname: 'Lee' } },
      dedupe_id: uuid(), ...more,
    };
  }
  /** Tells a person things: the records are on the topic when it returns. */
  tell(person, ...requests) {
    this.publish('notify.requests', person.id, requests);
  }
  /** n friend requests that are in the inbox when it resolves; their records. */
  async fill(person, n, more = (i) => ({ args: { from: { id: uuid(), nickname: `Nr${i}` } } })) {
    const before = await this.lastSeq(person);
    const requests = Array.from({ length: n }, (_, i) => this.request(person, more(i)));
    this.tell(person, ...requests);
    await eventually(20000, async () => (await this.lastSeq(person)) === before + n, `${n} notices are stored`);
    return requests;
  }
  async lastSeq(person) {
    return (await this.one('SELECT last_seq FROM inboxes WHERE user_id = $1', [person.id])) ?? 0;
  }

  async account(person, more = {}) {
    this.publish('accounts', person.id, [{
      v: 1, id: uuid(), at: new Date().toISOString(), kind: 'account', user_id: person.id, handle: person.handle, nickname: person.nickname, email: person.email,
      email_verified: true, phone: person.phone, locale: person.locale, role: 'user', verified: true, withdrawn: false, version: person.version++, created_at: '2026-01-02T03:04:05.678Z', ...more,
    }]);
    await eventually(15000, async () => (await this.one('SELECT version FROM accounts WHERE user_id = $1', [person.id])) >= person.version - 1, 'the account is copied');
  }
  endSession(person, reason = 'logout') {
    this.publish('sessions.ended', person.id, [{ v: 1, id: uuid(), at: new Date().toISOString(), kind: 'session_ended', user_id: person.id, sid: person.sid, reason }]);
  }
}
