// world.mjs - one service alone: real daemons (one or several instances) on the real PostgreSQL, Redis and Kafka, a database of their own, and a stand-in
// for the two addresses of auth-svc that every service asks (keys and revocations). Tokens and tickets are signed here, events are sent as other services send them.
// tests/<service>/world.mjs has a class World of this one's with what is the service's own.
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes, sign } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { as } from './db.mjs';
import { freePort } from './http.mjs';
import { keyPair } from './keys.mjs';
import { buildDir, env, isReady, metricsOf, pidOf } from './stack.mjs';
import { eventually } from './wait.mjs';

/** UUIDv7 of a moment: ids that are older than a minute are not waited for. */
export function uuid(at = Date.now()) {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(at, 0, 6);
  bytes[6] = 0x70 | (bytes[6] & 0x0f);
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
export const oldUuid = () => uuid(Date.now() - 3600_000);

// ---- the stand-in for auth-svc ----

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

class Auth {
  constructor() {
    this.kid = `test-${randomBytes(6).toString('hex')}`;
    const { privateKey, publicKey } = keyPair('ec', { namedCurve: 'P-256' });
    this.privateKey = privateKey;
    this.jwk = { ...publicKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: this.kid };
    this.ended = []; // of GET /internal/revoked
  }
  async start() {
    this.server = http.createServer((req, res) => {
      const reply = this.answer(new URL(req.url, 'http://auth'));
      res.writeHead(reply ? 200 : 404, { 'Content-Type': 'application/json' }).end(JSON.stringify(reply ?? {}));
    });
    await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${this.server.address().port}`;
    return this;
  }
  answer({ pathname, searchParams }) {
    const after = Number(searchParams.get('after') ?? 0);
    if (pathname === '/.well-known/jwks.json') return { keys: [this.jwk] };
    if (pathname === '/internal/revoked') return { last: this.ended.length, sessions: this.ended.filter(({ n }) => n > after), users: [], more: false };
    return undefined;
  }
  token(person, claims = {}) {
    const now = Math.floor(Date.now() / 1000);
    const names = { handle: person.handle ?? 'somebody', name: person.nickname ?? 'somebody' };
    const body = { iss: 'madang', aud: 'madang', sub: person.id, sid: person.sid ?? uuid(), role: person.role ?? 'user', rv: 1, ...names, iat: now, exp: now + 900, ...claims };
    const input = `${base64url({ alg: 'ES256', typ: 'JWT', kid: this.kid })}.${base64url(body)}`;
    return `${input}.${sign('sha256', Buffer.from(input), { key: this.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  }
  ticket(person, claims = {}) {
    return this.token(person, { aud: 'ticket', jti: uuid(), exp: Math.floor(Date.now() / 1000) + 30, ...claims });
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

const inDatabase = (url, name) => Object.assign(new URL(url), { pathname: `/${name}` }).href;

async function createDatabase(name, role, schema) {
  await as(env.PG_URL, (query) => query(`CREATE DATABASE ${name} TEMPLATE template0 LC_CTYPE 'C.UTF-8' LC_COLLATE 'C' ENCODING 'UTF8'`));
  await as(inDatabase(env.PG_URL, name), async (query) => {
    await query(`REVOKE ALL ON DATABASE ${name} FROM PUBLIC; GRANT CONNECT ON DATABASE ${name} TO ${role}`);
    await query(`REVOKE ALL ON SCHEMA public FROM PUBLIC; CREATE SCHEMA ${schema} AUTHORIZATION ${role}`);
  });
}

// ---- one daemon ----

class Instance {
  constructor(world, n) {
    this.world = world;
    this.n = n;
    this.log = '';
  }
  /** Resolves when it is ready. After kill() or stop() it comes back at the same addresses: clients return by themselves. */
  async start() {
    const first = this.ports === undefined;
    for (let tries = 1; ; tries++) {
      this.ports ??= { http: await freePort(), admin: await freePort(), ws: await freePort() };
      if (await this.#launch(tries === 5)) return this;
      if (first) this.ports = undefined; // somebody took one before the daemon listened
    }
  }
  /** False when it ended for a reason that may be over the next time. */
  async #launch(last) {
    this.url = `http://127.0.0.1:${this.ports.http}`;
    this.admin = `http://127.0.0.1:${this.ports.admin}`;
    this.child = spawn(path.join(buildDir, `bin/${this.world.service}-svc`), [], {
      env: { ...this.world.environment(this), ...this.world.settings },
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    let words = '';
    this.child.stderr.on('data', (part) => {
      this.log = (this.log + part).slice(-200000);
      words = (words + part).slice(-4000);
    });
    this.exited = new Promise((resolve) => this.child.on('close', (code, signal) => resolve(code ?? signal)));
    const state = await eventually(40000, async () => (this.runs ? (await isReady(this)) && 'ready' : 'ended'), `${this.world.service}-svc ${this.n} is ready`).catch((error) => {
      throw new Error(`${error.message}\n${this.log}`);
    });
    if (state === 'ready') return true;
    await this.exited; // its last words are here
    // A port was taken, or a busy store did not answer in time: its supervisor would start it again.
    if (!last && (words.includes('Address already in use') || words.includes('"error.type":"unavailable"'))) return false;
    throw new Error(`${this.world.service}-svc ${this.n} ended before it was ready\n${this.log}`);
  }
  get runs() {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }
  kill() {
    return this.end('SIGKILL');
  }
  /** Resolves to the exit code. */
  stop() {
    return this.end('SIGTERM');
  }
  end(signal) {
    if (this.runs) this.child.kill(signal);
    return this.exited;
  }
  async metric(line) {
    return (await metricsOf(this))[line] ?? 0;
  }
}

// ---- the world ----

export class ServiceWorld {
  instances = [];
  #databases = 0;
  #versions = new Map(); // of relations
  #folder;

  /** `service`: "user" of user-svc; `schema`: its schema in the database. */
  constructor(service, schema = service) {
    this.service = service;
    this.schema = schema;
  }

  /** `settings`: the daemons' environment, over environment(). `redisUrl`: another Redis than the stack's. */
  async open({ settings = {}, instances = 1, redisUrl = env.REDIS_URL } = {}) {
    const { service, schema } = this;
    if (pidOf(`${service}-svc-1`)) throw new Error(`a ${service}-svc of this stack runs: it would share its topics with this test (make down; make stores)`);
    const url = env[`${service.toUpperCase()}_DB_URL`];
    this.name = `t_${service}_${process.pid}_${++this.#databases}`;
    this.auth = await new Auth().start();
    await createDatabase(this.name, new URL(url).username, schema);
    this.role = inDatabase(url, this.name);
    this.pool = new pg.Pool({ connectionString: inDatabase(env.PG_URL, this.name), max: 4, options: `-c search_path=${schema}` });
    this.pool.on('error', () => {});
    this.redisUrl = redisUrl;
    this.settings = settings;
    this.instances = Array.from({ length: instances }, (_, i) => new Instance(this, i + 1));
    await Promise.all(this.instances.map((instance) => instance.start()));
    return this;
  }

  /** Of this world alone: files of the daemons, and what the test wants to put there. */
  get folder() {
    return (this.#folder ??= fs.mkdtempSync(path.join(os.tmpdir(), `madang-${this.service}-`)));
  }
  /** What a daemon is started with. */
  environment({ n, ports }) {
    return {
      PATH: process.env.PATH, ASAN_OPTIONS: process.env.ASAN_OPTIONS ?? '', TSAN_OPTIONS: process.env.TSAN_OPTIONS ?? '',
      [`${this.service.toUpperCase()}_DB_URL`]: this.role, REDIS_URL: this.redisUrl, KAFKA_BROKERS: env.KAFKA_BROKERS, AUTH_URL: this.auth.url,
      LISTEN: `127.0.0.1:${ports.http}`, ADMIN_LISTEN: `127.0.0.1:${ports.admin}`, INSTANCE: `${this.service}-svc-test-${n}`, INSTANCE_SLOT: String(n),
      DRAIN_SECONDS: '0', DATA_DIR: this.folder, FILES_SECRET: 'only-for-this-test-0123456789abcdef', LOG_LEVEL: 'info', PROFILE: 'dev',
    };
  }

  /** The first instance's addresses. */
  get url() {
    return this.instances[0].url;
  }
  get admin() {
    return this.instances[0].admin;
  }
  /** One instance more. */
  async another() {
    const instance = new Instance(this, this.instances.length + 1);
    this.instances.push(instance);
    return instance.start();
  }

  /** Ends everything; throws when a daemon that still ran does not end well. */
  async stop() {
    const running = this.instances.filter((instance) => instance.runs);
    const codes = await Promise.all(running.map((instance) => instance.stop()));
    await this.pool?.end();
    this.auth?.stop();
    if (this.name) await as(env.PG_URL, (query) => query(`DROP DATABASE IF EXISTS ${this.name} WITH (FORCE)`));
    if (this.#folder) fs.rmSync(this.#folder, { recursive: true });
    this.#folder = undefined;
    codes.forEach((code, i) => {
      if (code !== 0) throw new Error(`${this.service}-svc ${running[i].n} ended with ${code}: ${running[i].log.slice(-4000)}`);
    });
  }

  async sql(text, values = []) {
    return (await this.pool.query(text, values)).rows;
  }
  async one(text, values = []) {
    return Object.values((await this.sql(text, values))[0] ?? {})[0];
  }

  // ---- events ----

  /** Records on a topic, in this order: [[key, value], ...]; a value that is a text goes as it is. They are there when it returns. */
  publish(topic, records) {
    const lines = records.map(([key, value]) => `${key}\t${typeof value === 'string' ? value : JSON.stringify(value)}`).join('\n');
    const options = ['-K', '\t', '-X', 'topic.partitioner=murmur2_random', '-X', 'acks=all'];
    execFileSync('kcat', ['-P', '-b', env.KAFKA_BROKERS, '-t', topic, ...options], { input: `${lines}\n`, timeout: 120000, maxBuffer: 1 << 28, stdio: ['pipe', 'ignore', 'ignore'] });
  }
  event(kind, more) {
    return { v: 1, id: uuid(), at: new Date().toISOString(), kind, ...more };
  }
  /** The account's event as auth-svc sends it. */
  accountEvent(person, more = {}) {
    const { id, handle, nickname, email = `${handle}@example.test`, phone = '', locale = 'ko', role = 'user', version } = person;
    return this.event('account', {
      user_id: id, handle, nickname, email, email_verified: true, phone, locale, role, verified: true, withdrawn: false, version, created_at: '2026-01-02T03:04:05.678Z', ...more,
    });
  }
  tellAccounts(people, more = {}) {
    this.publish('accounts', people.map((person) => [person.id, this.accountEvent(person, more)]));
  }
  /** The next version of two people's relation, as user-svc sends it: friends. */
  relation(one, two, more = {}) {
    const [a, b] = [one.id, two.id].sort();
    const version = (this.#versions.get(a + b) ?? 0) + 1;
    this.#versions.set(a + b, version);
    return this.event('relation', { a, b, friend: true, blocked_by: [], version, since: new Date().toISOString(), ...more });
  }
  tellRelations(relations) {
    this.publish('relations', relations.map((relation) => [`${relation.a}:${relation.b}`, relation]));
  }
  /** Waits until the service's table `relations` has these. */
  copied(relations) {
    return eventually(15000, async () => {
      const rows = await this.sql('SELECT count(*)::int AS n FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS x (a, b, v) JOIN relations r ON r.a = x.a AND r.b = x.b AND r.version >= x.v', [
        relations.map(({ a }) => a), relations.map(({ b }) => b), relations.map(({ version }) => version),
      ]);
      return rows[0].n === relations.length;
    }, 'the relations are copied');
  }
  /** A relation of two, once it is copied. */
  async relate(one, two, more = {}) {
    const relation = this.relation(one, two, more);
    this.tellRelations([relation]);
    await this.copied([relation]);
  }
  endSession(person, reason = 'logout') {
    this.publish('sessions.ended', [[person.id, this.event('session_ended', { user_id: person.id, sid: person.sid, reason })]]);
  }
}
