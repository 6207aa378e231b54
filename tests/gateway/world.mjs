// world.mjs - a gateway with everything around it that a test can bend: a private Redis, an auth-svc that the test plays, services
// that answer as the test says, and clients that send bytes as they are. Nothing here needs the local stack.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../support/http.mjs';
import { keyPair } from '../support/keys.mjs';
import { eventually } from '../support/wait.mjs';

export { eventually, freePort };
export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const binary = path.resolve(root, process.env.BUILD ?? 'build/gcc', 'bin/gateway');

/** What a test opened is closed in reverse order when the test (or file) ends: `t.after`, or after() of the file. */
export function keep(t, thing) {
  t.after(() => thing.close());
  return thing;
}

export function temporaryFolder() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gateway-test-'));
  return { path: folder, close: () => fs.rmSync(folder, { recursive: true, force: true }) };
}

const ended = (child) => new Promise((resolve) => (child.exitCode !== null || child.signalCode ? resolve() : child.once('exit', resolve)));

// ---- Redis ------------------------------------------------------------------------------------------------------------

export class Redis {
  static async start() {
    const redis = new Redis();
    redis.port = await freePort();
    redis.url = `redis://127.0.0.1:${redis.port}`;
    await redis.run();
    return redis;
  }
  async run() {
    const options = ['--port', this.port, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', os.tmpdir()];
    this.child = spawn('redis-server', options.map(String), { stdio: 'ignore' });
    await eventually(5000, async () => (await this.command('PING')) === '+PONG', 'Redis answers');
  }
  command(...words) {
    return new Promise((resolve, reject) => {
      const socket = net.connect(this.port, '127.0.0.1');
      let text = '';
      socket.setTimeout(5000, () => socket.destroy(new Error('Redis is silent')));
      socket.on('error', reject);
      socket.on('data', (part) => {
        text += part;
        if (!text.endsWith('\r\n')) return;
        socket.end();
        resolve(text.split('\r\n')[0]);
      });
      socket.write(`*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(String(word))}\r\n${word}\r\n`).join('')}`);
    });
  }
  pause() {
    this.child.kill('SIGSTOP');
  }
  resume() {
    this.child.kill('SIGCONT');
  }
  async close() {
    this.resume();
    this.child.kill('SIGKILL');
    await ended(this.child);
  }
}

/** One instance's record in the registry, renewed like a service does it until close() or vanish(). */
export class Lease {
  static async take(redis, service, address, { instance = `${service}-${crypto.randomBytes(3).toString('hex')}`, state = 'up', weight = 1 } = {}) {
    const lease = new Lease();
    Object.assign(lease, { redis, service, instance, address, state, weight, epoch: Date.now() * 1000 });
    await lease.write();
    lease.timer = setInterval(() => lease.write().catch(() => {}), 2000);
    return lease;
  }
  get key() {
    return `registry:${this.service}:${this.instance}`;
  }
  async write() {
    const { service, instance, address, state, weight, epoch } = this;
    const record = { service, instance, address, version: '1', state, started: Math.floor(epoch / 1000), epoch, weight };
    await this.redis.command('SET', this.key, JSON.stringify(record), 'PX', 6000);
    await this.redis.command('PUBLISH', 'registry:changes', this.key);
  }
  async set(state) {
    this.state = state;
    await this.write();
  }
  /** As after kill -9: no more renewals, the lease runs out. */
  vanish() {
    clearInterval(this.timer);
  }
  async close() {
    this.vanish();
    await this.redis.command('DEL', this.key).catch(() => {});
    await this.redis.command('PUBLISH', 'registry:changes', this.key).catch(() => {});
  }
}

// ---- auth-svc ---------------------------------------------------------------------------------------------------------

const base64url = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

export function newKey(kid = crypto.randomUUID()) {
  const pair = keyPair('ec', { namedCurve: 'P-256' });
  return { kid, ...pair, jwk: { ...pair.publicKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'ES256' } };
}

export const newUser = (more = {}) => ({ sub: crypto.randomUUID(), sid: crypto.randomUUID(), role: 'user', rv: 1, handle: 'ann', name: 'Ann', ...more });

export class Authority {
  static async start() {
    const authority = new Authority();
    authority.key = newKey();
    authority.keys = [authority.key];
    authority.sessions = [];
    authority.users = [];
    authority.server = http.createServer((req, res) => authority.answer(req, res));
    await new Promise((resolve) => authority.server.listen(0, '127.0.0.1', resolve));
    authority.address = `127.0.0.1:${authority.server.address().port}`;
    authority.url = `http://${authority.address}`;
    return authority;
  }
  answer(req, res) {
    res.setHeader('Content-Type', 'application/json');
    if (req.url === '/.well-known/jwks.json') return res.end(JSON.stringify({ keys: this.keys.map((key) => key.jwk) }));
    if (!req.url.startsWith('/internal/revoked')) return res.writeHead(404).end('{}');
    const after = Number(new URL(req.url, this.url).searchParams.get('after') ?? 0);
    const newer = (list) => list.filter((item) => item.n > after);
    const last = Math.max(after, ...this.sessions.map((item) => item.n), ...this.users.map((item) => item.n));
    res.end(JSON.stringify({ last, sessions: newer(this.sessions), users: newer(this.users), more: false }));
  }
  /** An access token, right unless `claims` or `header` say otherwise. */
  token(user = newUser(), { claims = {}, header = {}, key = this.key } = {}) {
    const now = Math.floor(Date.now() / 1000);
    const all = { iss: 'madang', aud: 'madang', iat: now, exp: now + 300, ...user, ...claims };
    const input = `${base64url({ alg: 'ES256', typ: 'JWT', kid: key.kid, ...header })}.${base64url(all)}`;
    const signature = crypto.sign('sha256', Buffer.from(input), { key: key.privateKey, dsaEncoding: 'ieee-p1363' });
    return `${input}.${signature.toString('base64url')}`;
  }
  ticket(user = newUser(), claims = {}) {
    const now = Math.floor(Date.now() / 1000);
    return this.token(user, { claims: { aud: 'ticket', jti: crypto.randomUUID(), exp: now + 30, ...claims } });
  }
  next() {
    return 1 + Math.max(0, ...this.sessions.map((item) => item.n), ...this.users.map((item) => item.n));
  }
  endSession(sid) {
    this.sessions.push({ n: this.next(), sid, until: Date.now() + 400000 });
  }
  raiseRoleVersion(userId, least) {
    this.users.push({ n: this.next(), user_id: userId, least_rv: least, until: Date.now() + 400000 });
  }
  async close() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

// ---- services ---------------------------------------------------------------------------------------------------------

/** A service by Node's http server; `seen` holds what reached it. */
export class Service {
  static async start(handler = (req, res) => res.end('ok')) {
    const service = new Service();
    service.seen = [];
    service.sockets = new Set();
    service.handler = handler;
    service.server = http.createServer({ keepAliveTimeout: 60000 }, (req, res) => {
      service.seen.push({ method: req.method, url: req.url, headers: req.headers, rawHeaders: req.rawHeaders });
      service.handler(req, res, service);
    });
    service.server.on('connection', (socket) => {
      service.sockets.add(socket);
      socket.on('close', () => service.sockets.delete(socket));
    });
    await service.listen(await freePort()); // some come back at the same one
    return service;
  }
  async listen(port) {
    await new Promise((resolve, reject) => this.server.once('error', reject).listen(port, '127.0.0.1', resolve));
    this.port = this.server.address().port;
    this.address = `127.0.0.1:${this.port}`;
  }
  /** As a killed process: the port refuses, connections end. */
  async kill() {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
  async close() {
    this.server.closeAllConnections();
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(() => resolve()));
  }
}

/** A service that speaks bytes: `script(socket, text, n)` is called with each whole request head, n counting from 1. */
export class RawService {
  static async start(script) {
    const service = new RawService();
    service.heads = [];
    service.script = script;
    service.sockets = new Set();
    service.server = net.createServer((socket) => service.take(socket));
    await new Promise((resolve) => service.server.listen(0, '127.0.0.1', resolve));
    service.port = service.server.address().port;
    service.address = `127.0.0.1:${service.port}`;
    return service;
  }
  take(socket) {
    let text = '';
    this.sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('data', (part) => {
      text += part.toString('latin1');
      for (let end; (end = text.indexOf('\r\n\r\n')) >= 0; ) {
        const head = text.slice(0, end + 4);
        text = text.slice(end + 4);
        this.heads.push(head);
        this.script(socket, head, this.heads.length);
      }
      if (this.onBody) this.onBody(socket, text);
    });
  }
  async close() {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

// ---- the gateway ------------------------------------------------------------------------------------------------------

export class Gateway {
  /** `services`: {name: [service, ...]} become UPSTREAMS; `authority` and `redis` may be left out. */
  static async start({ services = {}, authority, redis, settings = {}, ready = Boolean(authority) } = {}) {
    const gateway = new Gateway();
    const upstreams = Object.entries(services).flatMap(([name, list]) => [list].flat().map((one) => `${name}=${one.address ?? one}`));
    gateway.env = {
      PATH: process.env.PATH,
      ASAN_OPTIONS: process.env.ASAN_OPTIONS ?? '',
      TSAN_OPTIONS: process.env.TSAN_OPTIONS ?? '',
      LISTEN: '127.0.0.1:0',
      ADMIN_LISTEN: '127.0.0.1:0',
      REDIS_URL: redis?.url ?? 'redis://127.0.0.1:1',
      UPSTREAMS: upstreams.join(','),
      AUTH_URL: authority?.url ?? 'http://127.0.0.1:1',
      DRAIN_SECONDS: '0',
      PROFILE: 'bench', // no limits per address: all load comes from one; tests of limits set another
      THREADS: '2',
      ...settings,
    };
    gateway.lines = [];
    gateway.child = spawn(binary, [], { env: gateway.env, stdio: ['ignore', 'ignore', 'pipe'] });
    let rest = '';
    gateway.child.stderr.setEncoding('utf8').on('data', (part) => {
      const lines = (rest + part).split('\n');
      rest = lines.pop();
      for (const line of lines) gateway.lines.push(line);
    });
    const started = await eventually(
      15000,
      () => gateway.event('started') ?? (gateway.child.exitCode !== null && { failed: gateway.lines.join('\n') }),
      'the gateway starts',
    );
    if (started.failed !== undefined) throw new Error(`the gateway ended at its start: ${started.failed}`);
    gateway.port = Number(started.listen.split(':').pop());
    gateway.url = `http://127.0.0.1:${gateway.port}`;
    gateway.admin = `http://127.0.0.1:${started.admin_port}`;
    if (ready) await eventually(10000, async () => (await fetch(`${gateway.admin}/readyz`)).status === 200, 'the gateway is ready');
    return gateway;
  }
  /** The first (or last) log line of an action, parsed. */
  event(action) {
    const line = this.lines.find((text) => text.includes(`"event.action":"${action}"`));
    return line && JSON.parse(line);
  }
  events(action) {
    return this.lines.filter((text) => text.includes(`"event.action":"${action}"`)).map((text) => JSON.parse(text));
  }
  signal(name) {
    this.child.kill(name);
  }
  async metric(name, labels = '') {
    const text = await (await fetch(`${this.admin}/metrics`)).text();
    return text
      .split('\n')
      .filter((line) => line.startsWith(name) && (line[name.length] === ' ' || line[name.length] === '{') && line.includes(labels))
      .reduce((sum, line) => sum + Number(line.split(' ').pop()), 0);
  }
  async registry() {
    return (await fetch(`${this.admin}/registry?format=json`)).json();
  }
  /** Kilobytes: {Pss, Private_Dirty, ...} */
  memory() {
    const text = fs.readFileSync(`/proc/${this.child.pid}/smaps_rollup`, 'utf8');
    return Object.fromEntries([...text.matchAll(/^(\w+): +(\d+) kB/gm)].map((match) => [match[1], Number(match[2])]));
  }
  alive() {
    return this.child.exitCode === null && this.child.signalCode === null;
  }
  async close() {
    const wasAlive = this.alive();
    if (wasAlive) this.child.kill('SIGTERM');
    const killer = setTimeout(() => this.child.kill('SIGKILL'), 20000);
    await ended(this.child);
    clearTimeout(killer);
    if (!wasAlive || this.child.exitCode !== 0)
      throw new Error(`the gateway ended with ${this.child.exitCode ?? this.child.signalCode}:\n${this.lines.slice(-15).join('\n')}`);
  }
}

/** Sanitizers keep what was freed: then memory is not measured. */
export const measured = !/address|thread/.test(process.env.BUILD ?? '');

/** Memory grew by at most `kb` since `before`. */
export function assertFlat(gateway, before, kb) {
  const grown = gateway.memory().Pss - before;
  if (measured) assert.ok(grown <= kb, `PSS grew by ${grown} kB, more than ${kb}`);
}

// ---- clients that send bytes ------------------------------------------------------------------------------------------

/** A connection that reads answers one after the other. */
export class Wire {
  static async open(port, { allowHalfOpen = true } = {}) {
    const wire = new Wire();
    wire.bytes = Buffer.alloc(0);
    wire.closed = false;
    wire.socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen });
    wire.socket.setNoDelay(true);
    wire.socket.on('data', (part) => (wire.bytes = Buffer.concat([wire.bytes, part])));
    wire.socket.on('error', (error) => (wire.error = error));
    wire.socket.on('end', () => (wire.ended = true));
    wire.socket.on('close', () => (wire.closed = true));
    await new Promise((resolve, reject) => wire.socket.once('connect', resolve).once('error', reject));
    return wire;
  }
  send(text) {
    this.socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text);
    return this;
  }
  get text() {
    return this.bytes.toString('latin1');
  }
  /** The next whole answer: {status, headers, body}. `head`: to a HEAD request. */
  async answer({ ms = 5000, head = false } = {}) {
    return eventually(ms, () => this.take(head) ?? (this.closed && !this.bytes.length && Promise.reject(new Error('closed'))), 'an answer', 5);
  }
  take(head) {
    const end = this.bytes.indexOf('\r\n\r\n');
    if (end < 0) return undefined;
    const lines = this.bytes.subarray(0, end).toString('latin1').split('\r\n');
    const status = Number(lines[0].split(' ')[1]);
    const headers = {};
    for (const line of lines.slice(1)) {
      const colon = line.indexOf(':');
      const name = line.slice(0, colon).toLowerCase();
      headers[name] = name in headers ? `${headers[name]}, ${line.slice(colon + 1).trim()}` : line.slice(colon + 1).trim();
    }
    const framed = bodyOf(this.bytes.subarray(end + 4), headers, head || status < 200 || status === 204 || status === 304, this.ended);
    if (!framed) return undefined;
    this.bytes = this.bytes.subarray(end + 4 + framed.used);
    const body = framed.body.toString('utf8');
    const answer = { status, headers, body, line: lines[0] };
    if (/json/.test(headers['content-type'] ?? '') && body) answer.json = JSON.parse(body);
    return answer;
  }
  async end({ ms = 5000 } = {}) {
    await eventually(ms, () => this.ended || this.closed, 'the end of the connection', 5);
  }
  close() {
    this.socket.destroy();
  }
}

/** Takes a body off the bytes as its headers frame it; undefined while it is not complete. Strict: it checks our output. */
function bodyOf(bytes, headers, none, ended) {
  if (none) return { body: Buffer.alloc(0), used: 0 };
  if (headers['transfer-encoding'] === undefined && headers['content-length'] === undefined)
    return ended ? { body: bytes, used: bytes.length } : undefined;
  if (headers['transfer-encoding'] === undefined) {
    const length = Number(headers['content-length']);
    return bytes.length >= length ? { body: bytes.subarray(0, length), used: length } : undefined;
  }
  const parts = [];
  for (let at = 0; ; ) {
    const eol = bytes.indexOf('\r\n', at);
    if (eol < 0) return undefined;
    const line = bytes.subarray(at, eol).toString('latin1');
    if (!/^[0-9a-f]+$/i.test(line)) throw new Error(`not a chunk size: ${JSON.stringify(line)}`);
    const size = parseInt(line, 16);
    if (bytes.length < eol + 2 + size + 2) return undefined;
    if (bytes.subarray(eol + 2 + size, eol + 4 + size).toString('latin1') !== '\r\n') throw new Error('a chunk does not end with CR LF');
    parts.push(bytes.subarray(eol + 2, eol + 2 + size));
    at = eol + 4 + size;
    if (size === 0) return { body: Buffer.concat(parts), used: at };
  }
}

/** One connection, one text, one answer. */
export async function exchange(port, text, options) {
  const wire = await Wire.open(port);
  try {
    return await wire.send(text).answer(options);
  } finally {
    wire.close();
  }
}

export const get = (target, headers = '') => `GET ${target} HTTP/1.1\r\nHost: a.example\r\n${headers}\r\n`;
export const bearer = (token) => `Authorization: Bearer ${token}\r\n`;

// ---- WebSocket, as little as an echo needs ------------------------------------------------------------------------------

export const websocketKey = 'dGhlIHNhbXBsZSBub25jZQ==';
export const upgradeTo = (target, headers = '') =>
  get(target, `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${websocketKey}\r\n${headers}`);
export const websocketAccept = (key) => crypto.createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');

/** Agrees to every upgrade and sends back what comes. `seen` of the service holds the requests. */
export function echoSockets(service) {
  service.upgraded = new Set();
  service.server.on('upgrade', (req, socket, head) => {
    service.seen.push({ method: req.method, url: req.url, headers: req.headers });
    service.upgraded.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => service.upgraded.delete(socket));
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${websocketAccept(req.headers['sec-websocket-key'])}\r\n\r\n`,
    );
    if (head.length) socket.write(head);
    socket.on('data', (part) => socket.write(part) || socket.pause());
    socket.on('drain', () => socket.resume());
    socket.on('end', () => socket.end());
  });
}
