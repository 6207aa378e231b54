// Event streams: replay and live without gap or double on any instance, read marks, tickets and their cookie, the end of a session.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { EventSource } from 'eventsource';
import { readTopic } from '../support/topics.mjs';
import { eventually } from '../support/wait.mjs';
import { Stream } from './sse.mjs';
import { World, uuid } from './world.mjs';

const world = new World();
const PATH = '/api/notifications/stream';
let idle; // a stream to which nothing happens while the other tests run
before(async () => {
  await world.start({ instances: 2 });
  idle = await Stream.open(world.instances[1], { token: world.person().token });
});
after(() => world.stop());

const upTo = (n, from = 1) => Array.from({ length: n - from + 1 }, (_, i) => from + i);
const cookieOf = (stream) => stream.headers['set-cookie']?.[0].split(';')[0];

test('[K-43][M-54] a stream begins with hello and what is unread; its headers forbid to keep or to hold back', async () => {
  const kim = world.person();
  await world.fill(kim, 4);
  await kim.api.post('/api/notifications/read', { ids: [(await kim.api.get('/api/notifications')).json.items[1].id] });
  const stream = await Stream.open(world.instances[1], { token: kim.token });
  assert.deepEqual([stream.status, stream.headers['content-type'], stream.headers['cache-control'], stream.headers['x-accel-buffering'], stream.headers['content-length']], [200, 'text/event-stream', 'no-store', 'no', undefined]);
  assert.deepEqual(await stream.hello(), { unread: 3, seq: 4, read_up_to: 0 });
  await stream.until('the unread ones', ({ seqs }) => seqs.length === 3);
  assert.deepEqual(stream.seqs, [1, 2, 4]);
  await stream.until('its place is the end of the inbox', ({ lastId }) => lastId === '4');
  assert.ok(stream.retry > 0);
  const [listed] = (await kim.api.get('/api/notifications')).json.items;
  assert.deepEqual(stream.of('notification').at(-1), listed, 'the same form as in the list');
  assert.equal(stream.events.at(-1).id, '4');
  await world.fill(kim, 1);
  await stream.until('the new one', ({ seqs }) => seqs.length === 4);
  stream.close();
});

test('[K-43][K-44] Last-Event-ID brings what was missed, on any instance, then what comes; after= does too', async () => {
  const kim = world.person();
  await world.fill(kim, 5);
  for (const [instance, options] of [[0, { headers: { 'Last-Event-ID': '2' } }], [1, { headers: { 'Last-Event-ID': '2' } }], [1, { path: `${PATH}?after=2` }], [0, { path: `${PATH}?lastEventId=2` }], [0, { path: `${PATH}?after=4`, headers: { 'Last-Event-ID': '2' } }]]) {
    const stream = await Stream.open(world.instances[instance], { token: kim.token, ...options });
    await stream.until('the missed ones', ({ seqs }) => seqs.length >= 3);
    assert.deepEqual(stream.seqs, [3, 4, 5]);
    assert.equal(stream.events[0].event, 'hello');
    assert.equal(stream.events[0].id, '2');
    stream.close();
  }
  const ahead = await Stream.open(world.instances[0], { token: kim.token, path: `${PATH}?after=99` });
  assert.equal((await ahead.hello()).seq, 5);
  await world.fill(kim, 1);
  await ahead.until('who claims too much stands at the end', ({ seqs }) => seqs.length === 1);
  assert.deepEqual(ahead.seqs, [6]);
  ahead.close();
});

test('[K-43][K-44] many streams of a user on both instances while notices pour in: each sees all, once, in order', async () => {
  const kim = world.person();
  const streams = [];
  const fill = world.fill(kim, 300);
  for (let i = 0; i < 12; i++) {
    streams.push(await Stream.open(world.instances[i % 2], { token: kim.token, path: `${PATH}?after=${i * 3}` }));
    await eventually(5000, () => streams.at(-1).events.length > 0, 'it has begun');
  }
  await fill;
  for (const [i, stream] of streams.entries()) {
    await stream.until('all of them', ({ seqs }) => seqs.at(-1) === 300);
    // One that began before there was so much stands at the end it found.
    const first = Math.min(i * 3, stream.of('hello')[0].seq) + 1;
    assert.deepEqual(stream.seqs, upTo(300, first));
    stream.close();
  }
});

test('[M-54][K-44] after kill -9 the other instance goes on where the first stopped', async () => {
  const kim = world.person();
  const stream = await Stream.open(world.instances[0], { token: kim.token });
  await stream.hello();
  await world.fill(kim, 3);
  await stream.until('three', ({ seqs }) => seqs.length === 3);
  await world.instances[0].kill();
  await eventually(5000, () => stream.closed, 'the stream broke');
  const other = await Stream.open(world.instances[1], { token: kim.token, headers: { 'Last-Event-ID': stream.lastId } });
  world.tell(kim, world.request(kim), world.request(kim));
  await world.instances[0].start();
  await other.until('what came meanwhile', ({ seqs }) => seqs.length >= 2, 30000);
  assert.deepEqual([...stream.seqs, ...other.seqs], [1, 2, 3, 4, 5]);
  other.close();
});

test('[K-43] a standard EventSource resumes by itself, without gap or double', async () => {
  const kim = world.person();
  const seen = [], opened = [];
  const source = new EventSource(world.instances[0].url + PATH, { fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, Authorization: `Bearer ${kim.token}` } }) });
  source.addEventListener('hello', () => opened.push(1));
  source.addEventListener('notification', ({ data, lastEventId }) => seen.push([JSON.parse(data).seq, lastEventId]));
  await eventually(10000, () => opened.length === 1, 'it is open');
  await world.fill(kim, 2);
  await eventually(10000, () => seen.length === 2, 'two');
  await world.instances[0].kill();
  world.tell(kim, world.request(kim), world.request(kim), world.request(kim));
  await world.instances[0].start();
  await eventually(30000, () => opened.length >= 2 && seen.length >= 5, `it came back: ${JSON.stringify(seen)}`);
  assert.deepEqual(seen, upTo(5).map((seq) => [seq, String(seq)]));
  source.close();
});

test('[K-42][M-54] read marks reach every other client of the user', async () => {
  const kim = world.person();
  await world.fill(kim, 5);
  const { items } = (await kim.api.get('/api/notifications')).json;
  const streams = await Promise.all(world.instances.map((instance) => Stream.open(instance, { token: kim.token, path: `${PATH}?after=5` })));
  for (const stream of streams) await stream.hello();
  await kim.at(world.instances[1]).post('/api/notifications/read', { ids: [items[0].id, items[1].id] });
  for (const stream of streams) {
    await stream.until('read', ({ events }) => events.some(({ event }) => event === 'read'));
    const [{ up_to: up, ids, unread }] = stream.of('read');
    assert.deepEqual([up, ids.sort(), unread], [0, [items[0].id, items[1].id].sort(), 3]);
  }
  await kim.api.post('/api/notifications/read', { up_to: 2 });
  for (const stream of streams) {
    await stream.until('read once more', (one) => one.of('read').length === 2);
    assert.deepEqual(stream.of('read')[1], { up_to: 2, ids: [], unread: 1 });
    assert.deepEqual(stream.seqs, []);
    stream.close();
  }
});

test('[K-43] who missed too much is told to read the list, and goes on from the end', async () => {
  const kim = world.person();
  await world.fill(kim, 1);
  await world.sql(
    `WITH made AS (INSERT INTO notices (user_id, seq, id, kind, dedupe_id, title, body, data, at)
       SELECT $1, s, gen_random_uuid(), 'friend_request', 'x' || s, 't', 'b', '{}', now() FROM generate_series(2, 700) s)
     UPDATE inboxes SET last_seq = 700 WHERE user_id = $1`, [kim.id]);
  const stream = await Stream.open(world.instances[0], { token: kim.token, path: `${PATH}?after=1` });
  await stream.until('reset', ({ events }) => events.some(({ event }) => event === 'reset'));
  assert.deepEqual([stream.of('reset')[0], stream.lastId, stream.seqs], [{ unread: 700, seq: 700 }, '700', []]);
  await world.fill(kim, 1);
  await stream.until('live', ({ seqs }) => seqs.length === 1);
  const near = await Stream.open(world.instances[0], { token: kim.token, path: `${PATH}?after=201` });
  await near.until('five hundred are replayed', ({ seqs }) => seqs.length === 500);
  assert.deepEqual(near.seqs, upTo(701, 202));
  const fresh = await Stream.open(world.instances[0], { token: kim.token });
  await fresh.until('the newest hundred', ({ seqs, lastId }) => seqs.length === 100 && lastId === '701');
  assert.deepEqual(fresh.seqs, upTo(701, 602));
  for (const one of [stream, near, fresh]) one.close();
});

test('[K-43][P-03] a ticket opens one stream; its cookie lets the reconnect in, on any instance, and nobody else', async () => {
  const kim = world.person();
  const ticket = world.auth.ticket(kim, { exp: Math.floor(Date.now() / 1000) + 600 }); // it is spent before it expires
  const path = `${PATH}?ticket=${ticket}`;
  const first = await Stream.open(world.instances[0], { path });
  assert.equal(first.status, 200);
  const [cookie] = first.headers['set-cookie'];
  assert.match(cookie, /^madang_stream=[^;]+;.*\bPath=\/api\/notifications\/stream\b/);
  assert.match(cookie, /HttpOnly/);
  assert.match(cookie, /SameSite=Strict/);
  for (const instance of world.instances) {
    const twice = await Stream.open(instance, { path });
    assert.deepEqual([twice.status, (await twice.problem()).code], [401, 'token_invalid'], 'spent');
  }
  await world.fill(kim, 2);
  await first.until('two', ({ seqs }) => seqs.length === 2);
  first.close();
  const headers = { Cookie: `a=b; ${cookieOf(first)}`, 'Last-Event-ID': '1' };
  for (const instance of world.instances) {
    const again = await Stream.open(instance, { path, headers });
    await again.until('what was missed', ({ seqs }) => seqs.length === 1);
    assert.deepEqual(again.seqs, [2]);
    again.close();
  }
  const late = await Stream.open(world.instances[1], { path: `${PATH}?ticket=${world.auth.ticket(kim, { iat: 1000, exp: 1030 })}`, headers });
  assert.equal(late.status, 200, 'an expired one of the same session');
  late.close();
  const lee = world.person();
  const [value, mac] = cookieOf(first).split('.');
  const wrong = [
    [{ path: `${PATH}?ticket=${world.auth.ticket(lee, { iat: 1000, exp: 1030 })}`, headers }, 'token_expired'], // another's ticket: not this session
    [{ path, headers: { Cookie: `madang_stream=${lee.sid}.${mac}` } }, 'token_invalid'],
    [{ path, headers: { Cookie: `${value}.${mac.slice(0, -1)}${mac.at(-1) === 'A' ? 'Q' : 'A'}` } }, 'token_invalid'],
    [{ path, headers: { Cookie: 'madang_stream=' } }, 'token_invalid'],
    [{ path: `${PATH}?ticket=x` }, 'token_invalid'],
    [{ path: `${PATH}?ticket=${kim.token}` }, 'token_invalid'], // an access token is no ticket
    [{ token: ticket }, 'token_invalid'], // nor the other way round
    [{}, 'token_missing'],
  ];
  for (const [options, code] of wrong) {
    const stream = await Stream.open(world.instances[0], options);
    assert.deepEqual([stream.status, (await stream.problem()).code], [401, code], JSON.stringify(options).slice(0, 200));
    assert.equal(stream.headers['set-cookie'], undefined);
  }
  const switched = await Stream.open(world.instances[0], { path: `${PATH}?ticket=${world.auth.ticket(lee)}`, headers });
  assert.equal((await switched.hello()).seq, 0, 'a fresh ticket of another session wins over the cookie');
  assert.notEqual(cookieOf(switched), cookieOf(first));
  switched.close();
});

test('[K-03] guests and expired or forged tokens get no stream; bad positions are 400', async () => {
  const kim = world.person(), guest = world.person({ role: 'guest' });
  const code = async (options) => {
    const stream = await Stream.open(world.instances[0], options);
    return [stream.status, stream.status === 200 ? stream.close() : (await stream.problem()).code];
  };
  assert.deepEqual(await code({ token: guest.token }), [403, 'forbidden']);
  assert.deepEqual(await code({ path: `${PATH}?ticket=${world.auth.ticket(guest)}` }), [403, 'forbidden']);
  assert.equal((await code({ token: `${kim.token.slice(0, -3)}abc` }))[0], 401);
  assert.equal((await code({ token: world.auth.token(kim, { exp: 1000, iat: 900 }) }))[0], 401);
  for (const query of ['after=x', 'after=-1', 'after=1.5', 'lastEventId=%20', `after=${'9'.repeat(30)}`]) assert.deepEqual(await code({ token: kim.token, path: `${PATH}?${query}` }), [400, 'bad_input'], query);
  for (const headers of [{ 'Last-Event-ID': 'nonsense' }, { 'Last-Event-ID': '' }]) assert.deepEqual((await code({ token: kim.token, headers }))[0], 200);
});

test('[P-03][S-07] the end of a session ends its streams with the reason, and nobody comes back by its cookie', async () => {
  const kim = world.person();
  const other = world.session(kim);
  other.token = world.auth.token(other);
  const path = `${PATH}?ticket=${world.auth.ticket(kim)}`;
  const byTicket = await Stream.open(world.instances[0], { path });
  const byToken = await Stream.open(world.instances[1], { token: kim.token });
  const stays = await Stream.open(world.instances[0], { token: other.token });
  for (const stream of [byTicket, byToken, stays]) await stream.hello();
  world.endSession(kim, 'single_session');
  for (const stream of [byTicket, byToken]) {
    await eventually(10000, () => stream.closed, 'it ended');
    assert.deepEqual([stream.of('session_ended'), stream.events.at(-1).event], [[{ reason: 'single_session' }], 'session_ended']);
  }
  await eventually(10000, async () => (await world.one('SELECT ended_at FROM stream_sessions WHERE session_id = $1', [kim.sid])) instanceof Date, 'the end is stored');
  for (const instance of world.instances) {
    const again = await Stream.open(instance, { path, headers: { Cookie: cookieOf(byTicket) } });
    assert.deepEqual([again.status, (await again.problem()).code], [401, 'session_ended']);
    const late = await Stream.open(instance, { path: `${PATH}?ticket=${world.auth.ticket(kim)}` });
    assert.deepEqual([late.status, (await late.problem()).code], [401, 'session_ended'], 'nor by a ticket that was made before');
    const token = await Stream.open(instance, { token: kim.token });
    assert.deepEqual([token.status, (await token.problem()).code], [401, 'session_ended'], 'nor by a token whose end the list has not told yet');
  }
  await world.fill(kim, 1);
  await stays.until('the other session is told', ({ seqs }) => seqs.length === 1);
  stays.close();
});

test('[P-41][M-45] a stream is a connection of presence: up when it opens, down when it closes', async () => {
  const kim = world.person();
  const stream = await Stream.open(world.instances[0], { token: kim.token });
  await stream.hello();
  const signals = async () => (await readTopic('presence.signals')).filter(({ key }) => key === kim.id).map(({ value }) => value);
  const [up] = await eventually(15000, async () => (await signals()).length >= 1 && signals(), 'up');
  stream.close();
  const all = await eventually(15000, async () => (await signals()).some(({ kind }) => kind === 'down') && signals(), 'down');
  assert.deepEqual([up.kind, up.user_id, all.at(-1).connection], ['up', kim.id, up.connection]);
  assert.deepEqual(all.map(({ n }) => n), upTo(all.length));
});

test('[K-43] a quiet stream gets a comment now and then', async () => {
  await idle.until('a comment', ({ comments }) => comments > 0, 25000);
  assert.deepEqual(idle.events.map(({ event }) => event), ['hello']);
  idle.close();
});

test('[K-43] a draining instance ends its streams, and they come back elsewhere', async () => {
  const kim = world.person();
  const stream = await Stream.open(world.instances[1], { token: kim.token });
  await stream.hello();
  const code = await world.instances[1].stop();
  await eventually(10000, () => stream.closed, 'it ended');
  assert.equal(code, 0);
  assert.ok(stream.retry >= 500 && stream.retry < 3500, 'spread over some seconds');
  await world.instances[1].start();
});
