// Settings that change what is answered: a verdict that is late (the owner is held up in the database, by a lock that the test holds), and rooms without
// friendship. One real instance with little patience.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { all, clientId, World } from './world.mjs';

const world = new World();
before(() => world.start({ CHAT_VERDICT_MS: '6000', WORKERS: '4', CHAT_FRIENDS_ONLY: 'off' }, 1));
after(() => world.stop());

const rooms = '/api/chat/rooms';

/** While `work` runs the owner applies nothing. */
async function heldUp(work) {
  const client = await world.pool.connect();
  try {
    await client.query('BEGIN');
    await client.query('LOCK TABLE applied IN ACCESS EXCLUSIVE MODE');
    return await work();
  } finally {
    await client.query('COMMIT');
    client.release();
  }
}

test('[P-28] 202 when no verdict came in time; asking again with the client_id gives the message, once', async () => {
  const [mina, juno] = await world.friends(2);
  const room = await world.dm(mina, juno);
  const wish = { client_id: clientId(), content: 'late' };
  await heldUp(async () => {
    const reply = await mina.api.post(`${rooms}/${room.id}/messages`, wish);
    assert.deepEqual([reply.status, reply.json], [202, { client_id: wish.client_id }], reply.text);
    const edit = await mina.api.put(`${rooms}/${room.id}/read`, { seq: 0 });
    assert.deepEqual([edit.status, edit.problem], [503, 'unavailable'], edit.text);
    assert.ok(Number(edit.headers['retry-after']) >= 1);
  });
  const reply = await mina.api.post(`${rooms}/${room.id}/messages`, wish);
  assert.deepEqual([reply.status, reply.json.content, reply.json.seq], [201, 'late', 1], reply.text);
  assert.equal((await all(juno.api, `${rooms}/${room.id}/messages`)).length, 1);
});

test('[K-50][I9] requests that wait for their verdict hold no worker and no connection: reads go on beside them', async () => {
  const [mina, juno] = await world.friends(2);
  const room = await world.dm(mina, juno);
  await world.say(mina, room, 'here');
  const sends = await heldUp(async () => {
    const waiting = Array.from({ length: 100 }, () => mina.api.post(`${rooms}/${room.id}/messages`, { client_id: clientId(), content: 'waits' }));
    let over = false;
    Promise.race(waiting).then(() => (over = true));
    for (let i = 0; i < 10; i++) assert.equal((await juno.api.get(`${rooms}/${room.id}/messages`)).json.items.length, 1);
    assert.equal(over, false, 'all of them were waiting meanwhile');
    return waiting;
  });
  for (const reply of await Promise.all(sends)) assert.ok([201, 202].includes(reply.status), reply.text);
  const last = await world.say(mina, room, 'after');
  assert.equal(last.seq, 102, 'each was applied once');
});

test('[P-21][P-22] without CHAT_FRIENDS_ONLY anybody may be asked in, but across a block', async () => {
  const [mina, juno, hana, dohyun] = await world.people(4);
  assert.equal((await world.dm(mina, juno)).kind, 'dm');
  const room = await world.group(mina, [juno, hana]);
  await world.relate(mina, dohyun, { friend: false, blocked_by: [dohyun.id] });
  const refused = await mina.api.post(`${rooms}/${room.id}/members`, { user_ids: [dohyun.id] });
  assert.deepEqual([refused.status, refused.problem], [403, 'blocked'], refused.text);
  assert.equal((await juno.api.post(`${rooms}/${room.id}/members`, { user_ids: [dohyun.id] })).status, 200);
});
