// yard.mjs - a local stack of a test's own: RUN_DIR in a folder of its own, free ports, the real supervisor and real stores, and
// stand-ins for the daemons (daemon.cjs) whose behaviour a test sets. The commands are those that the make targets call.
import { execFile, execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from '../support/wait.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.resolve(here, '../..');
const program = path.resolve(root, process.env.BUILD ?? 'build/gcc', 'bin/madang-supervise');
export const DAEMONS = ['gateway', 'auth-svc', 'user-svc', 'chat-svc', 'presence-svc', 'push-svc', 'notify-svc', 'match-svc', 'order-svc', 'game-svc']; // as in deploy/local/services.c
const PORTS = 200; // of one yard, and thirty yards below the range of outgoing connections
export const STORES = ['postgres', 'redis', 'kafka'];

/** Is the process there, and not a zombie? */
export function alive(pid) {
  try {
    return !/^State:\s+Z/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** Listens on the port until close(). */
export const occupy = (port) =>
  new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });

/** The first of PORTS neighbouring ports that are all free; below the range from which the system takes ports of outgoing connections. */
async function freePorts() {
  for (let i = 0, base = 10000 + (process.pid % 30) * PORTS; i < 30; i++, base = 10000 + ((base - 10000 + PORTS) % (30 * PORTS))) {
    const taken = await Promise.allSettled(Array.from({ length: PORTS }, (_, i) => occupy(base + i)));
    for (const one of taken) one.value?.close();
    if (taken.every((one) => one.status === 'fulfilled')) return base;
  }
  throw new Error(`no ${PORTS} free ports in a row`);
}

export class Yard {
  /** `mode` of the folder: 0o700 shuts out the plain user of the stores. `owner`: runs as this user, whose the folder is. */
  static async make({ mode = 0o755, owner } = {}) {
    const yard = new Yard();
    yard.home = fs.mkdtempSync(path.join(os.tmpdir(), 'madang-local-'));
    yard.dir = path.join(yard.home, 'run');
    yard.owner = owner;
    fs.chmodSync(yard.home, mode);
    const bin = path.join(yard.home, 'build/bin');
    fs.mkdirSync(bin, { recursive: true });
    fs.symlinkSync(program, path.join(bin, 'madang-supervise'));
    for (const name of DAEMONS) yard.addDaemon(name);
    // The jars of this checkout, read only: a stack of another user cannot write its lock.
    fs.mkdirSync(path.join(yard.home, 'cache/kafka'), { recursive: true });
    const jars = path.join(root, '.cache/kafka/lib');
    if (fs.existsSync(jars)) fs.symlinkSync(jars, path.join(yard.home, 'cache/kafka/lib'));
    // Fetched once for all tests, instead of once for each.
    const docs = path.join(root, '.cache/docs');
    execFileSync(path.join(root, 'deploy/docs/prepare.sh'), [docs]);
    if (fs.existsSync(docs)) fs.cpSync(docs, path.join(yard.home, 'cache/docs'), { recursive: true });
    if (owner) for (const name of ['.', 'cache', 'cache/kafka']) fs.chownSync(path.join(yard.home, name), owner.uid, owner.gid);
    yard.port = await freePorts();
    return yard;
  }

  addDaemon(name) {
    this.addProgram(name, fs.readFileSync(path.join(here, 'daemon.cjs')));
  }
  /** A script in the place of a daemon; its first line says how it runs. Never seen half written. */
  addProgram(name, text) {
    const file = path.join(this.home, 'build/bin', name);
    fs.writeFileSync(`${file}.new`, text, { mode: 0o755 });
    fs.renameSync(`${file}.new`, file);
  }

  environment(extra = {}) {
    const kept = Object.fromEntries(['PATH', 'HOME', 'LANG', 'TMPDIR'].filter((name) => process.env[name]).map((name) => [name, process.env[name]]));
    return {
      ...kept,
      RUN_DIR: this.dir,
      BUILD: path.join(this.home, 'build'),
      CACHE_DIR: path.join(this.home, 'cache'),
      PG_PORT: String(this.port),
      REDIS_PORT: String(this.port + 1),
      KAFKA_PORT: String(this.port + 2),
      GATEWAY_PORT: String(this.port + 5),
      SERVICE_PORT_BASE: String(this.port), // rows at +10 to +90
      ADMIN_PORT_BASE: String(this.port + 100), // rows at +100 to +190
      DEMO: 'off',
      READY_SECONDS: '90',
      ...extra,
    };
  }

  /** stack.sh with these words: {status, stdout, stderr, all}. */
  stack(words, extra) {
    const options = { env: this.environment(extra), cwd: root, timeout: 180000, maxBuffer: 1 << 24 };
    if (this.owner) Object.assign(options, { uid: this.owner.uid, gid: this.owner.gid });
    return new Promise((resolve) => {
      execFile(path.join(root, 'deploy/local/stack.sh'), words.split(' '), options, (error, stdout, stderr) => {
        resolve({ status: error ? (error.code ?? 1) : 0, stdout, stderr, all: stdout + stderr });
      });
    });
  }

  /** The same in the foreground, in a process group of its own, as a terminal has it. */
  foreground(words, extra) {
    const child = spawn(path.join(root, 'deploy/local/stack.sh'), words.split(' '), { env: this.environment(extra), cwd: root, detached: true });
    child.output = '';
    child.stdout.on('data', (part) => (child.output += part));
    child.stderr.on('data', (part) => (child.output += part));
    child.ended = new Promise((resolve) => child.on('close', (status) => resolve(status)));
    return child;
  }

  file(name) {
    return path.join(this.dir, name);
  }
  read(name) {
    return fs.readFileSync(this.file(name), 'utf8').trim();
  }
  pid(unit) {
    return Number(this.read(`${unit}.pid`));
  }
  pids(units) {
    return Object.fromEntries(units.map((unit) => [unit, this.pid(unit)]));
  }
  holder(part) {
    return Number(this.read(`${part}.lock`).split(' ')[0]);
  }

  /** How the stand-in of an instance behaves from its next start on: see daemon.cjs. */
  behave(instance, how) {
    fs.writeFileSync(this.file(`behave.${instance}`), how);
  }
  /** What the stand-in saw at its last start: its environment. */
  seen(instance) {
    return JSON.parse(this.read(`seen.${instance}`));
  }

  /** kill -9, and another process in its place. */
  async crash(unit) {
    const before = this.pid(unit);
    process.kill(before, 'SIGKILL');
    await eventually(15000, () => this.pid(unit) !== before && alive(this.pid(unit)), `another process is ${unit}`, 5);
    return { before, after: this.pid(unit) };
  }

  /** Processes that were started for this stack, with their command lines. */
  processes() {
    const found = [];
    for (const pid of fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      try {
        const environment = fs.readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
        if (environment.includes(`RUN_DIR=${this.dir}`)) found.push(`${pid} ${fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')}`);
      } catch {
        // gone meanwhile, or not ours to read
      }
    }
    return found;
  }

  async remove() {
    const down = await this.stack('down');
    const clean = await this.stack('clean-data');
    fs.rmSync(this.home, { recursive: true, force: true });
    return down.status === 0 && clean.status === 0;
  }
}
