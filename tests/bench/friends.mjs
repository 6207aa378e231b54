// friends.mjs - GET /api/friends through the gateway, every reply checked, beside what pgbench reaches with the same query alone.
//     node tests/bench/friends.mjs build/gcc [--seconds 20] [--warmup 5] [--users 10000] [--runs 1]
// Brings up a stack of its own (RUN_DIR in a temporary folder, PROFILE=bench), seeds people by COPY with their events, logs 300 of them in,
// then measures: 6 friends, 200 friends (pages of 100), and 6 friends with the store 5 ms away. Everything shares the machine's cores.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { file, folder, freePort, load, machine, ready, start } from './rig.mjs';

const build = process.argv[2] ?? 'build/gcc';
const option = (name, value) => (process.argv.includes(`--${name}`) ? Number(process.argv[process.argv.indexOf(`--${name}`) + 1]) : value);
const seconds = option('seconds', 20), warmup = option('warmup', 5), users = option('users', 10000), runs = option('runs', 1);
const CONNECTIONS = 300, DELAY_MS = 5;

const runDir = path.join(folder, 'run');
const ports = { GATEWAY_PORT: 18480, SERVICE_PORT_BASE: 17500, ADMIN_PORT_BASE: 17700, PG_PORT: 15832, REDIS_PORT: 16779, KAFKA_PORT: 19492 };
const env = { ...process.env, RUN_DIR: runDir, BUILD: build, PROFILE: 'bench', ACCESS_LOG: 'off', ...Object.fromEntries(Object.entries(ports).map(([k, v]) => [k, String(v)])) };
for (const name of ['PG_URL', 'REDIS_URL', 'KAFKA_BROKERS']) delete env[name];
const stack = (command) => execFileSync('deploy/local/stack.sh', [command], { env, stdio: ['ignore', 'ignore', 'inherit'] });
process.prependListener('exit', () => stack('down')); // before the folder goes

const read = (name) => readFileSync(path.join(runDir, name), 'utf8').trim();
const pid = (name) => Number(read(`${name}.pid`));
stack('up');
const shell = Object.fromEntries(read('env').split('\n').map((line) => /^(\w+)='?(.*?)'?$/.exec(line)).filter(Boolean).map((m) => [m[1], m[2]]));
const psql = (sql) => execFileSync('psql', ['-qAtX', '-d', shell.PG_URL, '-c', sql]).toString().trim();

// ---- people ----
function seed(count, friends, number) {
  const out = path.join(folder, `people-${number}.json`);
  execFileSync('node', ['tests/support/seed/seed.mjs', '--users', count, '--friends', friends, '--seed', number, '--out', out].map(String),
    { env: { ...env, PG_URL: shell.PG_URL }, stdio: ['ignore', 'ignore', 'inherit'] });
  return JSON.parse(readFileSync(out, 'utf8'));
}

async function drained() {
  for (const until = Date.now() + 180000; Date.now() < until; await new Promise((resolve) => setTimeout(resolve, 200)))
    if (psql('SELECT (SELECT count(*) FROM auth.outbox) + (SELECT count(*) FROM users.outbox)') === '0') return;
  throw new Error('the outboxes are not empty after 3 minutes');
}

// Real log-ins, a few at a time (each is a password hash); tokens live five minutes, so they are taken before each measurement.
async function tokens(people, password) {
  const all = new Array(people.length);
  let next = 0;
  const one = async () => {
    for (let i; (i = next++) < people.length; ) {
      const reply = await fetch(`${shell.GATEWAY_URL}/api/auth/login`, { method: 'POST', headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ login: people[i].email, password }) });
      if (!reply.ok) throw new Error(`log-in of ${people[i].email}: ${reply.status} ${await reply.text()}`);
      all[i] = (await reply.json()).access_token;
    }
  };
  await Promise.all(Array.from({ length: 4 }, one));
  return all;
}

// ---- measuring ----
async function measure(name, world, { url = shell.GATEWAY_URL, limit = 20, processes } = {}) {
  const chosen = world.people.slice(0, CONNECTIONS);
  const tokenFile = file(`${name}.tokens`, (await tokens(chosen, world.password)).join('\n') + '\n');
  const expected = file(`${name}.expect`, chosen.map((person) => person.friends.slice(0, limit).join(' ')).join('\n') + '\n');
  const pids = Object.entries(processes ?? { gateway: pid('gateway-1'), user: pid('user-svc-1') }).flatMap(([key, value]) => ['--pid', `${key}=${value}`]);
  const rows = [];
  for (let run = 0; run < runs; run++) {
    const figures = await load(build, '0,1', ['--url', `${url}/api/friends?limit=${limit}`, '--connections', CONNECTIONS, '--seconds', seconds,
      '--warmup', warmup, '--tokens', tokenFile, '--expect', expected, ...pids]);
    rows.push({ case: name, 'requests/s': figures.rate, 'p50 ms': figures.p50_ms, 'p95 ms': figures.p95_ms, 'p99 ms': figures.p99_ms,
      wrong: figures.wrong, errors: figures.errors + figures.not_2xx, 'gateway us': figures.cpu_us_gateway, 'user-svc us': figures.cpu_us_user });
  }
  return rows;
}

// The statement of user-svc/store_lists.c (list_friends) for a random person of the seed.
function pgbench(schemaSeed, limit) {
  psql(`CREATE SCHEMA IF NOT EXISTS bench; DROP TABLE IF EXISTS bench.ids;
        CREATE TABLE bench.ids AS SELECT row_number() OVER () AS n, user_id FROM users.people WHERE handle LIKE 'seed${schemaSeed}\\_%' LIMIT ${CONNECTIONS};
        ALTER TABLE bench.ids ADD PRIMARY KEY (n); ANALYZE;`);
  const ids = psql('SELECT user_id FROM bench.ids ORDER BY n').split('\n');
  const script = file('friends.sql', `\\set i random(0, ${ids.length - 1})\n` +
    `SELECT p.user_id, p.handle, p.nickname, p.avatar_key, (extract(epoch from f.since) * 1000)::bigint FROM users.friends f JOIN users.people p ON p.user_id = f.friend_id
     WHERE f.user_id = (SELECT user_id FROM bench.ids WHERE n = :i + 1) AND (f.since, f.friend_id) < (to_timestamp(140737488355328::bigint / 1000.0), 'ffffffff-ffff-ffff-ffff-ffffffffffff')
     ORDER BY f.since DESC, f.friend_id DESC LIMIT ${limit + 1};\n`);
  const program = execFileSync('sh', ['-c', 'ls -d /usr/lib/postgresql/*/bin/pgbench | tail -1']).toString().trim();
  const text = execFileSync(program, ['-n', '-f', script, '-M', 'prepared', '-c', '16', '-j', '2', '-T', '10', shell.PG_URL], { stdio: ['ignore', 'pipe', 'ignore'] }).toString();
  return Number(/tps = ([\d.]+)/.exec(text)[1]);
}

// A second user-svc whose database is DELAY_MS away, and a gateway in front of it.
async function farAway() {
  const [pgPort, redisPort, port, admin, gatewayPort, gatewayAdmin] = await Promise.all(Array.from({ length: 6 }, freePort));
  await start('delay', null, path.resolve(build, 'bench/delay_proxy'), [pgPort, ports.PG_PORT, DELAY_MS].map(String), { port: pgPort });
  await start('far-redis', null, 'redis-server', ['--port', String(redisPort), '--bind', '127.0.0.1', '--save', '', '--dir', folder], { port: redisPort });
  const environment = (name) => Object.fromEntries(readFileSync(`/proc/${pid(name)}/environ`, 'utf8').split('\0').filter(Boolean).map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
  const own = environment('user-svc-1');
  const shared = { REDIS_URL: `redis://127.0.0.1:${redisPort}`, AUTH_URL: `http://${read('auth-svc-1.url').replace(/^http:\/\//, '')}` };
  const user = await start('far-user-svc', null, path.resolve(build, 'bin/user-svc'), [], { port, env: { ...own, ...shared, LISTEN: `127.0.0.1:${port}`,
    ADMIN_LISTEN: `127.0.0.1:${admin}`, INSTANCE: 'user-svc-far', INSTANCE_SLOT: '9', WORKERS: '64', USER_DB_URL: own.USER_DB_URL.replace(`:${ports.PG_PORT}/`, `:${pgPort}/`) } });
  await ready(admin);
  const gate = await start('far-gateway', null, path.resolve(build, 'bin/gateway'), [], { port: gatewayPort, env: { ...environment('gateway-1'), ...shared,
    LISTEN: `127.0.0.1:${gatewayPort}`, ADMIN_LISTEN: `127.0.0.1:${gatewayAdmin}`, INSTANCE: 'gateway-far', UPSTREAMS: `user-svc=127.0.0.1:${port}` } });
  await ready(gatewayAdmin);
  return { url: `http://127.0.0.1:${gatewayPort}`, processes: { gateway: gate.pid, user: user.pid } };
}

const few = seed(users, 6, 1);
await drained();
psql('VACUUM ANALYZE');
const rows = [];
const peer = [pgbench(1, 20)];
rows.push(...(await measure('6 friends', few)));
peer.push(pgbench(1, 20));
const many = seed(2000, 200, 2);
await drained();
psql('VACUUM ANALYZE');
const peerMany = pgbench(2, 100);
rows.push(...(await measure('200 friends, page of 100', many, { limit: 100 })));
rows.push(...(await measure(`6 friends, store ${DELAY_MS} ms away`, few, await farAway())));

console.log(`${machine()}; load generator, gateway, user-svc and PostgreSQL share the cores; ${CONNECTIONS} connections, ${users} people`);
console.table(rows);
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const summary = [...new Set(rows.map((row) => row.case))].map((name) => {
  const rates = rows.filter((row) => row.case === name).map((row) => row['requests/s']);
  return { case: name, runs: rates.length, 'mean/s': Math.round(mean(rates)), 'least/s': Math.min(...rates), 'most/s': Math.max(...rates) };
});
if (runs > 1) console.table(summary);
const mine = summary[0]['mean/s'];
console.log(`pgbench, the same query alone, 16 clients: ${peer.map((tps) => tps.toFixed(0)).join(' and ')}/s for 6 friends (before and after), ${peerMany.toFixed(0)}/s for 100 of 200`);
console.log(`ratio to pgbench: ${(mine / ((peer[0] + peer[1]) / 2)).toFixed(2)} (aim 0.5); rate ${mine}/s (aim 5,000; the original 186.6)`);
console.log(`wrong answers: ${rows.reduce((sum, row) => sum + row.wrong, 0)}, errors: ${rows.reduce((sum, row) => sum + row.errors, 0)}`);
process.exit(rows.some((row) => row.wrong || row.errors) ? 1 : 0);
