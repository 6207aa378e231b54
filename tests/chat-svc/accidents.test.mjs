// What sockets say goes straight into the owner's transactions: it stands there once, in its order, and is told once, also when PostgreSQL has done a COMMIT whose answer
// is lost, or hangs for seconds.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { StoreDoor } from '../support/store_door.mjs';
import { eventually, pause } from '../support/wait.mjs';
import { ERRORS, connectRaw, room, to } from './stomp_kit.mjs';
import { World, clientId } from './world.mjs';

class WorldBehindADoor extends World {
  environment(instance) {
    const env = super.environment(instance);
    return { ...env, CHAT_DB_URL: this.door.through(env.CHAT_DB_URL) };
  }
}
const world = new WorldBehindADoor();
before(async () => {
  world.door = await StoreDoor.open(process.env.PG_URL);
  await world.start({}, 1);
}, { timeout: 90000 });
after(async () => {
  await world.stop();
  await world.door.close();
}, { timeout: 60000 });

const APPLIED = 'madang_chat_lane_total{outcome="applied"}';
const COUNT = 60;

/** Says COUNT things at a person's pace, and what was not taken once more, until it is. Resolves to the ids, in the order in which they were said first, with
 * whether once was enough. */
async function speak(raw, talk) {
  const said = Array.from({ length: COUNT }, () => ({ id: clientId(), times: 0, answers: 0 }));
  const send = (one) => {
    one.times++;
    raw.send('SEND', { destination: to(talk), receipt: one.id }, JSON.stringify({ client_id: one.id, content: one.id }));
  };
  const answersOf = ({ id }) => raw.frames.filter(({ headers, json }) => headers['receipt-id'] === id || (json?.type === 'error' && json.receipt === id));
  for (const one of said) {
    send(one);
    await pause(60); // below the limit of messages a second; nothing is decided by it
  }
  for (const one of said) {
    for (;;) {
      const answers = await eventually(60000, () => answersOf(one).length >= one.times && answersOf(one), `an answer to ${one.id}`);
      if (answers.some(({ command }) => command === 'RECEIPT')) break;
      send(one);
    }
  }
  return said;
}

/** Four people talk in pairs while `accidents` happen; then everything must stand there once and have been told once. */
async function talkDuring(accidents) {
  const people = await world.friends(4);
  const talks = [await world.dm(people[0], people[1]), await world.dm(people[2], people[3])];
  const raws = await Promise.all(people.map((person) => connectRaw(world.instances[0], person)));
  await Promise.all(raws.map((raw, i) => raw.subscribe(ERRORS, 'errors').then(() => raw.subscribe(room(talks[i >> 1]), 'mine'))));
  const before = await world.instances[0].metric(APPLIED);
  const speaking = Promise.all(raws.map((raw, i) => speak(raw, talks[i >> 1])));
  await accidents(() => raws.reduce((sum, raw) => sum + raw.messages('mine').length, 0));
  const said = await speaking;
  assert.ok((await world.instances[0].metric(APPLIED)) > before, 'messages take the lane');
  for (const [t, talk] of talks.entries()) {
    const stored = await world.sql('SELECT seq::int AS seq, client_id FROM messages WHERE room_id = $1 ORDER BY seq', [talk.id]);
    assert.equal(stored.length, 2 * COUNT);
    assert.deepEqual(stored.map(({ seq }) => seq), stored.map((_, i) => stored[0].seq + i));
    for (const i of [2 * t, 2 * t + 1]) {
      const place = new Map(stored.map(({ seq, client_id: id }) => [id, seq]));
      for (const { id } of said[i]) assert.ok(place.has(id), `${id} was acknowledged`);
      const inOrder = said[i].filter(({ times }) => times === 1).map(({ id }) => place.get(id));
      for (let n = 1; n < inOrder.length; n++) assert.ok(inOrder[n] > inOrder[n - 1], `seq ${inOrder[n]} stands behind ${inOrder[n - 1]}`);
      // Told: each of the two sees all of them, once.
      const seqs = () => raws[i].messages('mine').map(({ seq }) => seq);
      await eventually(30000, () => new Set(seqs()).size === 2 * COUNT, 'everything is told');
      assert.equal(seqs().length, 2 * COUNT, 'once');
    }
  }
  for (const raw of raws) raw.close();
}

test('[P-29][I1][I2] transactions of the lane whose COMMIT is done and not answered', async () => {
  await talkDuring(async (told) => {
    for (let i = 1; i <= 8; i++) {
      const start = told();
      world.door.loseCommits(1);
      await eventually(30000, () => world.door.lost === i, 'an answer is lost');
      await eventually(30000, () => told() >= start + 8, 'it goes on');
    }
  });
}, { timeout: 180000 });

test('[P-29][I1][I2] a PostgreSQL that hangs for seconds', async () => {
  await talkDuring(async (told) => {
    await eventually(30000, () => told() > 20, 'they talk');
    world.door.hang();
    await pause(process.env.SOAK ? 15000 : 3500); // how long it hangs: longer than the lane waits for the log; in the long form longer than anybody waits for PostgreSQL
    world.door.goOn();
  });
}, { timeout: 180000 });
