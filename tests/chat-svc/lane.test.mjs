// What an instance is told to say in a room that it owns goes past chat.inbound, and nobody can see a difference: not in what is stored, not in the order in which
// one socket's messages stand, whoever owns the room when.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { readBytes } from '../support/topics.mjs';
import { eventually, pause } from '../support/wait.mjs';
import { connectRaw, room, to } from './stomp_kit.mjs';
import { World, clientId } from './world.mjs';

const world = new World();
before(() => world.start(), { timeout: 90000 });
after(() => world.stop(), { timeout: 60000 });

const APPLIED = 'madang_chat_lane_total{outcome="applied"}';
const inbound = async (ids) => (await readBytes('chat.inbound')).filter(({ bytes }) => ids.some((id) => bytes?.includes(id))).length;
const receipts = (raw, ids) => raw.frames.filter(({ command, headers }) => command === 'RECEIPT' && ids.includes(headers['receipt-id'])).length;

test('[P-28][P-29] messages for own rooms are not on the log, those for others are, and all are told everywhere', async () => {
  const [ann, bob] = await world.friends(2);
  const talk = await world.dm(ann, bob);
  const near = [], far = [];
  // One of the two instances owns the room: by it, and only by it, messages pass the log.
  const passes = async (instance) => {
    const raw = await connectRaw(instance, ann);
    const listener = await connectRaw(world.instances.find((one) => one !== instance), bob);
    await listener.subscribe(room(talk), 'far');
    try {
      const ids = Array.from({ length: 10 }, () => clientId());
      const before = await instance.metric(APPLIED);
      for (const id of ids) raw.send('SEND', { destination: to(talk), receipt: id }, JSON.stringify({ client_id: id, content: id }));
      await eventually(30000, () => receipts(raw, ids) === ids.length, 'all are acknowledged');
      await eventually(30000, () => ids.every((id) => listener.frames.some(({ body }) => body?.includes(id))), 'the other instance tells them');
      return { ids, passed: (await instance.metric(APPLIED)) - before, logged: await inbound(ids) };
    } finally {
      raw.close();
      listener.close();
      await Promise.all([raw.closed, listener.closed]);
    }
  };
  await eventually(120000, async () => {
    for (const instance of world.instances) {
      const { ids, passed, logged } = await passes(instance);
      assert.ok(passed === 0 || logged < ids.length, `${passed} passed, ${logged} on the log`);
      if (logged === 0) near.push(...ids);
      else far.push(logged);
    }
    return near.length > 0 && far.includes(10);
  }, 'one instance owns the room and uses its lane, the other sends to the log');
  const stored = (await world.sql('SELECT client_id FROM messages WHERE room_id = $1', [talk.id])).map(({ client_id: id }) => id);
  for (const id of near) assert.equal(stored.filter((one) => one === id).length, 1);
}, { timeout: 240000 });

test('[P-29][M-52][I2] what one socket says stands in its order while rooms change their owners', async () => {
  const people = await world.friends(8);
  const [stays, goes] = world.instances;
  const talks = await Promise.all(Array.from({ length: 4 }, (_, i) => world.dm(people[2 * i], people[2 * i + 1])));
  const raws = await Promise.all(people.map((person) => connectRaw(stays, person)));
  let over = false;
  const acknowledged = new Map(people.map((person) => [person.id, 0]));
  const speak = async (person, i) => {
    const raw = raws[i], ids = [];
    for (let n = 1; !over; n++) {
      const id = clientId();
      ids.push(id);
      raw.send('SEND', { destination: to(talks[i >> 1]), receipt: id }, JSON.stringify({ client_id: id, content: `${n}` }));
      await pause(60); // a person's pace, below the limit of messages a second; nothing is decided by it
    }
    await eventually(60000, () => raw.frames.filter(({ headers }) => ids.includes(headers['receipt-id'])).length === ids.length, 'each send is answered');
    acknowledged.set(person.id, receipts(raw, ids));
  };
  const speaking = people.map(speak);
  // Whose the rooms are before and after is Kafka's to say; in between they are all this instance's.
  const told = () => raws.reduce((sum, raw) => sum + raw.frames.filter(({ command }) => command === 'RECEIPT').length, 0);
  const more = async (what) => { const start = told(); await eventually(60000, () => told() > start + 100, what); };
  await more('before');
  await goes.stop();
  const passed = await stays.metric(APPLIED);
  await more('alone');
  await eventually(60000, async () => (await stays.metric(APPLIED)) > passed + 50, 'they pass the log');
  await goes.start();
  await more('with the other one again');
  over = true;
  await Promise.all(speaking);
  for (const [i, person] of people.entries()) {
    const said = (await world.sql('SELECT content FROM messages WHERE room_id = $1 AND sender_id = $2 ORDER BY seq', [talks[i >> 1].id, person.id])).map(({ content }) => Number(content));
    assert.ok(said.length >= acknowledged.get(person.id) && acknowledged.get(person.id) > 0, `${said.length} stored, ${acknowledged.get(person.id)} acknowledged`);
    for (let n = 1; n < said.length; n++) assert.ok(said[n] > said[n - 1], `${said[n]} stands behind ${said[n - 1]}`);
    raws[i].close();
  }
}, { timeout: 300000 });
