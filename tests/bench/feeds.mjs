// feeds.mjs - what viewers of a market cost match-svc alone: a market that changes at a fixed rate, first with nobody looking, then with so many sockets at one company's book, trades and ticker.
// CPU of the daemon per delivered frame is the difference of the two; how late a trade comes is measured from the broker's time of its order (trade_watch.c).
// Stores must run (make stores), no match-svc of the stack.  node tests/bench/feeds.mjs [viewers] [orders a second] [seconds] [ms]
// ms: the orders of so long leave together. MATCH_FEED_MS=10 tells viewers as soon as there is something, the default gathers.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { Feeds, Market, TICK, showsBook } from '../match-svc/feed_kit.mjs';
import { buildDir } from '../support/stack.mjs';
import { pause } from '../support/wait.mjs';
import { machine } from './rig.mjs';

const [viewers, rate, seconds, TURN_MS] = [1000, 2000, 10, 100].map((value, i) => Number(process.argv[i + 2] ?? value));

/** User and system time of a process, in microseconds. */
function cpu(pid) {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

/** Half of them take one share, half put one there: the book keeps its size. */
function orders(market, count) {
  return Array.from({ length: count }, (_, i) => {
    const side = (i >> 1) % 2 ? 'buy' : 'sell';
    return i % 2 ? market.take(side === 'buy' ? 'sell' : 'buy', 1) : market.order(side, side === 'buy' ? 500_000 - (i % 40) * TICK : 510_000 + (i % 40) * TICK, 1);
  });
}

async function drive(market, until) {
  for (let due = performance.now(); due < until; due += TURN_MS) {
    await market.send(...orders(market, Math.round((rate * TURN_MS) / 1000)));
    await pause(Math.max(0, due + TURN_MS - performance.now()));
  }
}

/** The program says "ready", and at its end what it saw. */
function watch(world, company) {
  const child = spawn(path.join(buildDir, 'bench/trade_watch'), ['--gateway', `127.0.0.1:${world.instances[0].ports.ws}`, '--company', company, '--viewers', String(viewers), '--seconds', String(seconds)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  const ready = new Promise((resolve, reject) => {
    child.stdout.on('data', (part) => (text += part).includes('ready') && resolve());
    child.on('exit', () => reject(new Error(`trade_watch: ${text}`)));
  });
  const seen = new Promise((resolve) => child.on('exit', () => resolve(JSON.parse(text.slice(text.indexOf('{'))))));
  return { ready, seen };
}

const world = new Feeds();
await world.start({ MATCH_FEED_MS: process.env.MATCH_FEED_MS ?? '100' }, 1);
try {
  const market = new Market();
  await market.open();
  await showsBook(world.instances[0], market.company, () => true);
  await market.send(...[...Array(40).keys()].flatMap((i) => [market.order('buy', 500_000 - i * TICK, 500), market.order('sell', 510_000 + i * TICK, 500)]));
  const { pid } = world.instances[0].child;
  const run = async () => {
    const from = cpu(pid);
    await drive(market, performance.now() + seconds * 1000);
    return (cpu(pid) - from) / seconds;
  };
  await drive(market, performance.now() + 2000);
  const alone = await run();
  const watching = watch(world, market.company);
  await watching.ready;
  const watched = await run();
  const seen = await watching.seen;
  console.log(machine());
  console.table([{ viewers, 'orders/s': rate, 'CPU alone %': +(alone / 1e4).toFixed(1), 'CPU watched %': +(watched / 1e4).toFixed(1), 'frames/s': Math.round(seen.frames / seconds), 'MB/s': +(seen.bytes / seconds / 1e6).toFixed(1), 'us a frame': +(((watched - alone) * seconds) / seen.frames).toFixed(2) }]);
  console.log(seen);
  await market.send({ kind: 'close' });
} finally {
  await world.stop();
}
