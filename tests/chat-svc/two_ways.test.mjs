// Events reach the sockets of the instance that owns their room right after the commit, and all others over the log; kinds that change who is in a room always
// take the log. Whatever way they come: each socket gets each once, in order, and nothing that was acknowledged is missing.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually } from '../support/wait.mjs';
import { connectRaw, room, to } from './stomp_kit.mjs';
import { World, clientId } from './world.mjs';

const world = new World();
before(() => world.start(), { timeout: 90000 });
after(() => world.stop(), { timeout: 60000 });
const sockets = [];
after(() => sockets.forEach((raw) => raw.close()));

async function open(instance, person, where, headers = {}) {
  const raw = await connectRaw(instance, person);
  sockets.push(raw);
  await raw.subscribe(room(where), 'g', headers);
  return raw;
}

const GIVEN = 'madang_chat_events_given_total';
const GAPS = 'madang_chat_live_gaps_total';
const bodies = (raw) => raw.frames.filter(({ command, headers, json }) => command === 'MESSAGE' && headers.subscription === 'g' && json?.rev > 0).map(({ json }) => json);
const isOf = (raw, seq) => bodies(raw).some((body) => body.type === 'message' && body.seq === seq);

/** Asks until the answer is certain: a busy machine may answer "perhaps" or "later", and everything may be repeated. */
const sure = (call, ...good) => eventually(60000, async () => {
  const reply = await call();
  if (![...good, 202, 503].includes(reply.status)) throw new Error(`${reply.status} ${reply.text}`);
  return good.includes(reply.status) && reply;
}, 'a certain answer');

/** A message that is stored; its JSON. */
async function say(api, where, content) {
  const wish = { client_id: clientId(), content };
  return (await sure(() => api.post(`/api/chat/rooms/${where.id}/messages`, wish), 201)).json;
}

/** Until the short way was taken: an owner waits with it while events of others may be on their way. */
async function warm(person, where, instance) {
  const before = await instance.metric(GIVEN);
  await eventually(60000, async () => {
    await say(person.api, where, 'warm');
    return (await instance.metric(GIVEN)) > before;
  }, `instance ${instance.n} gives its own sockets what it commits`);
}

/** A room that this instance owns: the other one had nothing to do when something was said there. */
async function ownedBy(instance, people) {
  const other = world.instances.find((one) => one !== instance);
  const commands = () => other.metric('madang_chat_commands_total{outcome="ok"}');
  return eventually(120000, async () => {
    const group = await world.group(people[0], people.slice(1), `of ${instance.n}`);
    const before = await commands();
    await say(people[0].api, group, 'whose?');
    return (await commands()) === before && group;
  }, `a room of instance ${instance.n}`);
}

function checkOrder(raw, what) {
  const seen = new Set();
  let last = 0;
  for (const { type, rev, user_id: user } of bodies(raw)) {
    const key = `${rev} ${type} ${type === 'read' ? user : ''}`;
    assert.ok(!seen.has(key), `${what}: ${key} came twice`);
    assert.ok(rev >= last, `${what}: ${rev} came behind ${last}`);
    seen.add(key);
    last = rev;
  }
  return bodies(raw).map(({ rev }) => rev);
}

test('[P-29][I2] whichever of the two ways events take, sockets of both instances get each once and in order', async () => {
  const people = await world.friends(5);
  const [ann, bob, eve, dan] = people;
  for (const owner of world.instances) {
    const group = await ownedBy(owner, [ann, bob, eve]);
    await warm(ann, group, owner);
    const gaps = await Promise.all(world.instances.map((instance) => instance.metric(GAPS)));
    const raws = await Promise.all(world.instances.flatMap((instance) => [ann, bob].map((person) => open(instance, person, group))));
    const acknowledged = [];
    const speak = async (person, count) => {
      for (let i = 0; i < count; i++) acknowledged.push((await say(i % 2 ? person.api : person.other, group, `${person.handle} ${i}`)).seq);
    };
    const change = async () => {
      const members = `/api/chat/rooms/${group.id}/members`;
      for (let i = 0; i < 5; i++) {
        const { seq } = await say(ann.api, group, `to change ${i}`);
        const message = `/api/chat/rooms/${group.id}/messages/${seq}`;
        acknowledged.push(seq);
        await sure(() => bob.other.put(`${message}/reactions/${encodeURIComponent('👍')}`), 200);
        await sure(() => ann.api.post(members, { user_ids: [dan.id] }), 200);
        await sure(() => ann.other.patch(message, { content: `changed ${i}` }), 200);
        await sure(() => ann.api.patch(`/api/chat/rooms/${group.id}`, { title: `title ${i}` }), 200);
        await sure(() => ann.other.delete(`${members}/${dan.id}`), 204, 404); // 404: an earlier try went through
      }
    };
    await Promise.all([speak(ann, 20), speak(bob, 20), speak(eve, 20), change()]);
    const [{ rev: newest }] = await world.sql('SELECT rev FROM rooms WHERE id = $1', [group.id]);
    for (const raw of raws) {
      await eventually(60000, () => bodies(raw).some(({ rev }) => rev >= newest), 'all came');
      await eventually(60000, () => acknowledged.every((seq) => isOf(raw, seq)), 'what was acknowledged came');
      const revs = checkOrder(raw, `owner ${owner.n}`);
      const caughtUp = (await Promise.all(world.instances.map((instance) => instance.metric(GAPS)))).some((n, i) => n > gaps[i]);
      if (!caughtUp) for (let i = 1; i < revs.length; i++) assert.ok(revs[i] <= revs[i - 1] + 1, `a hole between ${revs[i - 1]} and ${revs[i]}`);
    }
  }
}, { timeout: 240000 });

test('[P-29][I1] kill -9 of the owner right after it gave its own sockets what it committed: the others get it too, once', async () => {
  const people = await world.friends(3);
  const [ann, bob] = people;
  for (const owner of world.instances) {
    const survivor = world.instances.find((instance) => instance !== owner);
    const group = await ownedBy(owner, people);
    await warm(ann, group, owner);
    const near = await open(owner, ann, group);
    const far = await open(survivor, bob, group);
    const ids = Array.from({ length: 20 }, () => clientId());
    ids.forEach((id) => near.send('SEND', { destination: to(group), receipt: id }, JSON.stringify({ client_id: id, content: id })));
    await eventually(60000, () => near.frames.some(({ command, headers }) => command === 'RECEIPT' && ids.includes(headers['receipt-id'])), 'one is acknowledged', 1);
    await owner.kill();
    await near.closed;
    const acknowledged = near.frames.filter(({ command, headers }) => command === 'RECEIPT' && ids.includes(headers['receipt-id'])).map(({ headers }) => Number(headers.seq));
    const given = near.messages('g').map(({ seq }) => seq);
    await owner.start();
    await eventually(60000, () => [...acknowledged, ...given].every((seq) => isOf(far, seq)), 'the other instance tells what was acknowledged or seen');
    checkOrder(near, 'near');
    checkOrder(far, 'far');
    const back = await open(owner, ann, group, { after: given.at(-1) ?? 0 });
    const [{ last_seq: last }] = await world.sql('SELECT last_seq FROM rooms WHERE id = $1', [group.id]);
    await eventually(60000, () => isOf(back, Number(last)) || (given.at(-1) ?? 0) >= Number(last), 'who comes back gets the rest');
    const seqs = [...given, ...back.messages('g').map(({ seq }) => seq)];
    assert.deepEqual(seqs, Array.from({ length: seqs.length }, (_, i) => seqs[0] + i));
  }
}, { timeout: 240000 });
