// What is acknowledged stays: kill -9 of an owner under load, and a broker that restarts between two sends of one client_id.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { crashStore, pidOf } from '../support/stack.mjs';
import { eventually } from '../support/wait.mjs';
import { all, clientId, World } from './world.mjs';

const world = new World();
before(() => world.start());
after(() => world.stop());

const rooms = '/api/chat/rooms';
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

/** Sends until the answer is certain, on either instance, as a client would. */
async function sure(person, room, wish) {
  let turn = Math.random() < 0.5 ? 0 : 1;
  return eventually(
    120000,
    async () => {
      const api = turn++ % 2 ? person.api : person.other;
      const reply = await api.post(`${rooms}/${room.id}/messages`, wish, { timeout: 10000 });
      if (reply.status !== 201 && reply.status !== 202 && reply.status !== 503) throw new Error(`${reply.status} ${reply.text}`);
      return reply.status === 201 && reply.json;
    },
    `${wish.client_id} is acknowledged`,
  );
}

async function check(room, reader, acknowledged) {
  const messages = (await all(reader.api, `${rooms}/${room.id}/messages`)).filter(({ kind }) => kind === 'text');
  const everything = await all(reader.api, `${rooms}/${room.id}/messages`);
  assert.deepEqual(everything.map(({ seq }) => seq), range(1, everything.length).reverse(), 'a sequence without holes');
  const byClient = new Map(messages.map((message) => [message.client_id, message]));
  assert.equal(byClient.size, messages.length, 'no message twice');
  for (const message of acknowledged) assert.deepEqual([byClient.get(message.client_id)?.seq, byClient.get(message.client_id)?.id], [message.seq, message.id], message.client_id);
  const revisions = await world.sql('SELECT last_seq, rev FROM rooms WHERE id = $1', [room.id]);
  assert.equal(revisions[0].last_seq, everything.length);
}

test('[P-28][P-29][M-52] kill -9 of either owner while 200 sends are under way: each acknowledged message is readable once, without holes', async () => {
  const people = await world.friends(4);
  const [mina] = people;
  // Rooms of several partitions: each instance owns some.
  const talks = [];
  for (const other of people.slice(1)) talks.push({ room: await world.dm(mina, other), other, acknowledged: [] });
  talks.push({ room: await world.group(mina, people.slice(1)), other: people[1], acknowledged: [] });
  for (const victim of world.instances) {
    let next = 1, done = 0, killed;
    const sends = range(1, 40).map(async () => { // so many are under way at a time
      for (let i = next++; i <= 200; i = next++) {
        const talk = talks[i % talks.length];
        talk.acknowledged.push(await sure(i % 2 ? mina : talk.other, talk.room, { client_id: clientId(), content: `n${i}` }));
        if (++done === 20) killed = victim.kill();
      }
    });
    await eventually(20000, () => killed, 'some are through', 1);
    await killed;
    const ready = victim.start();
    await Promise.all(sends);
    await ready;
  }
  for (const { room, other, acknowledged } of talks) await check(room, other, acknowledged);
  assert.equal(talks.reduce((sum, { acknowledged }) => sum + acknowledged.length, 0), 400);
});

test('[P-28] a client_id repeated after kill -9 of both instances is the message it was', async () => {
  const [mina, juno] = await world.friends(2);
  const room = await world.dm(mina, juno);
  const wish = { client_id: clientId(), content: 'before' };
  const first = await sure(mina, room, wish);
  await Promise.all(world.instances.map((instance) => instance.kill()));
  await Promise.all(world.instances.map((instance) => instance.start()));
  const again = await sure(mina, room, wish);
  assert.deepEqual([again.seq, again.id, again.content], [first.seq, first.id, 'before']);
  await check(room, juno, [first]);
});

test('[P-28] a client_id repeated across a restart of the broker is one message', async (t) => {
  if (!pidOf('kafka')) return t.skip('the broker is not ours to kill');
  const [mina, juno] = await world.friends(2);
  const room = await world.dm(mina, juno);
  const before = { client_id: clientId(), content: 'before' };
  const first = await sure(mina, room, before);
  const restarted = crashStore('kafka', 120000);
  const during = { client_id: clientId(), content: 'during' };
  const second = sure(juno, room, during);
  await restarted;
  const acknowledged = [first, await second];
  assert.deepEqual((await sure(mina, room, before)).id, first.id);
  assert.deepEqual((await sure(juno, room, during)).id, acknowledged[1].id);
  acknowledged.push(await sure(mina, room, { client_id: clientId(), content: 'after' }));
  await check(room, juno, acknowledged);
});
