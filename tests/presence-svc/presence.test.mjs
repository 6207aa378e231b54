// One person's presence as friends see it, on one instance.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { readTopic } from '../support/topics.mjs';
import { eventually } from '../support/wait.mjs';
import { World, uuid } from './world.mjs';

const world = new World();
before(() => world.start(1, { PRESENCE_LEASE_SECONDS: '600' })); // connections ask for their own
after(() => world.stop());

const is = (reply, status, code) => assert.deepEqual([reply.status, reply.problem], [status, code], reply.text);
async function friends(role) {
  const pair = [world.person(role), world.person()];
  await world.relate(...pair);
  return pair;
}
/** What was told of a person, in order. */
const told = async (person) => (await readTopic('presence.changes')).filter((record) => record.key === person.id).map((record) => record.value);

test('[P-35][P-36] a friend is seen online at once, offline a moment after the close, with the time', async () => {
  const [kim, lee] = await friends();
  assert.deepEqual(await world.seen(kim, lee), { user_id: lee.id, online: false }, 'never here');
  const connection = world.up(lee, 600);
  assert.deepEqual(await world.until(kim, lee, true), { user_id: lee.id, online: true });
  world.signals([connection], 'down');
  const item = await world.until(kim, lee, false);
  assert.deepEqual(Object.keys(item), ['user_id', 'online', 'last_seen']);
  assert.match(item.last_seen, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  const all = (await kim.api.get('/api/presence/friends')).json;
  assert.deepEqual(all, { items: [item], next_cursor: null });
  const changes = await eventually(10000, async () => ((await told(lee)).length === 2 ? told(lee) : false), 'two changes are told');
  assert.deepEqual(changes.map(({ kind, user_id, online, visible, show_last_seen, n, v }) => ({ kind, user_id, online, visible, show_last_seen, n, v })), [
    { kind: 'presence', user_id: lee.id, online: true, visible: true, show_last_seen: true, n: 1, v: 1 },
    { kind: 'presence', user_id: lee.id, online: false, visible: true, show_last_seen: true, n: 2, v: 1 },
  ]);
  assert.equal(changes[1].last_seen, item.last_seen);
});

test('[M-49] two connections, one closes: still online; the other falls silent: offline within one lease', async () => {
  const [kim, lee] = await friends();
  const lease = 10; // seconds: long enough to look at it on a busy machine
  const [one, two] = [world.up(lee, lease), world.up(lee, lease)];
  await world.until(kim, lee, true);
  world.signals([one], 'down');
  world.signals([two], 'beat');
  await eventually(10000, async () => (await world.sql('SELECT closed FROM connections WHERE connection_id = $1', [one.id]))[0]?.closed, 'the close is applied');
  assert.equal((await world.seen(kim, lee)).online, true);
  await world.until(kim, lee, false);
  const changes = await eventually(10000, async () => ((await told(lee)).length === 2 ? told(lee) : false), 'two changes are told');
  assert.deepEqual(changes.map((change) => change.online), [true, false]);
  assert.ok(Date.parse(changes[1].at) - Date.parse(changes[1].last_seen) >= lease * 1000, 'not before its lease was over');
});

test('[P-35] a reconnect within the moment is no change, and beats keep a connection for longer than its lease', async () => {
  const [kim, lee] = await friends();
  const lease = 6;
  let connection = world.up(lee, lease);
  await world.until(kim, lee, true);
  for (let i = 0; i < 3; i++) {
    const next = world.connection(lee, lease);
    world.publish('presence.signals', [world.signal(connection, 'down'), world.signal(next, 'up')]);
    connection = next;
  }
  const until = Date.now() + 2 * lease * 1000;
  await eventually(60000, async () => {
    world.signals([connection], 'beat');
    assert.equal((await world.seen(kim, lee)).online, true);
    return Date.now() > until;
  }, 'two leases have passed', 500);
  assert.deepEqual((await told(lee)).map((change) => [change.online, change.n]), [[true, 1]]);
  world.signals([connection], 'down');
  await world.until(kim, lee, false);
});

test('[M-49] doubled and old signals, and those nobody can read, change nothing', async () => {
  const [kim, lee] = await friends();
  const connection = world.connection(lee, 600);
  const [up, beat, down] = ['up', 'beat', 'down'].map((kind) => world.signal(connection, kind));
  world.publish('presence.signals', [up, up, beat, up]);
  await world.until(kim, lee, true);
  world.publish('presence.signals', [down, beat, up, [lee.id, 'not JSON'], [lee.id, world.event('up', { user_id: lee.id, connection: 'x', n: 0, lease_seconds: -1 })], down, beat]);
  await world.until(kim, lee, false);
  const changes = await eventually(10000, async () => ((await told(lee)).length >= 2 ? told(lee) : false), 'two changes are told');
  assert.deepEqual(changes.map((change) => [change.online, change.n]), [[true, 1], [false, 2]]);
  await eventually(10000, async () => (await readTopic('presence.signals.dlq')).filter((record) => record.key === lee.id).length === 2, 'both are dead letters');
});

test('[P-36][P-37] only friends see it, whatever ids one asks for, and a block hides', async () => {
  const [kim, lee] = await friends();
  const stranger = world.person();
  const connection = world.up(lee, 600);
  await world.until(kim, lee, true);
  assert.equal(await world.seen(stranger, lee), undefined);
  assert.equal(await world.seen(lee, lee), undefined, 'oneself is no friend');
  assert.deepEqual((await stranger.api.get('/api/presence/friends')).json.items, []);
  await world.relate(kim, lee, { friend: false, blocked_by: [lee.id], since: null });
  assert.equal(await world.seen(kim, lee), undefined);
  await world.relate(kim, lee);
  assert.equal((await world.seen(kim, lee)).online, true);
  world.signals([connection], 'down');
});

test('[P-36][P-37][P-42] settings: who hides is offline to others, and the truth is still told', async () => {
  const [kim, lee] = await friends();
  const connection = world.up(lee, 600);
  await world.until(kim, lee, true);
  const get = await lee.api.get('/api/presence/settings');
  is(get, 200);
  assert.deepEqual(get.json, { visible: true, show_last_seen: true });
  const put = (visible, show_last_seen) => lee.api.put('/api/presence/settings', { visible, show_last_seen });
  const hidden = await put(false, true);
  is(hidden, 200);
  assert.deepEqual(hidden.json, { visible: false, show_last_seen: true });
  assert.deepEqual(await world.seen(kim, lee), { user_id: lee.id, online: false }, 'offline, and no time that would betray it');
  assert.deepEqual((await kim.api.get('/api/presence/friends?online=true')).json.items, []);
  is(await put(false, true), 200);
  is(await put(true, false), 200);
  assert.deepEqual((await kim.api.get('/api/presence/friends?online=true')).json.items, [{ user_id: lee.id, online: true }]);
  world.signals([connection], 'down');
  assert.deepEqual(await world.until(kim, lee, false), { user_id: lee.id, online: false }, 'without the time');
  const changes = await eventually(10000, async () => ((await told(lee)).length === 4 ? told(lee) : false), 'four changes are told');
  assert.deepEqual(changes.map((change) => [change.online, change.visible, change.show_last_seen, change.n]), [[true, true, true, 1], [true, false, true, 2], [true, true, false, 3], [false, true, false, 4]]);
  assert.deepEqual((await lee.api.get('/api/presence/settings')).json, { visible: true, show_last_seen: false });
});

test('[P-06] who withdraws goes offline, out of every list, and does not come back', async () => {
  const [kim, lee] = await friends();
  const connection = world.up(lee, 600);
  await world.until(kim, lee, true);
  await world.withdraw(lee);
  assert.equal(await world.seen(kim, lee), undefined);
  world.signals([connection], 'beat');
  const late = world.up(lee, 600);
  await eventually(10000, async () => (await world.sql('SELECT count(*) FROM connections WHERE connection_id = $1', [late.id]))[0].count === 1, 'late signals are applied');
  assert.deepEqual((await world.sql('SELECT online, visible FROM people WHERE user_id = $1', [lee.id]))[0], { online: false, visible: false });
  const changes = await eventually(10000, async () => ((await told(lee)).length >= 2 ? told(lee) : false), 'two changes are told');
  assert.deepEqual(changes.map((change) => [change.online, change.last_seen === null]), [[true, false], [false, true]]);
  is(await lee.api.put('/api/presence/settings', { visible: true, show_last_seen: true }), 401, 'session_ended');
});

test('[I10] wrong questions are told apart', async () => {
  const kim = world.person();
  const ids = (count) => Array.from({ length: count }, () => uuid()).join(',');
  is(await kim.api.get(`/api/presence?ids=${ids(100)}`), 200);
  for (const query of ['', '?ids=', `?ids=${ids(101)}`, '?ids=x', `?ids=${uuid()},`, `?ids=,${uuid()}`, `?ids=${uuid()}x`, `?ids=${uuid()};${uuid()}`]) is(await kim.api.get(`/api/presence${query}`), 400, 'bad_input');
  for (const query of ['cursor=x', 'limit=0', 'limit=1001', 'online=yes']) is(await kim.api.get(`/api/presence/friends?${query}`), 400, 'bad_input');
  for (const body of [{}, { visible: true }, { visible: 'yes', show_last_seen: true }, { visible: true, show_last_seen: true, more: 1 }, [], null]) is(await kim.api.put('/api/presence/settings', body), 400, 'bad_input');
  is(await world.person('guest').api.get('/api/presence/friends'), 403, 'forbidden');
});

test('[P-36] friends come a page at a time', async () => {
  const kim = world.person();
  const others = Array.from({ length: 7 }, () => world.person());
  for (const other of others) await world.relate(kim, other);
  const seen = [];
  for (let cursor = ''; cursor !== null; ) {
    const { items, next_cursor } = (await kim.api.get(`/api/presence/friends?limit=3${cursor && `&cursor=${cursor}`}`)).json;
    seen.push(...items.map((item) => item.user_id));
    cursor = next_cursor;
  }
  assert.deepEqual(seen, others.map((other) => other.id).sort());
});
