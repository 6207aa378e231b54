// ready.mjs - how long the daemons of a whole stack take to be ready, all started at once: on stores that have never seen them, and again on the same stores.
//     node tests/bench/ready.mjs build/gcc [--runs N] [--phases]
// Counted from the start of the first daemon, which the supervisor starts when its stores are ready. A stack of its own on free ports, gone afterwards.
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const args = process.argv.slice(2);
const option = (name, otherwise) => (args.includes(name) ? Number(args[args.indexOf(name) + 1]) : otherwise);
const build = path.resolve(args[0]?.startsWith('--') ? 'build/gcc' : args[0] ?? 'build/gcc');
const runs = option('--runs', 3);
const nap = new Int32Array(new SharedArrayBuffer(4));
const TICK_MS = 1000 / Number(execFileSync('getconf', ['CLK_TCK']));
const bootMs = 1000 * Number(/^btime (\d+)/m.exec(readFileSync('/proc/stat', 'utf8'))[1]);

/** The first of `count` neighbouring ports that nothing listens on. */
function freePorts(count) {
  const taken = new Set(execFileSync('ss', ['-Hltn'], { encoding: 'utf8' }).split('\n').map((line) => Number(/:(\d+)\s/.exec(line.slice(20))?.[1])));
  for (let base = 12000; base < 31000; base += count) if (!Array.from({ length: count }, (_, i) => taken.has(base + i)).some(Boolean)) return base;
  throw new Error(`no ${count} free ports in a row`);
}

function stack(dir, port, command) {
  const env = {
    ...process.env, RUN_DIR: dir, BUILD: build, PG_PORT: port, REDIS_PORT: port + 1, KAFKA_PORT: port + 2, KAFKA_CONTROLLER_PORT: port + 3, GATEWAY_PORT: port + 10,
    SERVICE_PORT_BASE: port + 100, ADMIN_PORT_BASE: port + 250, DEMO: 'off', PROFILE: 'bench', GAME: 'off',
  };
  for (const name of ['PG_URL', 'REDIS_URL', 'KAFKA_BROKERS']) delete env[name];
  const begun = Date.now();
  const { status, stdout, stderr } = spawnSync('deploy/local/stack.sh', [command], { cwd: root, env, encoding: 'utf8' });
  if (status !== 0) throw new Error(`stack.sh ${command}:\n${stdout}${stderr}`);
  return Date.now() - begun;
}

/** CPU in milliseconds and the start of a process by the clock of the wall. */
function processOf(dir, name) {
  const stat = readFileSync(`/proc/${readFileSync(path.join(dir, `${name}.pid`), 'utf8').trim()}/stat`, 'utf8');
  const field = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { cpu: (Number(field[11]) + Number(field[12])) * TICK_MS, begun: bootMs + Number(field[19]) * TICK_MS };
}

/** The lines of a daemon's log from its last start on; how often it had to start. */
function words(dir, name) {
  const lines = readFileSync(path.join(dir, `${name}.log`), 'utf8').trim().split('\n').map((line) => JSON.parse(line));
  const starts = lines.flatMap((line, i) => (line['event.action'] === 'start' ? [i] : []));
  return { starts: starts.length, lines: lines.slice(starts.at(-1)).map((line) => ({ at: Date.parse(line['@timestamp']), what: line['event.action'], line })) };
}

function measure(dir, known) {
  const names = readdirSync(dir).filter((file) => /^(gateway|[a-z]+-svc)-1\.pid$/.test(file)).map((file) => file.slice(0, -4)).sort();
  const begun = Math.min(...names.map((name) => processOf(dir, name).begun));
  return Object.fromEntries(names.map((name) => {
    let starts, lines, ready;
    for (const until = Date.now() + 5000; !ready && Date.now() < until; Atomics.wait(nap, 0, 0, 20)) { // the log's line comes after the answer of /readyz
      ({ starts, lines } = words(dir, name));
      ready = lines.find(({ what }) => what === 'ready') ?? lines.find(({ what }) => what === 'auth_feed_back');
    }
    if (args.includes('--phases')) for (const { at, what, line } of lines) console.log(name.padEnd(14), String(at - begun).padStart(6), what, line.topic ?? line.migration ?? line.reason ?? '');
    return [name, { ready: (ready.at - begun) / 1000, cpu: processOf(dir, name).cpu, again: starts - 1 - (known[name]?.starts ?? 0), starts }];
  }));
}

const home = mkdtempSync(path.join(os.tmpdir(), 'madang-ready-'));
chmodSync(home, 0o755); // the stores' user must get in
process.on('exit', () => rmSync(home, { recursive: true, force: true }));
const table = {}, totals = [];
for (let run = 0; run < runs; run++) {
  const dir = path.join(home, `run${run}`), port = freePorts(400);
  try {
    const stores = stack(dir, port, 'stores');
    const kafka = processOf(dir, 'kafka').cpu;
    const up = stack(dir, port, 'up');
    const fresh = measure(dir, {}), spent = processOf(dir, 'kafka').cpu - kafka;
    stack(dir, port, 'daemons-down');
    const upAgain = stack(dir, port, 'up');
    const again = measure(dir, fresh);
    totals.push({ 'stores s': stores / 1000, 'up s': up / 1000, 'Kafka, CPU s': spent / 1000, 'up again s': upAgain / 1000,
      'load average': os.loadavg()[0].toFixed(1) });
    for (const name of Object.keys(fresh)) (table[name] ??= []).push({ fresh: fresh[name], again: again[name] });
  } finally {
    stack(dir, port, 'down');
    stack(dir, port, 'clean-data');
  }
}

const span = (values) => (runs > 1 ? `${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)}` : values[0].toFixed(2));
const mean = (values) => Math.round(values.reduce((sum, value) => sum + value, 0) / values.length);
console.log(`seconds from the start of the first daemon until each is ready, ${runs} run(s) (aim: 2)`);
console.table(Object.fromEntries(Object.entries(table).map(([name, rows]) => [name, {
  'brand-new stores': span(rows.map(({ fresh }) => fresh.ready)), 'CPU ms': mean(rows.map(({ fresh }) => fresh.cpu)), 'the same stores again': span(rows.map(({ again }) => again.ready)),
  ' CPU ms': mean(rows.map(({ again }) => again.cpu)), 'started over': rows.reduce((sum, { fresh, again }) => sum + fresh.again + again.again, 0),
}])));
console.log('by the commands: `make stores` from nothing, then `make up`, then again after `daemons-down`');
console.table(totals);
