// unread.test.mjs - two devices of one person agree on what is unread, whatever comes in between: a property over random interleavings.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually } from '../support/wait.mjs';
import { EVENTS, connectRaw, room as topic } from './stomp_kit.mjs';
import { Interleaving } from './unread_kit.mjs';
import { World, clientId } from './world.mjs';

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

test('[P-32][P-33] a room that is closed, or whose socket dies, before what it was given is marked: the other device learns what is so', async () => {
  const [ann, bob] = await world.friends(2);
  const room = await world.dm(ann, bob);
  const say = async () => assert.equal((await bob.api.post(`/api/chat/rooms/${room.id}/messages`, { client_id: clientId(), content: 'x' })).status, 201);
  const watch = await connectRaw(world.instances.at(-1), ann);
  await watch.subscribe(EVENTS, 'e');
  const told = () => watch.frames.findLast(({ json }) => json?.type === 'unread' && room.id in json.rooms)?.json.rooms[room.id] ?? 0;
  for (let i = 0; i < 8; i++) {
    const open = await connectRaw(world.instances[0], ann);
    await open.subscribe(topic(room), 'r');
    await say(); // marked at once
    await eventually(8000, () => open.messages('r').length === 1, 'it is there');
    await say(); // marked with the next ones
    await eventually(8000, () => open.messages('r').length === 2, 'the second, too');
    if (i % 2) {
      open.send('UNSUBSCRIBE', { id: 'r', receipt: 'u' });
      await open.receipt('u');
    } else {
      open.close();
    }
    await eventually(8000, async () => {
      const [one, two] = await Promise.all([ann.api, ann.other].map(async (api) => (await api.get('/api/chat/unread')).json.rooms[room.id] ?? 0));
      return one === two && told() === one && (i % 2 === 0 || one === 0);
    }, `round ${i}: both say the same`);
    open.close();
  }
  watch.close();
});
