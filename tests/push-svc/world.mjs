// world.mjs - push-svc alone: the real daemon (one or two of it) on the real PostgreSQL, Redis and Kafka, a database of its own, stand-ins for auth-svc's two
// addresses, for FCM and for a browser's push service. Tokens are signed here.
import { execFileSync, spawn } from 'node:child_process';
import { createECDH, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { Fcm } from '../standins/fcm.mjs';
import { certificate } from '../standins/tls.mjs';
import { WebPush } from '../standins/webpush.mjs';
import { Api, request } from '../support/http.mjs';
import { buildDir, env, pidOf } from '../support/stack.mjs';
import { eventually } from '../support/wait.mjs';

pg.types.setTypeParser(20, Number);

/** UUIDv7. */
export function uuid(at = Date.now()) {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(at, 0, 6);
  bytes[6] = 0x70 | (bytes[6] & 0x0f);
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

const freePort = () =>
  new Promise((resolve, reject) => {
    const server = net.createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Keys and revocations, as every service asks auth-svc for them. */
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
    const body = { iss: 'madang', aud: 'madang', sub: person.id, sid: person.sid, role: person.role ?? 'user', rv: 1, handle: person.name, name: person.name, iat: now, exp: now + 300, ...claims };
    const input = `${base64url({ alg: 'ES256', typ: 'JWT', kid: this.kid })}.${base64url(body)}`;
    return `${input}.${sign('sha256', Buffer.from(input), { key: this.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  }
  stop() {
    this.server.close();
    this.server.closeAllConnections();
  }
}

const ownerUrl = (database) => Object.assign(new URL(env.PG_URL), { pathname: `/${database}` }).href;
const roleUrl = (database) => Object.assign(new URL(env.PUSH_DB_URL), { pathname: `/${database}` }).href;

async function asOwner(work, database = new URL(env.PG_URL).pathname.slice(1)) {
  const client = new pg.Client({ connectionString: ownerUrl(database) });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

let names = 0;
let databases = 0;

export class World {
  daemons = []; // {child, url, admin, log, exited, slot}

  /** `sink`: without credentials. `instances`: how many daemons. */
  async start(settings = {}, { sink = false, instances = 1 } = {}) {
    if (pidOf('push-svc-1')) throw new Error('a push-svc of this stack runs: it would share its topics with this test (make down; make stores)');
    this.name = `t_push_${process.pid}_${++databases}`;
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'madang-push-'));
    this.auth = new Auth();
    this.authUrl = await this.auth.start();
    await this.#createDatabase();
    this.pool = new pg.Pool({ connectionString: ownerUrl(this.name), max: 4, options: '-c search_path=push' });
    this.pool.on('error', () => {});
    this.settings = settings;
    this.tls = certificate(this.folder);
    if (!sink) await this.#standIns();
    for (let slot = 1; slot <= instances; slot++) await this.startDaemon(slot);
    return this;
  }

  async #standIns() {
    const vapid = createECDH('prime256v1');
    vapid.generateKeys();
    this.fcm = await Fcm.start(this.tls);
    this.browsers = await WebPush.start(this.tls, vapid.getPublicKey('base64url'));
    this.credentials = {
      FCM_CREDENTIALS: this.fcm.credentials, FCM_URL: this.fcm.url, PUSH_CA_FILE: this.tls.file, PUSH_WEB_HOSTS: '127.0.0.1', PUSH_ALLOW_INNER: 'on',
      VAPID_PRIVATE_KEY: vapid.getPrivateKey('base64url'), VAPID_SUBJECT: 'mailto:push@example.test',
    };
  }

  async #createDatabase() {
    const role = new URL(env.PUSH_DB_URL).username;
    await asOwner((client) => client.query(`CREATE DATABASE ${this.name} TEMPLATE template0 LC_CTYPE 'C.UTF-8' LC_COLLATE 'C' ENCODING 'UTF8'`));
    await asOwner(async (client) => {
      await client.query(`REVOKE ALL ON DATABASE ${this.name} FROM PUBLIC; GRANT CONNECT ON DATABASE ${this.name} TO ${role}`);
      await client.query(`REVOKE ALL ON SCHEMA public FROM PUBLIC; CREATE SCHEMA push AUTHORIZATION ${role}`);
    }, this.name);
  }

  async startDaemon(slot) {
    const [port, admin] = [await freePort(), await freePort()];
    const daemon = { slot, url: `http://127.0.0.1:${port}`, admin: `http://127.0.0.1:${admin}`, log: '' };
    daemon.child = spawn(path.join(buildDir, 'bin/push-svc'), [], {
      env: {
        PATH: process.env.PATH, PUSH_DB_URL: roleUrl(this.name), REDIS_URL: env.REDIS_URL, KAFKA_BROKERS: env.KAFKA_BROKERS, AUTH_URL: this.authUrl,
        LISTEN: `127.0.0.1:${port}`, ADMIN_LISTEN: `127.0.0.1:${admin}`, DRAIN_SECONDS: '0', LOG_LEVEL: 'info', PROFILE: 'dev', INSTANCE_SLOT: String(slot),
        // Short, so that what is put off comes back within a test.
        PUSH_BACKOFF_MS: '200', PUSH_QUOTA_BACKOFF_MS: '1000', PUSH_PRESENCE_WAIT_MS: '300', PUSH_SEND_TIMEOUT_MS: '2000', PUSH_CLAIM_SECONDS: '10',
        ...this.credentials, ...this.settings,
      },
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    daemon.child.stderr.on('data', (part) => (daemon.log = (daemon.log + part).slice(-200000)));
    daemon.exited = new Promise((resolve) => daemon.child.on('exit', (code, signal) => resolve(code ?? signal)));
    this.daemons[slot - 1] = daemon;
    await eventually(30000, async () => {
      if (daemon.child.exitCode !== null) throw new Error(`push-svc ended: ${daemon.log}`);
      return (await request('GET', `${daemon.admin}/readyz`)).status === 200;
    }, 'push-svc is ready').catch((error) => {
      throw new Error(`${error.message}\n${daemon.log}`);
    });
    return daemon;
  }

  /** The first daemon's addresses. */
  get url() {
    return this.daemons[0].url;
  }
  get admin() {
    return this.daemons[0].admin;
  }

  async stop() {
    for (const daemon of this.daemons) daemon.child.kill('SIGTERM');
    const codes = await Promise.all(this.daemons.map((daemon) => daemon.exited));
    await this.pool?.end();
    this.auth.stop();
    await this.fcm?.stop();
    await this.browsers?.stop();
    await asOwner((client) => client.query(`DROP DATABASE IF EXISTS ${this.name} WITH (FORCE)`));
    fs.rmSync(this.folder, { recursive: true });
    if (codes.some((code) => code !== 0)) throw new Error(`push-svc ended with ${codes}: ${this.daemons.map(({ log }) => log.slice(-4000)).join('\n')}`);
  }

  async sql(text, values = []) {
    return (await this.pool.query(text, values)).rows;
  }
  async one(text, values = []) {
    return Object.values((await this.sql(text, values))[0] ?? {})[0];
  }

  /** A metric's value of one daemon, or of all together. */
  async metric(line, daemons = this.daemons) {
    let sum = 0;
    for (const { admin } of daemons) {
      const { text } = await request('GET', `${admin}/metrics`);
      const found = text.split('\n').find((row) => row.startsWith(`${line} `));
      sum += found ? Number(found.split(' ')[1]) : 0;
    }
    return sum;
  }

  // ---- people and devices ----

  person(more = {}) {
    const person = { id: uuid(), sid: uuid(), name: `p${process.pid}.${++names}`, ...more };
    person.api = new Api(this.url, this.auth.token(person));
    return person;
  }
  /** The same person in another session. */
  again(person) {
    return this.person({ id: person.id, name: person.name });
  }

  token() {
    return `fcm:${randomBytes(90).toString('base64url')}`;
  }
  /** A device of theirs with a token of FCM; the token. */
  async device(person, { id = 'phone', platform = 'android', token = this.token(), name } = {}) {
    const reply = await person.api.put(`/api/push/devices/${id}`, { platform, token, name });
    if (reply.status !== 200) throw new Error(reply.text);
    return token;
  }
  /** A browser of theirs. */
  async browser(person, id = 'browser') {
    const browser = this.browsers.subscribe();
    const reply = await person.api.put(`/api/push/devices/${id}`, { platform: 'web', subscription: browser.subscription });
    if (reply.status !== 200) throw new Error(reply.text);
    return browser;
  }

  // ---- events ----

  publish(topic, records) {
    const lines = records.map(([key, value]) => `${key}\t${typeof value === 'string' ? value : JSON.stringify(value)}`).join('\n');
    execFileSync('kcat', ['-P', '-b', env.KAFKA_BROKERS, '-t', topic, '-K', '\t', '-X', 'topic.partitioner=murmur2_random', '-X', 'acks=all'], { input: `${lines}\n`, timeout: 20000 });
  }
  event(kind, more) {
    return { v: 1, id: uuid(), at: new Date().toISOString(), kind, ...more };
  }
  pushEvent(person, more = {}) {
    return this.event('push', { user_id: person.id, title: 'kim', body: 'hello', data: {}, collapse_key: null, ttl_seconds: 3600, dedupe_id: uuid(), source: 'chat', ...more });
  }
  /** Asks for pushes; their dedupe ids. */
  push(...events) {
    this.publish('push.requests', events.map((event) => [event.user_id, event]));
    return events.map((event) => event.dedupe_id);
  }
  async known(table, person, ms = 15000) {
    await eventually(ms, async () => (await this.one(`SELECT count(*) FROM ${table} WHERE user_id = $1`, [person.id])) > 0, `${table} has the event`);
  }
  account(person, more = {}) {
    person.version = (person.version ?? 0) + 1;
    this.publish('accounts', [[person.id, this.event('account', {
      user_id: person.id, handle: person.name, nickname: person.name, email: '', email_verified: false, phone: '', locale: 'ko', role: 'user', verified: false, withdrawn: false,
      version: person.version, created_at: '2026-01-02T03:04:05.678Z', ...more,
    })]]);
  }
  async presence(person, online) {
    person.n = (person.n ?? 0) + 1;
    this.publish('presence.changes', [[person.id, this.event('presence', { user_id: person.id, online, visible: true, show_last_seen: true, last_seen: null, n: person.n })]]);
    await eventually(15000, async () => (await this.one('SELECT n FROM presence WHERE user_id = $1', [person.id])) === person.n, 'the change of presence is copied');
  }
  async preferences(person, quiet_hours, push_off = []) {
    person.settings = (person.settings ?? 0) + 1;
    this.publish('notify.settings', [[person.id, this.event('notify_settings', { user_id: person.id, quiet_hours, push_off, version: person.settings })]]);
    await eventually(15000, async () => (await this.one('SELECT version FROM preferences WHERE user_id = $1', [person.id])) === person.settings, 'the settings are copied');
  }
  endSession(person, reason = 'logout') {
    this.publish('sessions.ended', [[person.id, this.event('session_ended', { user_id: person.id, sid: person.sid, reason })]]);
  }

  // ---- what became of pushes ----

  /** The sends of a push: [{state, reason, attempts, channel}] by device. */
  sends(dedupeId) {
    return this.sql('SELECT s.state, s.reason, s.attempts, s.channel, s.device FROM sends s JOIN requests r ON r.id = s.request_id WHERE r.dedupe_id = $1 ORDER BY s.id', [dedupeId]);
  }
  /** Waits until all sends of a push are over. */
  async settled(dedupeId, ms = 15000) {
    return eventually(ms, async () => {
      const sends = await this.sends(dedupeId);
      return sends.length > 0 && sends.every(({ state }) => !['queued', 'retry'].includes(state)) && sends;
    }, `push ${dedupeId} is settled`);
  }
  async ended(dedupeId, state, reason, ms = 15000) {
    const sends = await this.settled(dedupeId, ms);
    if (!sends.every((send) => send.state === state && (reason === undefined || send.reason === reason)))
      throw new Error(`wanted ${state} ${reason}: ${JSON.stringify(sends)}`);
    return sends;
  }
}
