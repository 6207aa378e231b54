// trading.mjs - the seed's own load (Stocking's test, repeated fairly), and what one order costs.
//     node tests/bench/trading.mjs build/gcc [--orders 100,200,500,1000] [--users 100] [--single 1000] [--rate 2000] [--viewers 1000] [--seconds 10]
//         [--parts load,market,single,reject,viewers,kill,back]
// Brings up a whole stack of its own; one game-svc is started here, so that each run has a fresh round that stays open: 3 companies, opening book of factor 1000, no
// bots. Everything shares the machine's cores, the generator (trade_load) too. After each run every answered order is looked up, and the round is closed, audited and replayed.
//   load     n orders of each of the users, one after the other without pause: half market, half limit, size 1-10, buy or sell, any of the companies, limits spread over
//            340,986-1,499,997 won and rounded down to the tick by the client (the file is the same in every run: fixed seed). A warm-up run of 100 comes first
//   market   the second file: market orders only, size 1-3
//   reject   the same road with an engine that refuses everything: a market that has not started
//   single   one user, nothing else: an order until its answer, and until it is settled
//   viewers  a fixed rate, without and with viewers of one company's book, trades and ticker
//   kill     the same fixed rate, and kill -9 of the instance that owns the market in the middle of it
//   back     kill -9 of the instance that owns the market: until the next order has its verdict, with the supervisor and without
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { file, folder, freePort, machine, median } from './rig.mjs';
import { calm, stolenSince } from './stolen.mjs';

const build = process.argv[2] ?? 'build/gcc';
const option = (name, value) => (process.argv.includes(`--${name}`) ? process.argv[process.argv.indexOf(`--${name}`) + 1] : value);
const sizes = option('orders', '100,200,500,1000').split(',').map(Number);
const users = Number(option('users', 100)), single = Number(option('single', 1000));
const rate = Number(option('rate', 2000)), viewers = Number(option('viewers', 1000)), seconds = Number(option('seconds', 10));
const parts = option('parts', 'load,market,single,reject,viewers,kill,back').split(',');

// ---- the stack ----

const base = Number(process.env.BENCH_PORT_BASE ?? 17400);
const ports = { GATEWAY_PORT: base, SERVICE_PORT_BASE: base + 100, ADMIN_PORT_BASE: base + 250, PG_PORT: base + 20, REDIS_PORT: base + 21, KAFKA_PORT: base + 22, KAFKA_CONTROLLER_PORT: base + 23 };
Object.assign(process.env, Object.fromEntries(Object.entries(ports).map(([key, value]) => [key, String(value)])), {
  RUN_DIR: path.join(folder, 'run'), BUILD: build, PROFILE: 'bench', LOG_LEVEL: 'warn', ACCESS_LOG: 'off', DEMO: 'off', SCALE: 'game-svc=0 match-svc=2',
});
for (const name of ['PG_URL', 'REDIS_URL', 'KAFKA_BROKERS']) delete process.env[name];
const stack = (command) => execFileSync('deploy/local/stack.sh', [command], { stdio: ['ignore', 'ignore', 'inherit'] });
process.prependListener('exit', () => stack('down')); // before the folder goes
stack('up');

const { env, instances, isReady, metricsOf, pidOf, replaced, runDir } = await import('../support/stack.mjs'); // reads RUN_DIR
const { sql } = await import('../support/db.mjs');
const { Api } = await import('../support/http.mjs');
const { names } = await import('../support/people.mjs');
const { audit, replay } = await import('../support/trading.mjs');
const { eventually, pause, random } = await import('../support/wait.mjs');

const gateway = new URL(env.GATEWAY_URL).host;
const GAME = { GAME_HOLD: 'on', GAME_BOTS: 'off', GAME_SETUP_SECONDS: '1', GAME_COMPANIES: '3', GAME_BOOK_FACTOR: '1000' };
const gamePorts = { http: await freePort(), admin: await freePort() };
let game;

async function startGame(settings) {
  await stopGame();
  const log = fs.openSync(path.join(runDir, 'game-svc.log'), 'a');
  game = spawn(path.resolve(build, 'bin/game-svc'), [], {
    env: {
      PATH: process.env.PATH, GAME_DB_URL: env.GAME_DB_URL, REDIS_URL: env.REDIS_URL, KAFKA_BROKERS: env.KAFKA_BROKERS, AUTH_URL: instances('auth-svc')[0].url, INSTANCE: 'game-svc-bench', INSTANCE_SLOT: '1',
      LISTEN: `127.0.0.1:${gamePorts.http}`, ADMIN_LISTEN: `127.0.0.1:${gamePorts.admin}`, DRAIN_SECONDS: '0', LOG_LEVEL: 'warn', PROFILE: 'bench', ...Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith('KAFKA_PARTITIONS'))), ...settings,
    },
    stdio: ['ignore', log, log],
  });
  game.gone = new Promise((resolve) => game.on('exit', resolve));
  await eventually(30000, () => isReady({ admin: `http://127.0.0.1:${gamePorts.admin}` }), 'game-svc is ready');
}
async function stopGame() {
  if (!game) return;
  game.kill('SIGTERM');
  await game.gone;
  game = undefined;
}
process.on('exit', () => game?.kill('SIGKILL'));

/** A new round, in `phase`. The one before is closed, audited and replayed. */
async function freshRound(phase, settings = {}) {
  await endRound();
  await startGame({ ...GAME, ...settings });
  const api = new Api(env.GATEWAY_URL);
  const round = await eventually(60000, async () => {
    const { json } = await api.get('/api/game/round');
    return json?.phase === phase && !faults.known.has(json.id) && json;
  }, `a round in phase ${phase}`);
  faults.known.add(round.id);
  await eventually(30000, async () => (await sql('SELECT 1 FROM orders.markets WHERE id = $1 AND phase = $2', [round.id, phase === 'open' ? 'open' : 'set_up'])).length, 'order-svc knows it');
  const { items } = (await api.get('/api/game/companies')).json;
  return (current = { ...round, held: settings.GAME_HOLD !== 'off', companies: items.sort((a, b) => a.index - b.index) });
}
let current;
const faults = { list: [], known: new Set() };

async function endRound() {
  if (!current) return;
  await startGame({ ...GAME, GAME: 'off', GAME_HOLD: current.held ? 'off' : 'on' }); // a round of the other kind must make way
  await eventually(60000, async () => (await sql("SELECT 1 FROM orders.markets WHERE id = $1 AND phase = 'closed'", [current.id])).length, 'the round is closed and settled');
  for (const [name, look] of [['audit', audit], ['replay', replay]]) {
    const { ok, text } = await look(current.id);
    if (!ok) faults.list.push(`${name} of ${current.id}: ${text.slice(-600)}`);
  }
  current = undefined;
}

// ---- people and orders ----

/** Their sign-ups and log-ins are no part of the orders' time; told apart. */
async function crowd(n) {
  const wishes = Array.from({ length: n }, () => names('t'));
  const api = new Api(env.GATEWAY_URL);
  const timed = async (work) => {
    const began = performance.now();
    const out = await Promise.all(wishes.map(work));
    return [out, (performance.now() - began) / 1000];
  };
  const [, signUp] = await timed((wish) => api.post('/api/auth/signup', wish, { timeout: 120000 }));
  const [sessions, logIn] = await timed((wish) => eventually(240000, async () => { // a machine that is full answers 503 and 504
    const reply = await api.post('/api/auth/login', { login: wish.email, password: wish.password }, { timeout: 120000 });
    if (reply.status < 500 && reply.status !== 200) throw new Error(reply.text);
    return reply.status === 200 && reply;
  }, 'everybody is logged in', 200));
  return { tokens: sessions.map(({ json }) => json.access_token), signUp, logIn };
}
async function logOut(tokens) {
  const began = performance.now();
  await Promise.all(tokens.map((token) => new Api(env.GATEWAY_URL, token).post('/api/auth/logout')));
  return (performance.now() - began) / 1000;
}

const TICK = 10000;
function order(chance, companies, kind) {
  const wish = { company_id: companies[Math.floor(chance() * companies.length)].id, side: chance() < 0.5 ? 'buy' : 'sell' };
  if (kind === 'market') return { ...wish, type: 'market', quantity: 1 + Math.floor(chance() * 3) };
  const market = chance() < 0.5, quantity = 1 + Math.floor(chance() * 10);
  const price = Math.floor((340986 + chance() * (1499997 - 340986)) / TICK) * TICK;
  return market ? { ...wish, type: 'market', quantity } : { ...wish, type: 'limit', quantity, price };
}
function orderFile(count, companies, kind) {
  const chance = random(20240423);
  return file('orders', Array.from({ length: count }, () => JSON.stringify(order(chance, companies, kind))).join('\n') + '\n');
}

// ---- measuring ----

function cpuOf(pid) {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10000; // microseconds, of ticks of 10 ms
}
const childrenOf = (pid) => fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
const sum = (list) => list.reduce((a, b) => a + b, 0);
function cpu() {
  const of = (service) => sum(instances(service).map(({ name }) => cpuOf(pidOf(name))));
  const safe = (pid) => { try { return cpuOf(pid); } catch { return 0; } }; // a backend that has just ended
  return {
    gateway: of('gateway'), 'order-svc': of('order-svc'), 'match-svc': of('match-svc'), 'chat-svc': of('chat-svc'), 'game-svc': cpuOf(game.pid),
    kafka: cpuOf(pidOf('kafka')), postgres: cpuOf(pidOf('postgres')) + sum(childrenOf(pidOf('postgres')).map(safe)),
  };
}
const spent = (from, to, n) => Object.fromEntries(Object.keys(from).map((name) => [name, Math.round((to[name] - from[name]) / n)]));

const run = (program, args) =>
  new Promise((resolve, reject) => {
    const child = spawn(path.resolve(build, 'bench', program), args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (part) => {
      text += part;
      if (text.startsWith('ready\n')) child.onReady?.();
    });
    child.on('exit', (code) => (text ? resolve({ ...JSON.parse(text.replace('ready\n', '')), code }) : reject(new Error(`${program} ended with ${code}`))));
    run.last = child;
  });

async function endOffset(partition) {
  const text = execFileSync('kcat', ['-Q', '-b', env.KAFKA_BROKERS, '-t', `market.events:${partition}:-1`], { encoding: 'utf8' });
  return Number(/offset (\d+)/.exec(text)[1]);
}
/** Milliseconds from now until order-svc has settled all that is in the log. */
async function untilSettled() {
  const began = performance.now();
  const [{ partition }] = await sql('SELECT partition FROM orders.markets WHERE id = $1', [current.id]);
  const end = await endOffset(partition);
  await eventually(300000, async () => (await sql("SELECT next_offset FROM orders.applied WHERE topic = 'market.events' AND partition = $1", [partition]))[0]?.next_offset >= end, 'all is settled', 2);
  return performance.now() - began;
}

/** Every answered order stands once, as answered; one that was stored without a verdict (202) stands in some way, one that got no answer may. */
async function check(out) {
  const told = fs.readFileSync(out, 'utf8').trim().split('\n').map((line) => line.split(' '));
  const answered = told.filter(([, id]) => id !== '-');
  const fault = (text) => faults.list.push(text);
  if (new Set(answered.map(([, id]) => id)).size !== answered.length) fault('an order was answered twice');
  const rows = new Map((await sql('SELECT id, status FROM orders.orders WHERE market_id = $1 AND NOT bot', [current.id])).map(({ id, status }) => [id, status]));
  for (const [status, id, state] of answered) {
    const row = rows.get(id);
    const fits = status === '202' ? row : status !== '201' ? row === 'rejected' : ['open', 'partial'].includes(state) ? ['open', 'filled'].includes(row) : row === state;
    if (!fits && faults.list.length < 20) fault(`order ${id}: answered ${status} ${state}, is ${row}`);
  }
  if (rows.size < answered.length || rows.size > told.length) fault(`${answered.length} of ${told.length} orders were answered, ${rows.size} are there`);
  return told;
}

async function load(name, n, kind, { rejecting = false } = {}) {
  await freshRound(rejecting ? 'setup' : 'open', rejecting ? { GAME_SETUP_SECONDS: '86400', GAME_HOLD: 'off' } : {});
  const { tokens, signUp, logIn } = await crowd(users);
  const count = n * users, out = path.join(folder, 'outcomes');
  const args = ['--gateway', gateway, '--tokens', file('tokens', tokens.join('\n') + '\n'), '--orders', orderFile(count, current.companies, kind), '--out', out];
  await calm();
  const stolen = stolenSince(), before = cpu(), began = performance.now();
  const figures = await run('trade_load', args);
  const share = stolen(), settledMs = await untilSettled();
  const wall = (performance.now() - began) / 1000, after = cpu();
  await check(out);
  const logOutS = await logOut(tokens);
  return {
    figures,
    row: {
      run: name, orders: count, '/s': figures.rate, 'mean ms': figures.mean_ms, p50: figures.p50_ms, p95: figures.p95_ms, p99: figures.p99_ms, max: figures.max_ms, taken: figures.accepted, refused: figures.refused,
      errors: figures.errors + figures.other, 'last settled ms': Math.round(settledMs), 'settled/s': Math.round(count / wall), 'sign-up s': signUp.toFixed(1), 'log-in s': logIn.toFixed(1), 'log-out s': logOutS.toFixed(1), 'stolen %': share,
    },
    cost: { run: name, ...spent(before, after, count) },
  };
}

// ---- the parts ----

const rows = [], costs = [];
const note = ({ row, cost }) => {
  rows.push(row);
  costs.push(cost);
};
let best = 0;
if (parts.includes('load')) {
  await load('warm-up', 100, 'both');
  for (const n of sizes) {
    const result = await load(`${users} x ${n}`, n, 'both');
    best = Math.max(best, result.figures.rate);
    note(result);
  }
}
if (parts.includes('market')) for (const n of sizes) note(await load(`market only, ${users} x ${n}`, n, 'market'));
if (parts.includes('reject')) note(await load(`engine refuses all, ${users} x ${sizes.at(-1)}`, sizes.at(-1), 'both', { rejecting: true }));

console.log(`${machine()}; the generator and everything else share the cores`);
if (rows.length) {
  console.table(rows);
  console.log('microseconds of CPU per order:');
  console.table(costs);
  if (parts.includes('reject') && best) console.log(`taken by the book beside an engine that refuses all: ${(best / rows.at(-1)['/s']).toFixed(2)}`);
}

if (parts.includes('single')) {
  await freshRound('open');
  const { tokens } = await crowd(1);
  const api = new Api(env.GATEWAY_URL, tokens[0]);
  const chance = random(1), answered = [], settled = [];
  for (let i = 0; i < single; i++) {
    const began = performance.now();
    const reply = await api.post('/api/orders', order(chance, current.companies, 'market'));
    answered.push(performance.now() - began);
    const id = reply.json.id ?? reply.json.order_id;
    await eventually(10000, async () => (await sql('SELECT 1 FROM orders.orders WHERE id = $1', [id])).length, 'settled', 0);
    settled.push(performance.now() - began);
  }
  const at = (list, part) => [...list].sort((a, b) => a - b)[Math.floor((list.length - 1) * part)].toFixed(2);
  console.log(`one order, ${single} times, nothing else: send to verdict p50 ${at(answered, 0.5)} ms, p99 ${at(answered, 0.99)}; send to settled p50 ${at(settled, 0.5)} ms, p99 ${at(settled, 0.99)}`);
}

if (parts.includes('viewers')) {
  const table = [];
  let quiet;
  for (const watching of [0, viewers]) {
    await freshRound('open');
    const { tokens } = await crowd(users);
    const count = Math.round((rate * seconds) / users) * users;
    const args = ['--gateway', gateway, '--tokens', file('tokens', tokens.join('\n') + '\n'), '--orders', orderFile(count, current.companies, 'both'), '--out', path.join(folder, 'outcomes'), '--rate', String(rate)];
    let watch;
    if (watching) {
      watch = run('trade_watch', ['--gateway', gateway, '--company', current.companies[0].id, '--viewers', String(watching), '--seconds', String(seconds + 2)]);
      await new Promise((resolve) => (run.last.onReady = resolve));
    }
    const [stolen, before, began] = [stolenSince(), cpu(), performance.now()];
    const figures = await run('trade_load', args);
    const share = stolen(), seen = await watch;
    const [after, lasted] = [cpu(), (performance.now() - began) / 1000];
    await untilSettled();
    await check(path.join(folder, 'outcomes'));
    const feeding = (after.gateway + after['match-svc'] - before.gateway - before['match-svc']) / lasted; // microseconds a second
    if (!watching) quiet = feeding;
    table.push({
      viewers: watching, '/s': figures.rate, p50: figures.p50_ms, p99: figures.p99_ms, max: figures.max_ms, errors: figures.errors + figures.other, 'stolen %': share,
      'cores (gateway, match-svc)': (feeding / 1e6).toFixed(2),
      ...(seen && { frames: seen.frames, 'us of CPU a frame': (((feeding - quiet) * lasted) / seen.frames).toFixed(2), 'late p50 ms': seen.late_p50_ms, 'late p99': seen.late_p99_ms, 'late max': seen.late_max_ms, 'later than 1 s': seen.later_than_1_s, gone: seen.gone }),
    });
    if (seen?.later_than_1_s || seen?.gone) faults.list.push(`viewers: ${JSON.stringify(seen)}`);
  }
  console.log(`${rate} orders/s for ${seconds} s:`);
  console.table(table);
}

if (parts.includes('kill')) {
  await freshRound('open');
  const { tokens } = await crowd(users);
  const count = Math.round((rate * seconds) / users) * users, out = path.join(folder, 'outcomes');
  const args = ['--gateway', gateway, '--tokens', file('tokens', tokens.join('\n') + '\n'), '--orders', orderFile(count, current.companies, 'both'), '--out', out, '--rate', String(rate)];
  const open = await Promise.all(instances('match-svc').map(async (instance) => (await metricsOf(instance))['madang_match_markets{state="open"}']));
  const owner = instances('match-svc')[open.findIndex((n) => n > 0)], pid = pidOf(owner.name);
  const running = run('trade_load', args);
  await pause(seconds * 500);
  process.kill(pid, 'SIGKILL');
  const figures = await running;
  const settledMs = await untilSettled();
  const told = await check(out);
  await replaced(owner.name, pid, 30000);
  console.log(`${rate} orders/s for ${seconds} s, kill -9 of the market's owner after half of it:`);
  console.table([{
    '/s': figures.rate, 'mean ms': figures.mean_ms, p50: figures.p50_ms, p95: figures.p95_ms, p99: figures.p99_ms, max: figures.max_ms, taken: figures.accepted, refused: figures.refused,
    'stored, no verdict (202)': told.filter(([status]) => status === '202').length, 'sent back (503)': told.filter(([status]) => status === '503').length, 'no answer': figures.errors, 'last settled ms': Math.round(settledMs),
  }]);
  await eventually(30000, () => isReady(owner), `${owner.name} is ready`);
}

if (parts.includes('back')) {
  await freshRound('open');
  const { tokens } = await crowd(1);
  const api = new Api(env.GATEWAY_URL, tokens[0]);
  const verdict = async () => {
    const reply = await api.post('/api/orders', { company_id: current.companies[0].id, side: 'buy', type: 'limit', price: TICK, quantity: 1 }, { timeout: 20000, headers: { Prefer: 'wait=1' } }).catch(() => undefined);
    return reply?.status === 201 || reply?.status === 422;
  };
  const supervisor = Number(fs.readFileSync(path.join(runDir, 'daemons.lock'), 'utf8').split(' ')[0]);
  /** Which instance answers for the market: its applied commands grow. */
  const owner = async () => {
    const applied = async (instance) => sum(Object.entries(await metricsOf(instance)).filter(([name]) => name.startsWith('madang_match_commands_total')).map(([, n]) => n));
    const all = instances('match-svc');
    const before = await Promise.all(all.map(applied));
    return eventually(30000, async () => {
      if (!(await verdict())) return undefined;
      const now = await Promise.all(all.map(applied));
      return all.find((_, i) => now[i] > before[i]);
    }, 'the owner of the market');
  };
  const back = { 'with the supervisor': [], 'without': [] };
  for (let turn = 0; turn < 3; turn++)
    for (const how of Object.keys(back)) {
      const instance = await owner();
      const pid = pidOf(instance.name);
      if (how === 'without') process.kill(supervisor, 'SIGSTOP');
      const began = performance.now();
      process.kill(pid, 'SIGKILL');
      await eventually(60000, verdict, 'a verdict after the kill', 5);
      back[how].push((performance.now() - began) / 1000);
      process.kill(supervisor, 'SIGCONT');
      await replaced(instance.name, pid, 30000);
      await eventually(30000, () => isReady(instance), `${instance.name} is ready`);
    }
  for (const [how, list] of Object.entries(back)) console.log(`a market is back after kill -9 of its owner, ${how}: ${median(list).toFixed(2)} s (${list.map((s) => s.toFixed(2)).join(', ')})`);
}
await endRound();
for (const fault of faults.list) console.log(`FAULT ${fault}`);
console.log(faults.list.length ? `${faults.list.length} faults` : 'every answered order stands as answered; every round is audited and replayed: clean');
await stopGame();
process.exit(faults.list.length ? 1 : 0);
