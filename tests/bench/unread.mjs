// unread.mjs - how long two devices of one person, on two instances of chat-svc, differ about what is unread: random interleavings of sends, marks, edits, deletes and
// open rooms (tests/chat-svc/unread_kit.mjs); from the last acknowledgement of a burst to the last word that a device needed.
// Stores must run (make stores), no chat-svc of the stack.  node tests/bench/unread.mjs [bursts] [seed]
import os from 'node:os';
import { Interleaving } from '../chat-svc/unread_kit.mjs';
import { World } from '../chat-svc/world.mjs';
import { machine } from './rig.mjs';

const [bursts, seed] = [Number(process.argv[2] ?? 200), Number(process.argv[3] ?? 1)];
const world = new World();
try {
  await world.start();
  const play = await Interleaving.begin(world, seed);
  const times = [];
  for (let i = 0; i < bursts; i++) {
    await play.burst(20);
    times.push((await play.agreed(60000)).ms);
  }
  play.close();
  times.sort((a, b) => a - b);
  const at = (share) => `${Math.round(times[Math.min(times.length - 1, Math.floor(share * times.length))])} ms`;
  console.log(`${machine()}, load ${os.loadavg()[0].toFixed(1)}; ${bursts} bursts of 20, ${play.said.length} messages, seed ${seed}`);
  console.log(`agreement after the last acknowledgement: p50 ${at(0.5)}, p99 ${at(0.99)}, max ${at(1)} (aim: 1 s)`);
} finally {
  await world.stop();
}
process.exit();
