// world.mjs - presence-svc alone: real daemons on the real PostgreSQL, Redis and Kafka, a database of its own, and a stand-in for
// the two addresses of auth-svc that every service asks. Signals are sent as chat-svc and notify-svc send them.
import { execFileSync, spawn } from 'node:child_process';
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import pg from 'pg';
import { Api, request } from '../support/http.mjs';
import { buildDir, env, pidOf } from '../support/stack.mjs';
import { eventually } from '../support/wait.mjs';

pg.types.setTypeParser(20, Number);

/** UUIDv7 of now. */
export function uuid() {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Date.now(), 0, 6);
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
  token(id, role) {
    const now = Math.floor(Date.now() / 1000);
    const body = { iss: 'madang', aud: 'madang', sub: id, sid: uuid(), role, rv: 1, handle: 'somebody', name: 'somebody', iat: now, exp: now + 300 };
    const input = `${base64url({ alg: 'ES256', typ: 'JWT', kid: this.kid })}.${base64url(body)}`;
    return `${input}.${sign('sha256', Buffer.from(input), { key: this.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  }
  stop() {
    this.server.close();
    this.server.closeAllConnections();
  }
}

const ownerUrl = (database) => Object.assign(new URL(env.PG_URL), { pathname: `/${database}` }).href;
const roleUrl = (database) => Object.assign(new URL(env.PRESENCE_DB_URL), { pathname: `/${database}` }).href;

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
  const role = new URL(env.PRESENCE_DB_URL).username;
  await asOwner((client) => client.query(`CREATE DATABASE ${name} TEMPLATE template0 LC_CTYPE 'C.UTF-8' LC_COLLATE 'C' ENCODING 'UTF8'`));
  await asOwner(async (client) => {
    await client.query(`REVOKE ALL ON DATABASE ${name} FROM PUBLIC; GRANT CONNECT ON DATABASE ${name} TO ${role}`);
    await client.query(`REVOKE ALL ON SCHEMA public FROM PUBLIC; CREATE SCHEMA presence AUTHORIZATION ${role}`);
  }, name);
}

class Daemon {
  constructor(world) {
    this.world = world;
  }
  async start() {
    const [port, admin] = [await freePort(), await freePort()];
    this.url = `http://127.0.0.1:${port}`;
    this.admin = `http://127.0.0.1:${admin}`;
    this.log = '';
    this.child = spawn(path.join(buildDir, 'bin/presence-svc'), [], {
      env: {
        PATH: process.env.PATH, PRESENCE_DB_URL: this.world.role, REDIS_URL: env.REDIS_URL, KAFKA_BROKERS: env.KAFKA_BROKERS, AUTH_URL: this.world.authUrl,
        LISTEN: `127.0.0.1:${port}`, ADMIN_LISTEN: `127.0.0.1:${admin}`, DRAIN_SECONDS: '0', PROFILE: 'dev', ...this.world.settings,
      },
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    this.child.stderr.on('data', (part) => (this.log = (this.log + part).slice(-100000)));
    this.exited = new Promise((resolve) => this.child.on('exit', (code, signal) => resolve(code ?? signal)));
    await eventually(30000, async () => {
      if (this.child.exitCode !== null) throw new Error(`presence-svc ended: ${this.log}`);
      return (await request('GET', `${this.admin}/readyz`)).status === 200;
    }, 'presence-svc is ready').catch((error) => {
      throw new Error(`${error.message}\n${this.log}`);
    });
    return this;
  }
  async stop(signal = 'SIGTERM') {
    this.child.kill(signal);
    return this.exited;
  }
}

/** Short times: a lease of 3 s, a moment of 1 s. */
export const LEASE = 3, DOWN = 1;

export class World {
  async start(instances = 1, settings = {}) {
    if (pidOf('presence-svc-1')) throw new Error('a presence-svc of this stack runs: it would share its topics with this test (make down; make stores)');
    this.name = `t_presence_${process.pid}`;
    this.auth = new Auth();
    this.authUrl = await this.auth.start();
    await createDatabase(this.name);
    this.role = roleUrl(this.name);
    this.pool = new pg.Pool({ connectionString: ownerUrl(this.name), max: 4, options: '-c search_path=presence' });
    this.pool.on('error', () => {});
    this.settings = { PRESENCE_LEASE_SECONDS: String(LEASE), PRESENCE_DOWN_SECONDS: String(DOWN), ...settings };
    this.daemons = [];
    for (let i = 0; i < instances; i++) this.daemons.push(await new Daemon(this).start());
    return this;
  }
  async another() {
    const daemon = await new Daemon(this).start();
    this.daemons.push(daemon);
    return daemon;
  }
  async stop() {
    const codes = [];
    for (const daemon of this.daemons) codes.push(daemon.killed ? 0 : await daemon.stop());
    await this.pool.end();
    this.auth.stop();
    await asOwner((client) => client.query(`DROP DATABASE IF EXISTS ${this.name} WITH (FORCE)`));
    if (codes.some((code) => code !== 0)) throw new Error(`presence-svc ended with ${codes}: ${this.daemons.map((d) => d.log).join('\n')}`);
  }
  async sql(text, values = []) {
    return (await this.pool.query(text, values)).rows;
  }

  // ---- people and what is told of them ----

  person(role = 'user') {
    const id = uuid();
    const token = this.auth.token(id, role);
    return { id, token, apis: this.daemons.map((daemon) => new Api(daemon.url, token)), get api() { return this.apis[0]; } };
  }
  apiOf(person, daemon) {
    return new Api(daemon.url, person.token);
  }

  /** [key, payload] pairs on a topic, in order; a payload that is a text goes as it is. */
  publish(topic, records) {
    const lines = records.map(([key, value]) => `${key}\t${typeof value === 'string' ? value : JSON.stringify(value)}`).join('\n');
    execFileSync('kcat', ['-P', '-b', env.KAFKA_BROKERS, '-t', topic, '-K', '\t', '-X', 'topic.partitioner=murmur2_random', '-X', 'acks=all'], { input: `${lines}\n`, timeout: 20000, maxBuffer: 1 << 28, stdio: ['pipe', 'ignore', 'ignore'] });
  }
  event(kind, more) {
    return { v: 1, id: uuid(), at: new Date().toISOString(), kind, ...more };
  }

  /** A connection of a person, as a chat instance tells of it. */
  connection(person, lease = LEASE) {
    return { id: uuid(), person, n: 0, lease };
  }
  signal(connection, kind) {
    connection.n++;
    return [connection.person.id, this.event(kind, { user_id: connection.person.id, connection: connection.id, n: connection.n, lease_seconds: connection.lease })];
  }
  signals(connections, kind) {
    this.publish('presence.signals', connections.map((connection) => this.signal(connection, kind)));
  }
  up(person, lease) {
    const connection = this.connection(person, lease);
    this.signals([connection], 'up');
    return connection;
  }

  async befriend(a, b, version = 1, more = {}) {
    const [small, large] = [a.id, b.id].sort();
    this.publish('relations', [[`${small}:${large}`, this.event('relation', { a: small, b: large, friend: true, blocked_by: [], version, since: new Date().toISOString(), ...more })]]);
    await eventually(15000, async () => (await this.sql('SELECT version FROM relations WHERE a = $1 AND b = $2', [small, large]))[0]?.version === version, 'the relation is copied');
  }
  async withdraw(person) {
    this.publish('accounts', [[person.id, this.event('account', { user_id: person.id, handle: '', nickname: '', email: '', email_verified: false, phone: '', locale: '', role: 'user', verified: false, withdrawn: true, version: 2, created_at: new Date().toISOString() })]]);
    await eventually(15000, async () => (await this.sql('SELECT withdrawn FROM people WHERE user_id = $1', [person.id]))[0]?.withdrawn, 'the withdrawal is copied');
  }

  /** What `viewer` sees of `person`: an item, or undefined. */
  async seen(viewer, person, daemon = this.daemons.find((d) => !d.killed)) {
    const reply = await this.apiOf(viewer, daemon).get(`/api/presence?ids=${person.id}`);
    if (reply.status !== 200) throw new Error(`${reply.status} ${reply.text}`);
    return reply.json.items[0];
  }
  async until(viewer, person, online, ms = 15000) {
    return eventually(ms, async () => ((await this.seen(viewer, person))?.online === online ? this.seen(viewer, person) : false), `${online ? 'online' : 'offline'} is seen`);
  }
}
