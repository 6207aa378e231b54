// sockets.mjs - what chat-svc's sockets cost: bytes of an idle one, fan-out in the common room, and how late a message is, at several rates. One chat-svc, its stores and
// the load on one machine; people and friendships come as events (tests/chat-svc/world.mjs). Needs stores: make stores.
//     node tests/bench/sockets.mjs build/gcc [idle|fan|latency ...]
import { execFile, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { EVERYBODY, World } from '../chat-svc/world.mjs';
import { calm, stolenSince } from './stolen.mjs';

const build = process.argv[2] ?? 'build/gcc';
const parts = process.argv.length > 3 ? process.argv.slice(3) : ['idle', 'fan', 'latency'];
const SPEAKERS = 2.5; // for a message a second: a person has five in ten seconds in a room for everybody
const run = promisify(execFile);
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'madang-sockets-'));
const world = new World();

/** Who listens at these stores' addresses, to see what they spend; nothing where that can't be seen. */
function stores() {
  const ports = { kafka: process.env.KAFKA_BROKERS?.split(':')[1], postgres: new URL(process.env.PG_URL).port };
  return Object.entries(ports).flatMap(([name, port]) => {
    const { stdout } = spawnSync('ss', ['-Hltnp', `sport = :${port}`], { encoding: 'utf8' });
    const pid = /pid=(\d+)/.exec(stdout ?? '')?.[1];
    return pid ? ['--pid', `${name}=${pid}`] : [];
  });
}

async function load(lines, options = {}) {
  const plan = path.join(folder, 'plan');
  fs.writeFileSync(plan, `${lines.join('\n')}\n`);
  const [instance] = world.instances;
  const args = ['--port', new URL(instance.wsUrl).port, '--plan', plan, '--pid', `chat-svc=${instance.child.pid}`, ...stores(), ...Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)])];
  const { stdout, stderr } = await run(path.join(build, 'bench/ws_load'), args, { timeout: 300_000 });
  if (stderr) console.log(stderr.slice(0, 500));
  return JSON.parse(stdout);
}

/** How the owner's batches went meanwhile. */
async function batches(work) {
  const names = ['madang_chat_batch_seconds', 'madang_pg_query_seconds'];
  const look = () => Promise.all(names.flatMap((name) => ['_count', '_sum'].map((part) => world.instances[0].metric(name + part))));
  const before = await look();
  const result = await work();
  const [count, seconds, trips, tripSeconds] = (await look()).map((value, i) => value - before[i]);
  return { ...result, batches: count, batchMs: Math.round((seconds / count) * 1e5) / 100, trips, tripMs: Math.round((tripSeconds / trips) * 1e5) / 100 };
}

/** `count` people whose accounts have come, a thousand at a time. */
async function crowd(count) {
  const people = [];
  while (people.length < count) people.push(...(await world.people(Math.min(1000, count - people.length))));
  return people;
}

console.log(`${os.cpus().length} cores, ${os.cpus()[0].model}`);
try {
  const passed = Object.fromEntries(Object.entries(process.env).filter(([name]) => name === 'WS_GATHER_MS' || name === 'CHAT_LANE' || name.startsWith('KAFKA_PARTITIONS')));
  await world.start({ WS_CONNECTIONS_MAX: '100000', PROFILE: 'bench', ...passed }, 1);
  const people = await crowd(1000);

  if (parts.includes('idle')) {
    const count = Number(process.env.SOCKETS ?? 10000);
    const rows = {};
    for (const [what, flags] of [['connected', '-'], ['and subscribed to one room', 's']]) {
      const lines = Array.from({ length: count }, (_, i) => `${people[i % people.length].token} ${EVERYBODY} ${flags}`);
      const { ready, connect_seconds: seconds, bytes_per_socket: bytes } = await load(lines, { 'connect-rate': 2000 });
      rows[what] = { sockets: ready, 'bytes each (PSS)': bytes['chat-svc'], 'seconds to connect': seconds };
    }
    console.log('idle sockets (aim: at most 4,096 bytes each)');
    console.table(rows);
  }

  if (parts.includes('fan')) {
    const rows = {};
    for (const [subscribers, rate] of (process.env.FAN ?? '1000x20,1000x100,1000x200,5000x20,5000x60').split(',').map((one) => one.split('x').map(Number))) {
      while (people.length < SPEAKERS * rate) people.push(...(await crowd(1000)));
      const speakers = people.slice(0, Math.max(500, SPEAKERS * rate));
      const lines = [
        ...Array.from({ length: subscribers }, (_, i) => `${people[i % 1000].token} ${EVERYBODY} ${i % 50 === 0 ? 'sl' : 's'}`),
        ...speakers.map(({ token }) => `${token} ${EVERYBODY} p`),
      ];
      const names = ['madang_chat_ws_frames_out_total', 'madang_chat_ws_writes_total'];
      const look = () => Promise.all(names.map((name) => world.instances[0].metric(name)));
      const before = await look();
      await calm();
      const stolen = stolenSince();
      const result = await load(lines, { rate, seconds: 8 });
      const share = stolen();
      const [frames, writes] = (await look()).map((value, i) => value - before[i]);
      rows[`${subscribers} x ${rate}/s`] = {
        'delivered/s': result.delivered_a_second, 'CPU us each': result.cpu_us_per_delivered['chat-svc'], 'frames a write': Math.round((frames / writes) * 100) / 100, 'share of a core': result.max_share_of_core['chat-svc'], p50: result.p50_ms, p99: result.p99_ms, errors: result.errors, 'stolen %': share,
      };
    }
    console.log('fan-out of 200 B in the common room');
    console.table(rows);
  }

  if (parts.includes('latency')) {
    const rows = {};
    const pairs = Array.from({ length: 300 }, (_, i) => [people[2 * i], people[2 * i + 1]]);
    const relations = pairs.map(([a, b]) => world.relation(a, b));
    world.tellRelations(relations);
    await world.copied(relations);
    // Whoever has a socket open is online, or every message would be a push too. There is no presence-svc here to say so.
    const online = pairs.flat().map(({ id }) => [id, world.event('presence', { user_id: id, online: true, visible: true, show_last_seen: true, last_seen: null, n: 1 })]);
    if (process.env.OFFLINE !== '1') world.publish('presence.changes', online);
    const rooms = [];
    for (let i = 0; i < pairs.length; i += 20) rooms.push(...(await Promise.all(pairs.slice(i, i + 20).map(([a, b]) => world.dm(a, b)))));
    for (const rate of (process.env.RATES ?? '100,1000,5000').split(',').map(Number)) {
      const lines = pairs.flatMap(([a, b], i) => [`${a.token} ${rooms[i].id} p`, `${b.token} ${rooms[i].id} sl`]);
      await calm();
      const stolen = stolenSince();
      const result = await batches(() => load(lines, { rate, seconds: 8 }));
      const share = stolen();
      const shares = result.max_share_of_core;
      rows[`${rate}/s`] = { batches: result.batches, 'ms a batch': result.batchMs, 'SQL trips': result.trips, 'ms a trip': result.tripMs, sent: result.sent, receipts: result.receipts, delivered: result.delivered, 'p50 ms': result.p50_ms, 'p99 ms': result.p99_ms, 'share of a core': shares['chat-svc'], kafka: shares.kafka, postgres: shares.postgres, errors: result.errors, 'stolen %': share };
    }
    console.log('from SEND to MESSAGE in direct rooms: a commit (CHAT_LANE=off: and a Kafka hop before it; aim at 1,000/s: p50 at most 5, p99 below 30)');
    console.table(rows);
  }
} finally {
  await world.stop();
  fs.rmSync(folder, { recursive: true });
}
process.exit(0);
