// stomp_forms.test.mjs - what the sockets really say, and what they really take, is what docs/asyncapi.yaml says: every body of a day in which everything happens is held against it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { channelOf, channels, formsOf, namesOf } from '../support/asyncapi.mjs';
import { eventually } from '../support/wait.mjs';
import { ServiceWorld } from '../support/world.mjs';
import { Round } from './market_kit.mjs';
import { ERRORS, EVENTS, connectRaw, room, to } from './stomp_kit.mjs';
import { EVERYBODY, World, clientId, uuid } from './world.mjs';

const world = new World();
const matching = new ServiceWorld('match');
before(() => Promise.all([world.start(), matching.open()]), { timeout: 270000 });
after(() => Promise.all([world.stop(), matching.stop()]), { timeout: 180000 });
const sockets = [];
after(() => sockets.forEach((raw) => raw.close()));
const open = async (instance, person, ...subscriptions) => {
  const raw = await connectRaw(instance, person);
  sockets.push(raw);
  for (const [destination, id, headers] of subscriptions) await raw.subscribe(destination, id, headers);
  return raw;
};
const presence = (person, more) => ({ v: 1, id: uuid(), at: new Date().toISOString(), kind: 'presence', user_id: person.id, online: true, visible: true, show_last_seen: true, last_seen: null, n: 1, ...more });

/** Sends a body that has the form of its channel, and waits for the receipt. */
const said = new Set();
async function say(raw, destination, body, receipt = clientId()) {
  const channel = channelOf(destination);
  assert.ok(channel, destination);
  if (body) for (const name of namesOf(formsOf(channel), body, destination)) said.add(name);
  raw.send('SEND', { destination, receipt }, body ? JSON.stringify(body) : '');
  await raw.receipt(receipt);
}

async function rooms([ann, bob, eve], a, b) {
  const group = await world.group(ann, [bob, eve], 'Yard');
  for (const raw of [a, b]) await raw.body(({ type, room_id }) => type === 'created' && room_id === group.id);
  await a.subscribe(room(group), 'g', { mark: 'manual' });
  await b.subscribe(room(group), 'g');
  const content = 'first';
  await say(a, to(group), { client_id: clientId(), content });
  const { seq } = await b.body(({ type, content: words }, { headers }) => type === 'message' && words === content && headers.subscription === 'g');
  await say(b, to(group), { client_id: clientId(), content: 'an answer', reply_to: seq });
  await say(a, to(group, 'read'), { seq });
  const base = `/api/chat/rooms/${group.id}`;
  assert.equal((await ann.api.patch(`${base}/messages/${seq}`, { content: 'better' })).status, 200);
  assert.equal((await bob.api.put(`${base}/messages/${seq}/reactions/👍`)).status, 200);
  assert.equal((await bob.api.delete(`${base}/messages/${seq}/reactions/👍`)).status, 200);
  assert.equal((await ann.api.delete(`${base}/messages/${seq}`)).status, 204);
  assert.equal((await ann.api.patch(base, { title: 'Courtyard' })).status, 200);
  assert.equal((await ann.api.delete(`${base}/members/${eve.id}`)).status, 204);
  assert.equal((await ann.api.post(`${base}/members`, { user_ids: [eve.id] })).status, 200);
  await eventually(10000, () => {
    a.send('SEND', { destination: to(group, 'typing') });
    return b.frames.some(({ json }) => json?.type === 'typing');
  }, 'typing', 300);
  await b.body(({ type, deleted }) => type === 'deleted' && deleted);
  return group;
}

const forms = new Map();
/** What all sockets heard so far: "address form" of each body. */
function hear() {
  const heard = new Set();
  for (const { command, headers, json } of sockets.flatMap((raw) => raw.frames)) {
    if (command !== 'MESSAGE') continue;
    const channel = channelOf(headers.destination);
    assert.ok(channel, `${headers.destination} is in the document`);
    if (!forms.has(channel)) forms.set(channel, formsOf(channel));
    const names = namesOf(forms.get(channel), json, headers.destination);
    assert.equal(names.length, 1, `${JSON.stringify(json)} is one thing, not ${names}`);
    heard.add(`${channel.address} ${names[0]}`);
  }
  return heard;
}

test('[P-47][P-21][P-25] every body on every socket destination has a form that docs/asyncapi.yaml describes', { timeout: 270000 }, async () => {
  const people = await world.friends(3);
  const [ann, bob, eve] = people;
  const queues = [[EVENTS, 'e'], [ERRORS, 'err']];
  const [a, b] = [await open(world.instances[0], ann, ...queues), await open(world.instances[1], bob, ...queues, [room(EVERYBODY), 'all'])];
  const group = await rooms(people, a, b);
  const late = await open(world.instances[1], eve, ...queues, [room(group), 'g', { after: '0' }]); // what was missed
  await late.body(({ deleted }) => deleted);
  a.send('SEND', { destination: to(uuid()), receipt: 'no' }, JSON.stringify({ client_id: clientId(), content: 'to nowhere' }));
  a.send('SUBSCRIBE', { destination: room(uuid()), id: 'none', receipt: 'none' });
  a.send('SEND', { destination: to(group), receipt: 'bad' }, '{');
  for (const receipt of ['no', 'none', 'bad']) await a.body((json, { headers }) => headers.destination === ERRORS && json.receipt === receipt);
  await b.body(({ type }) => type === 'unread');

  world.publish('presence.changes', [[bob.id, presence(bob)]]);
  await a.body(({ type, online }) => type === 'presence' && online);
  world.publish('presence.changes', [[bob.id, presence(bob, { n: 2, online: false, last_seen: new Date().toISOString() })]]);
  await a.body(({ type, online, last_seen: seen }) => type === 'presence' && !online && seen);

  const round = new Round(world);
  round.tell(round.phase('setup'), round.countdown(30));
  await b.body(({ type, market }) => type === 'countdown' && market === round.id);
  const market = await round.market();
  const order = market.place(ann.id, 'buy', 5, 200_000, { company: 1, client_order_id: 'rests' });
  const rest = market.place(ann.id, 'buy', 5, 10_000, { company: 1 });
  await market.send(order, rest, market.cancel(rest));
  await a.body(({ type, order: its }) => type === 'order' && its.status === 'cancelled');
  await market.close();
  world.endSession(bob);
  await b.body(({ type }) => type === 'session_ended');

  const wanted = ['/topic/rooms.{room_id}', EVENTS, ERRORS].flatMap((address) => formsOf(channels.find((channel) => channel.address === address)).map(({ name }) => `${address} ${name}`));
  await eventually(10000, () => hear().size === wanted.length, 'everything that the document describes');
  assert.deepEqual([...hear()].sort(), wanted.sort(), 'everything that the document describes was heard');
  assert.deepEqual([...said].sort(), ['stomp_send', 'stomp_send_read']);
});
