// world.mjs - auth-svc daemons of a test's own: a database and a Redis database that nobody else uses, ephemeral ports, and everything it
// says on Kafka. Topics are shared with whoever runs on the same brokers, so events are looked for by user or address.
//
//   const world = await World.open();              // makes the database
//   const auth = await world.daemon({ ACCESS_SECONDS: '60' });
//   ... auth.api.post('/api/auth/signup', {...}) ...
//   await world.close();
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { createInterface } from 'node:readline';
import pg from 'pg';
import { Api, freePort, request } from '../support/http.mjs';
import { buildDir, env } from '../support/stack.mjs';
import { eventually } from '../support/wait.mjs';

pg.types.setTypeParser(20, Number);
let worlds = 0;

const inDatabase = (url, database) => Object.assign(new URL(url), { pathname: `/${database}` }).href;

export class World {
  daemons = [];
  events = []; // {topic, key, value}, as they arrive

  static async open() {
    const world = new World();
    world.database = `t_auth_${process.pid}_${++worlds}`;
    await onDatabase(env.PG_URL, `CREATE DATABASE ${world.database}`);
    world.dbUrl = inDatabase(env.PG_URL, world.database);
    await onDatabase(world.dbUrl, 'CREATE SCHEMA auth');
    // Announced there, no gateway of another stack finds these daemons. Counters of an earlier run go.
    world.redisUrl = Object.assign(new URL(env.REDIS_URL), { pathname: `/${1 + ((process.pid + worlds) % 15)}` }).href;
    execFileSync('redis-cli', ['-u', world.redisUrl, 'FLUSHDB'], { stdio: 'ignore', timeout: 5000 });
    world.pool = new pg.Pool({ connectionString: world.dbUrl, max: 2, options: '-c search_path=auth' });
    world.pool.on('error', () => {});
    return world;
  }

  /** Follows the topics from their beginnings; call it after the first daemon made them. */
  listen() {
    if (this.listeners) return;
    this.listeners = ['accounts', 'sessions.ended', 'notify.requests'].map((topic) => {
      const kcat = spawn('kcat', ['-C', '-q', '-u', '-b', env.KAFKA_BROKERS, '-t', topic, '-o', 'beginning', '-J'], { stdio: ['ignore', 'pipe', 'ignore'] });
      createInterface({ input: kcat.stdout }).on('line', (line) => {
        if (!line.startsWith('{')) return;
        if (this.closed) return; // the last line of a killed kcat may be cut
        try {
          const { key, payload } = JSON.parse(line);
          const value = JSON.parse(payload);
          if (value.v === 1 && (topic !== 'notify.requests' || value.to)) this.events.push({ topic, key, value });
        } catch {
          // other tests write what is no event, on purpose
        }
      });
      return kcat;
    });
  }

  /** `until`: what must answer 200 on the admin port. */
  async daemon(settings = {}, until = '/readyz') {
    for (let tries = 1; ; tries++) {
      const daemon = await this.#launch(settings, until, tries === 5);
      if (daemon) return daemon;
    }
  }

  /** Undefined when it ended for a reason that may be over the next time: somebody took its port, a busy store did not answer in time. */
  async #launch(settings, until, last) {
    const port = await freePort();
    const adminPort = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const admin = `http://127.0.0.1:${adminPort}`;
    const child = spawn(path.join(buildDir, 'bin/auth-svc'), {
      env: {
        PATH: process.env.PATH,
        AUTH_DB_URL: this.dbUrl,
        REDIS_URL: this.redisUrl,
        KAFKA_BROKERS: env.KAFKA_BROKERS,
        AUTH_SECRET: 'a secret of the tests',
        LISTEN: `127.0.0.1:${port}`,
        ADMIN_LISTEN: `127.0.0.1:${adminPort}`,
        PROFILE: 'dev',
        DRAIN_SECONDS: '0',
        AUTH_SWEEP_SECONDS: '1',
        ...settings,
      },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const daemon = { url, admin, child, api: new Api(url), log: [], settings };
    createInterface({ input: child.stderr }).on('line', (line) => daemon.log.push(line));
    this.daemons.push(daemon);
    const gone = new Promise((resolve) => child.on('close', resolve));
    daemon.stop = async (signal = 'SIGTERM') => {
      child.kill(signal);
      return gone;
    };
    const state = await eventually(
      20000,
      async () => (child.exitCode !== null ? 'ended' : (await request('GET', `${admin}${until}`)).status === 200 && 'answers'),
      `auth-svc answers ${until}`,
    );
    if (state === 'ended') {
      await gone;
      if (!last && daemon.log.some((line) => line.includes('Address already in use') || line.includes('"error.type":"unavailable"'))) return undefined;
      throw new Error(`auth-svc ended: ${daemon.log.join('\n')}`);
    }
    this.listen();
    return daemon;
  }

  async sql(text, values = []) {
    return (await this.pool.query(text, values)).rows;
  }

  /** The newest event that fits, waiting for it. */
  event(topic, fits, ms = 10000) {
    return eventually(ms, () => this.events.filter((event) => event.topic === topic && fits(event.value)).at(-1)?.value, `${topic}: ${fits}`);
  }

  eventsOf(topic, fits) {
    return this.events.filter((event) => event.topic === topic && fits(event.value)).map(({ value }) => value);
  }

  /** The code that was sent to an address for a purpose, when there are at least `count` of them. */
  async code(purpose, address, count = 1) {
    const sent = await eventually(10000, () => {
      const codes = this.eventsOf('notify.requests', ({ kind, to, args }) => kind === 'code' && args.purpose === purpose && (to.email ?? to.phone) === address);
      return codes.length >= count && codes;
    }, `code ${count} for ${address}`);
    return sent.at(-1).args.code;
  }

  /** Asks for a code and confirms it: a proof. */
  async proof(daemon, purpose, address, token) {
    const target = address.includes('@') ? { email: address } : { phone: address };
    assert.equal((await daemon.api.post('/api/auth/codes', { purpose, ...target })).status, 202);
    const reply = await daemon.api.post('/api/auth/codes/confirm', { purpose, ...target, code: await this.code(purpose, address) }, token && { headers: { Authorization: `Bearer ${token}` } });
    assert.equal(reply.status, 200, reply.text);
    return reply.json.proof;
  }

  async close() {
    this.closed = true;
    for (const kcat of this.listeners ?? []) kcat.kill();
    await Promise.all(this.daemons.map((daemon) => daemon.child.exitCode === null && daemon.child.signalCode === null && daemon.stop('SIGKILL')));
    await this.pool.end();
    await onDatabase(env.PG_URL, `DROP DATABASE IF EXISTS ${this.database} WITH (FORCE)`);
    for (const { log } of this.daemons) assert.ok(!log.some((line) => /Sanitizer|runtime error/.test(line)), log.join('\n').slice(0, 5000));
  }
}

async function onDatabase(url, text) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}

// ---- people ----

const run = randomBytes(3).toString('hex').replace(/[a-f]/g, (letter) => String(letter.charCodeAt(0) % 10));
let people = 0;

/** Names nobody has: letters that make no word, and digits. */
export function names(prefix = 'q') {
  const tail = `${run}${String(process.pid).padStart(6, '0').slice(-6)}${String(++people).padStart(3, '0')}`;
  return { email: `${prefix}${tail}@yard.example`, handle: `${prefix}${tail}`, nickname: `${prefix}${tail}`, password: `Yard-${tail}-z` };
}

/** A phone number nobody has. */
export const phoneNumber = () => `010${run.slice(0, 3)}${String(process.pid % 100).padStart(2, '0')}${String(++people).padStart(3, '0')}`;

export async function signUp(daemon, more = {}) {
  const wish = { ...names(), ...more };
  const reply = await daemon.api.post('/api/auth/signup', wish);
  assert.equal(reply.status, 201, reply.text);
  return { ...wish, id: reply.json.user.id, user: reply.json.user };
}

export async function logIn(daemon, person, more = {}, options = {}) {
  const reply = await daemon.api.post('/api/auth/login', { login: person.email, password: person.password, ...more }, options);
  assert.equal(reply.status, 200, reply.text);
  return sessionOf(daemon, reply);
}

export function sessionOf(daemon, reply) {
  const { access_token: access, refresh_token: refresh, session_id: sid, user } = reply.json;
  return { access, refresh, sid, user, reply, api: new Api(daemon.url, access) };
}

export async function newcomer(daemon, more = {}) {
  const person = await signUp(daemon, more);
  return { ...person, ...(await logIn(daemon, person)) };
}

export const refresh = (daemon, token) => daemon.api.post('/api/auth/refresh', { refresh_token: token });
export const claims = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));

/** name=value of a cookie that was set. */
export function cookieOf(reply, name) {
  return reply.headers['set-cookie']?.find((cookie) => cookie.startsWith(`${name}=`));
}

/** What a reply says but for the request id: two of them can be compared. */
export function said(reply) {
  const { request_id: ignored, ...rest } = reply.json ?? {};
  return { status: reply.status, ...rest };
}

/** How often each value occurs. */
export function count(values) {
  const counts = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}
