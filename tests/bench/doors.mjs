// doors.mjs - sockets and streams through two gateways: what an idle one costs in each process, 5,000 that come back at once, and how late a notice is. Two chat-svc, one presence-svc, one notify-svc,
// their stores, the gateways and the load on one machine; people come as events. Needs stores: make stores.
//     node tests/bench/doors.mjs build/gcc [idle|reconnect|streams ...]        SOCKETS=10000 CLIENTS=5000 STREAMS=2000
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { World as Chat } from '../chat-svc/world.mjs';
import { World as Notify } from '../notify-svc/world.mjs';
import { eventually } from '../support/wait.mjs';
import { ServiceWorld } from '../support/world.mjs';
import { file, folder, freePort, ready, start, stop } from './rig.mjs';

const build = path.resolve(process.argv[2] ?? 'build/gcc');
const parts = process.argv.length > 3 ? process.argv.slice(3) : ['idle', 'reconnect', 'streams'];
const number = (name, otherwise) => Number(process.env[name] ?? otherwise);
const kilobytes = ({ pid }) => Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1]);
const sum = (values) => values.reduce((all, one) => all + one, 0);
const quantile = (values, share) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))];

/** Two gateways that find the world's instances in its registry, and believe its tokens. */
async function gateways(world) {
  const all = [];
  for (const name of ['left', 'right']) {
    const [port, admin] = [await freePort(), await freePort()];
    const env = {
      LISTEN: `127.0.0.1:${port}`, ADMIN_LISTEN: `127.0.0.1:${admin}`, REDIS_URL: world.redisUrl, AUTH_URL: world.auth.url, INSTANCE: `gateway-bench-${name}-${process.pid}`,
      PROFILE: 'bench', ACCESS_LOG: 'off', THREADS: '1', MAX_CONNECTIONS: '60000',
    };
    all.push({ port, child: await start(`gateway-${name}`, null, path.join(build, 'bin/gateway'), [], { port, env }) });
    await ready(admin);
  }
  return all;
}

/** ws_load through these gateways. `connected` resolves when all are, `figures` at its end; `close` ends it. */
function load(lines, doors, pids, options) {
  const args = ['--plan', file(`plan-${lines.length}-${Date.now()}`, `${lines.join('\n')}\n`), ...doors.flatMap(({ port }) => ['--port', port]), ...Object.entries(pids).flatMap(([name, pid]) => ['--pid', `${name}=${pid}`]),
    ...Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])].map(String);
  const child = spawn(path.join(build, 'bench/ws_load'), args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '', first;
  const connected = new Promise((resolve) => (first = resolve));
  child.stdout.on('data', (part) => ((text += part), first()));
  const figures = new Promise((resolve, reject) => child.on('exit', () => (text.endsWith('}\n') ? resolve(JSON.parse(text)) : reject(new Error(`ws_load ended early: ${text}`)))));
  return { connected, figures };
}

async function crowd(world, count) {
  const people = [];
  while (people.length < count) people.push(...(await world.people(Math.min(1000, count - people.length))));
  return people;
}

async function sockets() {
  const world = new Chat(), presence = new ServiceWorld('presence');
  let doors = [];
  try {
    await world.start({ WS_CONNECTIONS_MAX: '100000', PROFILE: 'bench' }, 2);
    await presence.open({ settings: { PROFILE: 'bench' } });
    doors = await gateways(world);
    const pids = Object.fromEntries([...world.instances.map(({ child }, i) => [`chat-svc-${i + 1}`, child.pid]), ...doors.map(({ child }, i) => [`gateway-${i + 1}`, child.pid])]);
    const clients = parts.includes('reconnect') ? number('CLIENTS', 5000) : 1000;
    const people = await crowd(world, clients);
    if (parts.includes('idle')) {
      const count = number('SOCKETS', 10000);
      const { figures } = load(Array.from({ length: count }, (_, i) => `${people[i % people.length].token} - -`), doors, pids, { 'connect-rate': 600 });
      const { ready: held, errors, lost, connect_seconds: seconds, bytes_per_socket: bytes } = await figures;
      console.log(`${held} of ${count} sockets held over two gateways and two chat-svc (${errors} errors, ${lost} lost), connected in ${seconds} s; process memory (PSS) of all, by socket`);
      const of = (name) => Math.round(sum(Object.entries(bytes).filter(([key]) => key.startsWith(name)).map(([, value]) => value))); // each is by all sockets, so the two add up
      console.table({ 'chat-svc': { 'bytes a socket': of('chat-svc') }, gateway: { 'bytes a socket': of('gateway') } });
    }
    if (parts.includes('reconnect')) {
      const lines = people.map(({ token }) => `${token} - -`);
      const online = () => presence.one('SELECT count(*)::int FROM people WHERE user_id = ANY ($1) AND online', [people.map(({ id }) => id)]);
      const before = load(lines, doors, {}, { 'connect-rate': clients / 8, hold: 5 });
      await before.figures; // and all of them are cut off at once
      const began = Date.now();
      const again = load(lines, doors, {}, { 'connect-rate': clients / 8, hold: 30 });
      await again.connected;
      const back = Date.now();
      let right = await online();
      for (const until = back + 25000; right < clients && Date.now() < until; right = await online()) await new Promise((resolve) => setTimeout(resolve, 50));
      const settled = Date.now();
      const { ready: held, errors, lost } = await again.figures;
      if (process.env.LOGS) for (const name of ['left', 'right']) console.log(readFileSync(path.join(folder, `gateway-${name}.log`), 'utf8').slice(-3000));
      console.log(`${clients} clients came back within ${((back - began) / 1000).toFixed(1)} s: ${held} are connected, ${errors} errors, ${lost} lost; presence has ${right} of them online ${((settled - back) / 1000).toFixed(1)} s after the last (aim: all, within 5 s)`);
      const gone = Date.now();
      await eventually(60000, async () => (await online()) === 0, 'all are offline');
      console.log(`and none ${((Date.now() - gone) / 1000).toFixed(1)} s after they left`);
    }
  } finally {
    for (const { child } of doors) await stop(child);
    await presence.stop();
    await world.stop();
  }
}

/** One event stream; `heard(event)` at each notice. */
function stream(port, token, heard) {
  return new Promise((resolve, reject) => {
    const req = http.get({ port, host: '127.0.0.1', path: '/api/notifications/stream', agent: false, headers: { Accept: 'text/event-stream', Authorization: `Bearer ${token}` } }, (reply) => {
      if (reply.statusCode !== 200) reject(new Error(`stream: ${reply.statusCode}`));
      let rest = '';
      reply.setEncoding('utf8').on('data', (part) => {
        const blocks = (rest + part).split('\n\n');
        rest = blocks.pop();
        for (const block of blocks) {
          if (block.includes('event: hello') || block.includes('event:hello')) resolve(req);
          const data = /^event: ?notification$/m.test(block) && /^data: ?(.*)$/m.exec(block);
          if (data) heard(JSON.parse(data[1]));
        }
      });
      reply.on('error', () => {});
    });
    req.on('error', reject);
  });
}

async function streams() {
  const world = new Notify();
  let doors = [];
  const open = [];
  try {
    await world.start({ instances: 1, settings: { PROFILE: 'bench', NOTIFY_STREAMS_MAX: '100000' } });
    doors = await gateways(world);
    const processes = { 'notify-svc': [world.instances[0].child], gateway: doors.map(({ child }) => child) };
    const memory = () => Object.fromEntries(Object.entries(processes).map(([name, children]) => [name, sum(children.map(kilobytes)) * 1024]));
    const count = number('STREAMS', 2000);
    const people = Array.from({ length: count }, () => world.person());
    const late = [];
    const before = memory();
    for (let i = 0; i < count; i += 50) {
      open.push(...(await Promise.all(people.slice(i, i + 50).map(({ token }, j) => stream(doors[(i + j) % 2].port, token, ({ data }) => late.push(Date.now() - Number(data.from.nickname)))))));
    }
    const after = memory();
    console.log(`${open.length} event streams held over two gateways and one notify-svc; process memory (PSS), by stream`);
    console.table(Object.fromEntries(Object.keys(after).map((name) => [name, { 'bytes a stream': Math.round((after[name] - before[name]) / count) }])));
    const rows = {};
    for (const each of [1, 20, 200]) {
      late.length = 0;
      const rounds = Math.max(5, Math.ceil(200 / each));
      for (let round = 0; round < rounds; round++) {
        const chosen = people.slice((round * each) % count, ((round * each) % count) + each);
        const wanted = late.length + chosen.length;
        world.publish('notify.requests', chosen.map((person) => [person.id, world.request(person, { args: { from: { id: person.id, nickname: String(Date.now()) } } })]));
        await eventually(20000, () => late.length >= wanted, 'all notices came', 2);
      }
      rows[`${each} at once`] = { notices: late.length, 'p50 ms': quantile(late, 0.5), 'p99 ms': quantile(late, 0.99) };
    }
    console.log('from the request on the topic (kcat started, about 20 ms, included) to the event in the stream');
    console.table(rows);
  } finally {
    for (const req of open) req.on('error', () => {}).destroy();
    for (const { child } of doors) await stop(child);
    await world.stop();
  }
}

console.log(`${os.cpus().length} cores, ${os.cpus()[0].model}, load average ${os.loadavg()[0].toFixed(1)}`);
if (parts.includes('idle') || parts.includes('reconnect')) await sockets();
if (parts.includes('streams')) await streams();
process.exit(0);
