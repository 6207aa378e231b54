// Two instances: either answers, either may be killed, and nobody stays online for ever.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { readTopic } from '../support/topics.mjs';
import { eventually } from '../support/wait.mjs';
import { World } from './world.mjs';

const world = new World();
// Connections ask for their own leases; the moment after a close is long enough for a slow machine to say "here again".
before(() => world.start(2, { PRESENCE_LEASE_SECONDS: '600', PRESENCE_DOWN_SECONDS: '4' }));
after(() => world.stop());

const onlineCount = async (people) => (await world.sql('SELECT count(*) FROM people WHERE online AND user_id = ANY ($1)', [people.map((person) => person.id)]))[0].count;

const allTold = () => eventually(15000, async () => (await world.sql('SELECT count(*) FROM outbox'))[0].count === 0, 'all is told');

/** Per person: n without a gap and without a double of another content. */
async function checkTold(people) {
  const ids = new Set(people.map((person) => person.id));
  const byKey = new Map();
  for (const { key, value } of await readTopic('presence.changes')) if (ids.has(key)) byKey.set(key, [...(byKey.get(key) ?? []), value]);
  for (const [key, changes] of byKey) {
    const seen = new Map();
    let last = 0;
    for (const change of changes) {
      if (seen.has(change.n)) assert.deepEqual(change, seen.get(change.n), `${key}: n ${change.n} told twice is the same`);
      else assert.equal(change.n, last + 1, `${key}: no gap`);
      seen.set(change.n, change);
      last = Math.max(last, change.n);
    }
  }
  return byKey;
}

test('[P-36] both instances answer the same', async () => {
  const [kim, lee] = [world.person(), world.person()];
  await world.relate(kim, lee);
  const connection = world.up(lee, 600);
  await world.until(kim, lee, true);
  for (const instance of world.instances) assert.equal((await world.seen(kim, lee, instance)).online, true);
  world.signals([connection], 'down');
  await world.until(kim, lee, false);
  for (const instance of world.instances) assert.equal((await world.seen(kim, lee, instance)).online, false);
});

test('[P-35][M-49] the connections of a killed chat instance end within one lease, the others stay', async () => {
  const people = Array.from({ length: 300 }, () => world.person());
  const lease = 12; // seconds: long enough for beats of a busy machine
  const dead = people.slice(0, 200).map((person) => world.connection(person, lease));
  const alive = people.slice(100).map((person) => world.connection(person, lease));
  world.signals([...dead, ...alive], 'up');
  let beating = [...dead, ...alive];
  const beats = (async () => {
    while (beating.length) {
      world.signals(beating, 'beat');
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  })();
  try {
    await eventually(15000, async () => (await onlineCount(people)) === 300, 'all are online');
    beating = alive; // from now on only one of the two beats: 100 people had a connection to the dead one alone
    await eventually(lease * 1000 + 15000, async () => (await onlineCount(people)) === 200, 'the dead ones went');
    assert.equal((await world.sql('SELECT count(*) FROM people WHERE online AND user_id = ANY ($1)', [people.slice(0, 100).map((p) => p.id)]))[0].count, 0);
  } finally {
    beating = [];
    await beats;
  }
  await eventually(lease * 1000 + 15000, async () => (await onlineCount(people)) === 0, 'nobody is online for ever');
  await allTold();
  const told = await checkTold(people);
  for (const person of people) assert.deepEqual(told.get(person.id).map((change) => change.online), [true, false]);
});

test('[I1][I2] kill -9 of an instance in the middle: everybody comes and goes once', async () => {
  const people = Array.from({ length: 600 }, () => world.person());
  const connections = people.map((person) => world.connection(person, 600));
  for (let from = 0; from < 600; from += 100) {
    world.signals(connections.slice(from, from + 100), 'up');
    if (from === 200) await world.instances[0].kill();
  }
  await eventually(30000, async () => (await onlineCount(people)) === 600, 'all are online');
  await world.another();
  world.signals(connections, 'down');
  await eventually(30000, async () => (await onlineCount(people)) === 0, 'all went');
  const told = await eventually(15000, async () => {
    const all = await checkTold(people);
    return [...all.values()].filter((changes) => changes.at(-1).n === 2).length === 600 && all;
  }, 'all is told');
  for (const person of people) assert.deepEqual([...new Map(told.get(person.id).map((change) => [change.n, change.online])).values()], [true, false]);
});

test('[P-35] 5,000 clients who reconnect are right within 5 s, and a restart of all instances forgets nobody', async () => {
  const people = Array.from({ length: 5000 }, () => ({ id: world.person().id }));
  const first = people.map((person) => world.connection(person, 600));
  world.signals(first, 'up');
  await eventually(20000, async () => (await onlineCount(people)) === 5000, 'all came');
  const second = people.map((person) => world.connection(person, 600));
  const storm = people.flatMap((_, i) => [world.signal(first[i], 'down'), world.signal(second[i], 'up')]);
  world.publish('presence.signals', storm);
  const ids = [people.map((person) => person.id), second.map((connection) => connection.id)];
  await eventually(20000, async () => (await world.sql('SELECT count(*) FROM connections WHERE connection_id = ANY ($1)', [ids[1]]))[0].count === 5000, 'the storm is applied');
  assert.equal(await onlineCount(people), 5000);
  for (const instance of world.instances.filter(({ runs }) => runs)) assert.equal(await instance.stop(), 0);
  world.signals(second.slice(0, 2500), 'down');
  await world.another();
  await eventually(20000, async () => (await onlineCount(people)) === 2500, 'who left meanwhile went');
  await allTold();
  const told = await checkTold(people);
  const runs = [...told.values()].map((changes) => [...new Map(changes.map((change) => [change.n, change.online])).values()].join());
  assert.deepEqual([...new Set(runs)].sort(), ['true', 'true,false'], 'reconnecting was no change');
});
