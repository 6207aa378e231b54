// unread.test.mjs - two devices of one person agree on what is unread, whatever comes in between: a property over random interleavings.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Interleaving } from './unread_kit.mjs';
import { World } from './world.mjs';

const world = new World();
before(() => world.start(), { timeout: 270000 });
after(() => world.stop(), { timeout: 180000 });

const BURSTS = process.env.SOAK === '1' ? 200 : 15;
const first = Number(process.env.TEST_SEED ?? Date.now() % 1000000);

for (const seed of [first, first + 1])
  test(`[P-32][P-33][M-50] after any interleaving of sends, marks, edits and deletes both devices say the same, which is the definition (TEST_SEED=${seed})`, async (t) => {
    const play = await Interleaving.begin(world, seed);
    t.after(() => play.close());
    let slowest = 0;
    for (let burst = 0; burst < BURSTS; burst++) {
      await play.burst(5 + Math.floor(play.next() * 25));
      const { unread, ms } = await play.agreed();
      await play.checkDefinition(unread);
      slowest = Math.max(slowest, ms);
    }
    assert.ok(play.said.length > BURSTS);
    t.diagnostic(`${BURSTS} bursts, ${play.said.length} messages, agreed after ${Math.round(slowest)} ms at most`);
  });
