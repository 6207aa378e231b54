// stack.mjs - the local stack as scripts may rely on it: .run/env, one .pid, .log, .url and .admin per instance. It is started by
// `make up` (tests/run.sh does so); RUN_DIR says where.
import { execFile, execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import { request } from './http.mjs';
import { eventually } from './wait.mjs';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const runDir = path.resolve(root, process.env.RUN_DIR ?? '.run');
export const buildDir = path.resolve(root, process.env.BUILD ?? 'build/gcc');

/** NAME=value lines a shell could source: plain or in single quotes. */
export function readEnv(file) {
  const values = {};
  for (const line of fs.readFileSync(file, 'utf8').split('\n')) {
    const match = /^([A-Z][A-Z0-9_]*)=(.*)$/.exec(line);
    if (match) values[match[1]] = match[2].replace(/^'(.*)'$/, '$1').replace(/^"(.*)"$/, '$1');
  }
  return values;
}

function loadEnv() {
  try {
    return readEnv(path.join(runDir, 'env'));
  } catch {
    throw new Error(`${runDir}/env is missing: start the stack with \`make up\``);
  }
}
export const env = loadEnv();

const read = (name) => fs.readFileSync(path.join(runDir, name), 'utf8').trim();
const asUrl = (address) => (/^https?:/.test(address) ? address : `http://${address}`);

/** The process of "gateway-1", "postgres", ...; undefined while there is none. */
export function pidOf(name) {
  try {
    const pid = Number(read(`${name}.pid`));
    return pid > 0 && alive(pid) ? pid : undefined;
  } catch {
    return undefined;
  }
}

export function alive(pid) {
  try {
    // A zombie is dead, though its number still answers signals.
    return !/^State:\s+Z/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** "user-svc" -> [{name: "user-svc-1", n: 1, url, admin}, ...] */
export function instances(service) {
  return fs
    .readdirSync(runDir)
    .map((file) => new RegExp(`^${service}-(\\d+)\\.url$`).exec(file))
    .filter(Boolean)
    .map((match) => Number(match[1]))
    .sort((a, b) => a - b)
    .map((n) => ({ name: `${service}-${n}`, n, url: asUrl(read(`${service}-${n}.url`)), admin: asUrl(read(`${service}-${n}.admin`)) }));
}

/** Every daemon that the stack runs. */
export const daemons = () =>
  [...new Set(fs.readdirSync(runDir).map((file) => /^([a-z-]+)-\d+\.admin$/.exec(file)?.[1]))].filter(Boolean).sort().flatMap(instances);
export const gateways = () => instances('gateway').map((gateway) => gateway.url);

export async function isReady(instance) {
  return (await request('GET', `${instance.admin}/readyz`, { timeout: 3000 })).status === 200;
}

export async function allReady(ms = 30000) {
  for (const instance of daemons()) await eventually(ms, () => pidOf(instance.name) && isReady(instance), `${instance.name} is ready`);
}

/** Sends a signal to one process; its number. */
export function signal(name, what) {
  const pid = pidOf(name);
  if (!pid) throw new Error(`${name} does not run`);
  process.kill(pid, what);
  if (what === 'SIGSTOP') stopped(pid);
  return pid;
}

/** A process stands still when the last of its threads does: one that runs on the other core goes on until then. */
function stopped(pid, ms = 10000) {
  const pause = new Int32Array(new SharedArrayBuffer(4)), until = Date.now() + ms;
  const state = (thread) => {
    try {
      return fs.readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8').replace(/^.*\) /s, '')[0];
    } catch {
      return 'T'; // it has ended
    }
  };
  while (!fs.readdirSync(`/proc/${pid}/task`).every((thread) => state(thread) === 'T')) {
    if (Date.now() > until) throw new Error(`${pid} does not stand still`);
    Atomics.wait(pause, 0, 0, 5);
  }
}

/** Waits until the supervisor has put another process in the place of `pid`. */
export const replaced = (name, pid, ms = 20000) =>
  eventually(ms, () => pidOf(name) !== undefined && pidOf(name) !== pid, `another process is ${name} (was ${pid})`);

/** kill -9, and the supervisor's next one is ready. */
export async function crash(instance, ms = 30000) {
  const pid = signal(instance.name, 'SIGKILL');
  await replaced(instance.name, pid, ms);
  await eventually(ms, () => isReady(instance), `${instance.name} is ready after kill -9`);
}

export async function storeAnswers(name) {
  if (name === 'redis') return redis('PING') === 'PONG';
  if (name === 'postgres') return (await import('./db.mjs')).answers();
  return kcatAnswers();
}

export async function crashStore(name, ms = 60000) {
  const pid = signal(name, 'SIGKILL');
  await replaced(name, pid, ms);
  await eventually(ms, () => storeAnswers(name), `${name} answers after kill -9`, 100);
}

/** One Redis command by redis-cli. */
export function redis(...words) {
  return execFileSync('redis-cli', ['-u', env.REDIS_URL, ...words], {
    encoding: 'utf8',
    timeout: 5000,
    stdio: ['ignore', 'pipe', 'pipe'],
  }).trim();
}

/** Others go on meanwhile: it takes seconds while there is no broker. */
const kcatAnswers = () => promisify(execFile)('kcat', ['-L', '-b', env.KAFKA_BROKERS, '-m', '5'], { timeout: 10000, maxBuffer: 1 << 26 }).then(() => true);

/** Resident bytes of a process. */
export function memoryOf(pid) {
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(kilobytes[1]) * 1024;
}

/** The instance's metrics as {name{labels}: number}. */
export async function metricsOf(instance) {
  const { text } = await request('GET', `${instance.admin}/metrics`);
  const values = {};
  for (const line of text.split('\n')) {
    const match = /^([a-zA-Z_:][\w:]*(?:\{.*\})?) (\S+)$/.exec(line);
    if (match) values[match[1]] = Number(match[2]);
  }
  return values;
}
