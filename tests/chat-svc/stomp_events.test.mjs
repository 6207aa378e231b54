// stomp_events.test.mjs - what reaches a person beside messages: rooms that come and go, unread, presence of friends, the end of a session; and what kill -9
// of an instance, and its orderly end, do to sockets.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually } from '../support/wait.mjs';
import { ERRORS, EVENTS, Raw, connectRaw, room, to } from './stomp_kit.mjs';
import { EVERYBODY, World, clientId, uuid } from './world.mjs';

const world = new World();
before(() => world.start({ DRAIN_SECONDS: '2' }), { timeout: 270000 });
after(() => world.stop(), { timeout: 180000 });
const [first, second] = [() => world.instances[0], () => world.instances.at(-1)];
const sockets = [];
const open = async (...args) => {
  const raw = await connectRaw(...args);
  sockets.push(raw);
  return raw;
};
const listening = async (instance, person) => {
  const raw = await open(instance, person);
  await raw.subscribe(EVENTS, 'e');
  await raw.subscribe(ERRORS, 'err');
  return raw;
};
after(() => sockets.forEach((raw) => raw.close()));
const lastUnread = (raw, where) => raw.frames.map(({ json }) => (json?.type === 'unread' ? json.rooms[where.id] : undefined)).filter((n) => n !== undefined).at(-1);
const unreadOf = async (person, where) => (await person.api.get('/api/chat/unread')).json.rooms[where.id] ?? 0;

test('[P-22][P-23][P-25] rooms that come, change and go are told; a removed member hears no more', async () => {
  const [ann, bob, eve, dan] = await world.friends(4);
  const [b, e, d] = [await listening(first(), bob), await listening(second(), eve), await listening(second(), dan)];
  const group = await world.group(ann, [bob, eve], 'Yard');
  for (const raw of [b, e]) {
    const created = await raw.body(({ type, room_id }) => ['created', 'joined'].includes(type) && room_id === group.id);
    assert.equal(created.room.title, 'Yard');
    await raw.subscribe(room(group), 'g');
  }
  assert.equal((await ann.api.post(`/api/chat/rooms/${group.id}/members`, { user_ids: [dan.id] })).status, 200);
  await d.body(({ type, room_id }) => type === 'joined' && room_id === group.id);
  await b.body(({ type, user_ids }, { headers }) => type === 'joined' && headers.subscription === 'g' && user_ids.includes(dan.id));
  await ann.api.patch(`/api/chat/rooms/${group.id}`, { title: 'Courtyard' });
  await d.body(({ type, room: said }) => type === 'room' && said.title === 'Courtyard');
  await ann.api.delete(`/api/chat/rooms/${group.id}/members/${eve.id}`);
  await e.body(({ type, room_id }, { headers }) => type === 'left' && room_id === group.id && headers.subscription === 'e');
  await world.say(ann, group, 'without eve');
  await b.body(({ type, content }) => type === 'message' && content === 'without eve');
  await d.subscribe(room(group), 'g', { after: 0 });
  assert.equal(e.messages('g').some(({ content }) => content === 'without eve'), false);
  e.send('SUBSCRIBE', { id: 'again', destination: room(group), receipt: 'again' });
  assert.equal((await e.body(({ receipt }) => receipt === 'again')).code, 'not_found');
});

test('[M-48][M-49][M-50][P-32][P-33] an open room is read: the mark moves and is told; mark: manual leaves it', async () => {
  const [ann, bob] = await world.friends(2);
  const dm = await world.dm(ann, bob);
  const a = await open(first(), ann);
  await a.subscribe(room(dm), 'd', { mark: 'manual' });
  const b = await listening(second(), bob);
  await world.say(ann, dm, 'one');
  await eventually(5000, () => lastUnread(b, dm) === 1, 'unread 1');
  await b.subscribe(room(dm), 'd');
  const read = await a.body(({ type, user_id }) => type === 'read' && user_id === bob.id);
  assert.deepEqual([read.from, read.to], [0, 1]);
  await eventually(5000, () => lastUnread(b, dm) === 0, 'unread 0');
  for (let i = 0; i < 10; i++) await world.say(ann, dm, `m${i}`);
  await a.body(({ type, user_id, to: upTo }) => type === 'read' && user_id === bob.id && upTo === 11);
  assert.equal(await unreadOf(bob, dm), 0);
  const ids = a.frames.filter(({ json }) => json?.type === 'read' && json.user_id === bob.id).map(({ json }) => [json.from, json.to]);
  for (let i = 1; i < ids.length; i++) assert.equal(ids[i][0], ids[i - 1][1]);
  await world.say(bob, dm, 'to ann');
  await a.body(({ content }) => content === 'to ann');
  a.send('SEND', { destination: to(dm, 'read'), receipt: 'rd' }, JSON.stringify({ seq: 12 }));
  await a.receipt('rd');
  assert.equal(await unreadOf(ann, dm), 0);
});

const presence = (person, more) => ({ v: 1, id: uuid(), at: new Date().toISOString(), kind: 'presence', user_id: person.id, online: true, visible: true, show_last_seen: true, last_seen: null, ...more });
test('[P-35][P-36] friends see who comes and goes, others and the hidden do not', async () => {
  const [ann, bob, eve] = await world.people(3);
  await world.relate(ann, bob);
  const publish = (person, more) => world.publish('presence.changes', [[person.id, presence(person, more)]]);
  publish(bob, { n: 1 });
  const a = await listening(first(), ann);
  const e = await listening(second(), eve);
  const of = (raw, person) => raw.frames.filter(({ json }) => json?.type === 'presence' && json.user_id === person.id).map(({ json }) => json);
  await eventually(8000, () => of(a, bob).at(-1)?.online === true, 'bob is there');
  publish(bob, { n: 2, online: false, last_seen: '2026-01-02T03:04:05.678Z' });
  await eventually(8000, () => of(a, bob).at(-1)?.last_seen === '2026-01-02T03:04:05.678Z', 'bob went');
  publish(bob, { n: 3, visible: false });
  publish(eve, { n: 1 });
  await world.relate(ann, eve);
  await eventually(8000, () => of(a, eve).at(-1)?.online === true, 'a new friend is there');
  assert.equal(of(a, bob).at(-1).online, false);
  assert.equal(of(e, bob).length, 0);
  await world.relate(ann, eve, { blocked_by: [eve.id] });
  await eventually(8000, () => of(a, eve).at(-1)?.online === false, 'no friend any more');
  publish(eve, { n: 2, online: false });
  publish(eve, { n: 3 });
  publish(bob, { n: 4 });
  await eventually(8000, () => of(a, bob).at(-1)?.online === true, 'bob again');
  assert.equal(of(a, eve).at(-1).online, false);
});

test('[P-28][S-44] who has just signed up speaks at once, before the account was copied', async () => {
  const fresh = world.stranger({ id: uuid() });
  const raw = await listening(first(), fresh);
  await raw.subscribe(room(EVERYBODY), 'all');
  const id = clientId();
  raw.send('SEND', { destination: to(EVERYBODY), receipt: id }, JSON.stringify({ client_id: id, content: 'new here' }));
  await raw.receipt(id);
  const heard = await raw.body(({ type, client_id }) => type === 'message' && client_id === id); // may come behind the receipt
  assert.equal(heard.sender.nickname, fresh.nickname);
});

test('[P-35] sockets signal that they came and went', async () => {
  const { execFileSync } = await import('node:child_process');
  const { env } = await import('../support/stack.mjs');
  const [ann] = await world.people(1);
  const raw = await open(first(), ann);
  const signals = () => execFileSync('kcat', ['-C', '-b', env.KAFKA_BROKERS, '-t', 'presence.signals', '-e', '-q', '-o', '-500'], { encoding: 'utf8', timeout: 120000, maxBuffer: 1 << 26 })
    .split('\n').filter((line) => line.includes(ann.id)).map((line) => JSON.parse(line));
  const up = await eventually(10000, () => signals().find(({ kind }) => kind === 'up'), 'up');
  assert.equal(up.connection, raw.connected.headers.session);
  raw.close();
  await eventually(10000, () => signals().find(({ kind, connection }) => kind === 'down' && connection === up.connection), 'down');
});

test('[S-46][S-45] a session that ends is told its sockets, then they close; other sessions stay', async () => {
  const [ann] = await world.people(1);
  const other = { ...ann, sid: uuid() };
  other.token = world.auth.token(other);
  const [one, two, mine] = [await listening(first(), ann), await open(second(), ann), await listening(second(), other)];
  world.publish('sessions.ended', [[ann.id, { v: 1, id: uuid(), at: new Date().toISOString(), kind: 'session_ended', user_id: ann.id, sid: ann.sid, reason: 'single_session' }]]);
  assert.equal((await one.body(({ type }) => type === 'session_ended')).reason, 'single_session');
  for (const raw of [one, two]) {
    const error = await raw.frame('ERROR');
    assert.deepEqual([error.headers.message, error.body], ['session_ended', 'single_session']);
    assert.equal((await raw.closed).code, 4401);
  }
  const late = new Raw(first().wsUrl, { token: ann.token });
  await assert.rejects(late.opened, { status: 401 });
  assert.equal(mine.end, undefined);
});

test('[P-29][I1] kill -9 of either instance: what was acknowledged is there once, in order, also for those who come back', async () => {
  const [ann, bob] = await world.friends(2);
  const dm = await world.dm(ann, bob);
  const acknowledged = new Map();
  const seen = { ann: [], bob: [] };
  for (const victim of [first(), second()]) {
    const survivor = victim === first() ? second() : first();
    const a = await open(survivor, ann);
    const b = await open(victim, bob);
    const seqs = (raw) => raw.messages('d').map(({ seq }) => seq);
    await a.subscribe(room(dm), 'd', { after: seen.ann.at(-1) ?? 0 });
    await b.subscribe(room(dm), 'd', { after: seen.bob.at(-1) ?? 0 });
    const repeat = (raw, id) => raw.send('SEND', { destination: to(dm), receipt: id }, JSON.stringify({ client_id: id, content: id }));
    const send = (raw, id = clientId()) => {
      repeat(raw, id);
      return id;
    };
    for (let i = 0; i < 10; i++) [a, b].forEach((raw) => send(raw));
    await eventually(8000, () => seqs(a).length >= 10, 'some arrived');
    await victim.kill();
    const sent = Array.from({ length: 10 }, () => send(a));
    await b.closed;
    seen.bob.push(...seqs(b));
    const back = await open(survivor, bob);
    await back.subscribe(room(dm), 'd', { after: seen.bob.at(-1) ?? 0 });
    const ready = victim.start(); /* as its supervisor does: it finds its slot free and goes on with its partitions */
    const missing = () => sent.filter((id) => !a.frames.some(({ command, headers }) => command === 'RECEIPT' && headers['receipt-id'] === id));
    await eventually(40000, () => {
      missing().forEach((id) => repeat(a, id)); /* with the same client_id: never a second message */
      return missing().length === 0;
    }, 'all are acknowledged in the end', 1500);
    await ready;
    for (const raw of [a, b]) for (const { command, headers } of raw.frames) if (command === 'RECEIPT' && headers.seq) acknowledged.set(headers['receipt-id'], Number(headers.seq));
    const top = Math.max(...acknowledged.values());
    await eventually(8000, () => (seqs(a).at(-1) ?? 0) >= top && (seqs(back).at(-1) ?? 0) >= top, 'both have all');
    seen.ann.push(...seqs(a));
    seen.bob.push(...seqs(back));
  }
  for (const list of [seen.ann, seen.bob]) assert.deepEqual(list, Array.from({ length: list.length }, (_, i) => i + 1));
  const stored = await world.sql('SELECT client_id, seq FROM messages WHERE room_id = $1', [dm.id]);
  const bySeq = new Map(stored.map(({ client_id, seq }) => [client_id, seq]));
  for (const [id, seq] of acknowledged) assert.equal(bySeq.get(id), seq);
  assert.equal(bySeq.size, stored.length);
}, { timeout: 360000 });

test('[I8] an instance that stops sends its sockets away with 1001', async () => {
  const [ann] = await world.people(1);
  const raws = await Promise.all(Array.from({ length: 5 }, () => open(first(), ann)));
  const ended = first().stop();
  for (const raw of raws) assert.equal((await raw.closed).code, 1001);
  assert.equal(await ended, 0);
  await first().start();
}, { timeout: 180000 });
