// Two instances share the work: each push goes out once; after kill -9 at least once, and doubles are few and harmless; after SIGTERM once.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually } from '../support/wait.mjs';
import { World } from './world.mjs';

const STREAMS = 5;
const HAND = 3 * STREAMS; // what one instance has in hand at most
const world = new World();
before(() => world.start({ PUSH_STREAMS: String(STREAMS), PUSH_CLAIM_SECONDS: '10' }, { instances: 2 }));
after(() => world.stop());

/** People with one device each, and a push for each: {tokens, ids, token -> push id}. */
async function crowd(count) {
  const people = Array.from({ length: count }, () => world.person());
  const tokens = [];
  for (const person of people) tokens.push(await world.device(person));
  const events = people.map((person) => world.pushEvent(person, { collapse_key: `room:${person.id}` }));
  return { tokens, events, ids: events.map((event) => event.dedupe_id) };
}
const times = (tokens) => tokens.map((token) => world.fcm.delivered(token).length);
const delivered = (tokens) => times(tokens).filter((count) => count > 0).length;
const waiting = () => world.one('SELECT count(*) FROM sends WHERE done_at IS NULL');

async function allDelivered({ tokens, ids }, ms = 40000) {
  await eventually(ms, () => delivered(tokens) === tokens.length, 'all are delivered');
  await eventually(ms, async () => (await waiting()) === 0, 'all is written down');
  assert.equal(await world.one("SELECT count(*) FROM sends s JOIN requests r ON r.id = s.request_id WHERE r.dedupe_id = ANY ($1) AND s.state = 'delivered'", [ids]), ids.length);
}
function doublesAreHarmless(tokens, most) {
  const doubled = tokens.filter((token) => world.fcm.delivered(token).length > 1);
  assert.ok(doubled.length <= most, `${doubled.length} doubles, at most ${most} in hand`);
  for (const token of doubled) {
    const messages = world.fcm.delivered(token).map(({ message }) => message);
    assert.equal(new Set(messages.map(({ data }) => data.push_id)).size, 1);
    assert.equal(new Set(messages.map(({ android }) => android.collapse_key)).size, 1);
  }
}

test('[P-40][I1] two instances send each push once, and both work', async () => {
  const all = await crowd(120);
  world.fcm.delay = 20;
  world.push(...all.events);
  world.push(...all.events.slice(0, 60)); // again
  await allDelivered(all);
  world.fcm.delay = 0;
  assert.deepEqual(times(all.tokens), all.tokens.map(() => 1));
  for (const instance of world.instances)
    assert.ok((await world.metric('madang_push_sends_total{channel="fcm",result="delivered"}', [instance])) > 0, `instance ${instance.n} sent some`);
});

test('[P-40][I1] kill -9 of one in the middle: nothing is lost; the next process of its slot goes on at once', async () => {
  const all = await crowd(100);
  world.fcm.delay = 80;
  world.push(...all.events);
  await eventually(20000, () => delivered(all.tokens) >= 20, 'some are sent');
  await world.instances[1].kill();
  await world.instances[1].start();
  await allDelivered(all);
  world.fcm.delay = 0;
  doublesAreHarmless(all.tokens, HAND);
});

test('[P-40][I1] one that does not come back: the other takes over what it had in hand, when the claim is over', async () => {
  const all = await crowd(60);
  world.fcm.delay = 80;
  world.push(...all.events);
  await eventually(20000, () => delivered(all.tokens) >= 10, 'some are sent');
  await world.instances[1].kill();
  // Its partitions are the other's once the group has noticed.
  await allDelivered(all, 60000);
  world.fcm.delay = 0;
  doublesAreHarmless(all.tokens, HAND);
  await world.instances[1].start();
});

test('[P-40] SIGTERM in the middle: what is in flight is finished and written down, nothing is sent twice', async () => {
  const all = await crowd(60);
  world.fcm.delay = 80;
  world.push(...all.events);
  await eventually(20000, () => delivered(all.tokens) >= 10, 'some are sent');
  assert.equal(await world.instances[1].stop(), 0);
  await allDelivered(all);
  world.fcm.delay = 0;
  assert.deepEqual(times(all.tokens), all.tokens.map(() => 1));
  await world.instances[1].start();
});

test('[P-40][I1] PostgreSQL drops every connection in the middle: nothing is lost', async () => {
  const all = await crowd(80);
  world.fcm.delay = 40;
  world.push(...all.events);
  for (const some of [10, 30, 50]) {
    await eventually(20000, () => delivered(all.tokens) >= some, 'some are sent');
    await world.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'madang_push'");
  }
  await allDelivered(all);
  world.fcm.delay = 0;
  doublesAreHarmless(all.tokens, 3 * 2 * HAND);
});

test('[P-40][I1] both killed while PostgreSQL forgets nothing: a fresh pair sends the rest', async () => {
  const all = await crowd(40);
  world.fcm.delay = 80;
  world.push(...all.events);
  await eventually(20000, () => delivered(all.tokens) >= 5, 'some are sent');
  await Promise.all(world.instances.map((instance) => instance.kill()));
  await Promise.all(world.instances.map((instance) => instance.start()));
  await allDelivered(all);
  world.fcm.delay = 0;
  doublesAreHarmless(all.tokens, 2 * HAND);
  assert.deepEqual(world.fcm.refusals, []);
});
