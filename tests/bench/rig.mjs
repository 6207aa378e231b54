// rig.mjs - what the gateway's benchmarks stand on: private processes on loopback, pinned to cores, and tokens signed here.
import { spawn, spawnSync } from 'node:child_process';
import { createServer } from 'node:http';
import { createHmac, randomUUID, sign } from 'node:crypto';
import { chmodSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { freePort } from '../support/http.mjs';
import { keyPair } from '../support/keys.mjs';

export { freePort };

export const folder = mkdtempSync(path.join(os.tmpdir(), 'madang-bench-'));
chmodSync(folder, 0o755); // the stores' user must get in
const children = [];

export function stopAll() {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}
process.on('exit', stopAll);
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

// Waits until something listens; a process that ended first is an error with the end of its log.
async function listening(port, child, log) {
  for (const until = Date.now() + 10000; Date.now() < until; ) {
    if (child.exitCode !== null) break;
    const open = await new Promise((resolve) => {
      const socket = net.connect(port, '127.0.0.1', () => resolve(true)).once('error', () => resolve(false));
      socket.once('close', () => {});
      setTimeout(() => socket.destroy(), 50);
    });
    if (open) return;
  }
  throw new Error(`nothing listens on ${port}:\n${readFileSync(log, 'utf8').slice(-1500)}`);
}

/** Starts a program pinned to a core (null: any) and waits for its port. Resolves to its process. */
export async function start(name, core, command, args, { env = {}, port } = {}) {
  const log = path.join(folder, `${name}.log`);
  const out = openSync(log, 'a');
  const [file, all] = core === null ? [command, args] : ['taskset', ['-c', String(core), command, ...args]];
  const child = spawn(file, all, { env: { ...process.env, ...env }, stdio: ['ignore', out, out] });
  children.push(child);
  if (port) await listening(port, child, log);
  return child;
}

export async function stop(child) {
  if (child.exitCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
}

// ---- tokens ----
const b64 = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
export const keys = keyPair('ec', { namedCurve: 'P-256' });
export const hmacSecret = 'a-secret-of-thirty-two-characters!!';
const now = Math.floor(Date.now() / 1000);

function claims() {
  return { iss: 'madang', aud: 'madang', sub: uuid7(), sid: uuid7(), role: 'user', rv: 1, handle: 'bench', name: 'bench', iat: now, exp: now + 3600 };
}
function uuid7() {
  const hex = Date.now().toString(16).padStart(12, '0');
  const rest = randomUUID();
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7${rest.slice(15, 18)}-${rest.slice(19)}`;
}
export function es256() {
  const text = `${b64({ alg: 'ES256', typ: 'JWT', kid: 'bench' })}.${b64(claims())}`;
  return `${text}.${sign('sha256', Buffer.from(text), { key: keys.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}
export function hs256() {
  const text = `${b64({ alg: 'HS256', typ: 'JWT', kid: 'bench' })}.${b64(claims())}`;
  return `${text}.${createHmac('sha256', hmacSecret).update(text).digest('base64url')}`;
}
export function tokenFile(name, count, make) {
  const file = path.join(folder, name);
  writeFileSync(file, Array.from({ length: count }, make).join('\n') + '\n');
  return file;
}
export function file(name, text) {
  const where = path.join(folder, name);
  writeFileSync(where, text);
  return where;
}

/** auth-svc as the gateway sees it: the key set and an empty list of ended sessions. Lives in this process. */
export async function authPort() {
  const jwk = { ...keys.publicKey.export({ format: 'jwk' }), kid: 'bench', use: 'sig', alg: 'ES256' };
  const server = createServer((request, reply) => {
    reply.setHeader('Content-Type', 'application/json');
    reply.end(request.url.startsWith('/internal/revoked') ? '{"last":0,"sessions":[],"users":[],"more":false}' : JSON.stringify({ keys: [jwk] }));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  server.unref();
  return server.address().port;
}

/** A gateway on `core` in front of `upstream` (host:port of what answers /api/friends and /ws/chat). */
export async function gateway(build, core, upstream, env = {}) {
  const [port, admin, redis] = [await freePort(), await freePort(), await freePort()];
  await start('redis', null, 'redis-server', ['--port', String(redis), '--bind', '127.0.0.1', '--save', '', '--dir', folder], { port: redis });
  const child = await start('gateway', core, path.resolve(build, 'bin/gateway'), [], {
    port,
    env: {
      LISTEN: `127.0.0.1:${port}`, ADMIN_LISTEN: `127.0.0.1:${admin}`, REDIS_URL: `redis://127.0.0.1:${redis}`,
      AUTH_URL: `http://127.0.0.1:${await authPort()}`, UPSTREAMS: `user-svc=${upstream},chat-ws=${upstream}`,
      PROFILE: 'bench', ACCESS_LOG: 'off', THREADS: '1', ...env,
    },
  });
  await ready(admin);
  return { port, admin, child };
}

export async function ready(admin) {
  for (const until = Date.now() + 10000; Date.now() < until; ) {
    const reply = await fetch(`http://127.0.0.1:${admin}/readyz`, { signal: AbortSignal.timeout(1000) }).catch(() => null);
    if (reply?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error('the gateway is not ready');
}

/** Runs the load generator (by the program `before`, if there is one); resolves to its figures. Asynchronous, because auth-svc's part is played by this process. */
export function load(build, core, args, before = []) {
  const program = path.resolve(build, 'bench/load');
  return new Promise((resolve, reject) => {
    const child = spawn('taskset', ['-c', String(core), ...before, program, '--json', ...args.map(String)], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (part) => (text += part));
    child.on('exit', (code) => (text ? resolve({ ...JSON.parse(text), code }) : reject(new Error(`load ended with ${code}`))));
  });
}

/** The real process behind taskset (which execs, so it is the child itself). */
export const pidOf = (child) => child.pid;

export function machine() {
  const cpu = /model name\s*: (.*)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown';
  return `${os.cpus().length} cores of ${cpu}, Linux ${os.release().split('-')[0]}`;
}
export const version = (command, args, pattern) => {
  const { stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' }); // nginx tells its own on standard error
  return pattern.exec(`${stdout}${stderr}`)?.[1] ?? '?';
};
export const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
