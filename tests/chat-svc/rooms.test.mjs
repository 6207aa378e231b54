// Rooms: opening, members, leaving, titles, lists, mute - and what a stranger can't do. Two real instances.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../support/wait.mjs';
import { all, clientId, EVERYBODY, oldUuid, uuid, World } from './world.mjs';

const world = new World();
before(() => world.start());
after(() => world.stop());

const ids = (people) => people.map(({ id }) => id);
const rooms = '/api/chat/rooms';

describe('a direct room', () => {
  test('[P-21] opens once for a pair: 201, then 200 and the same from both sides', async () => {
    const [mina, juno] = await world.friends(2);
    const opened = await mina.api.post(rooms, { kind: 'dm', user_id: juno.id });
    assert.equal(opened.status, 201, opened.text);
    const room = opened.json;
    assert.equal(room.kind, 'dm');
    assert.equal(room.title, juno.nickname, 'named after the other one');
    assert.deepEqual(room.members.map(({ id }) => id).sort(), ids([mina, juno]).sort());
    assert.deepEqual([room.member_count, room.last_seq, room.my_read_seq, room.unread, room.muted, room.last_message], [2, 0, 0, 0, false, null]);
    const again = await mina.other.post(rooms, { kind: 'dm', user_id: juno.id });
    assert.deepEqual([again.status, again.json.id], [200, room.id]);
    const theirs = await juno.other.post(rooms, { kind: 'dm', user_id: mina.id });
    assert.deepEqual([theirs.status, theirs.json.id, theirs.json.title], [200, room.id, mina.nickname]);
  });

  test('[P-21] is one room when both open it at once from 20 clients on two instances', async () => {
    const [mina, juno] = await world.friends(2);
    const calls = Array.from({ length: 20 }, (_, i) => {
      const [me, you] = i % 2 ? [mina, juno] : [juno, mina];
      return (i % 4 < 2 ? me.api : me.other).post(rooms, { kind: 'dm', user_id: you.id });
    });
    const replies = await Promise.all(calls);
    for (const reply of replies) assert.ok([200, 201].includes(reply.status), reply.text);
    assert.equal(replies.filter(({ status }) => status === 201).length, 1, 'one of them made it');
    assert.equal(new Set(replies.map(({ json }) => json.id)).size, 1);
    assert.equal((await mina.api.get(rooms)).json.items.length, 1);
  });

  test('[P-21] not with oneself, not with nobody, not with a stranger, not across a block', async () => {
    const [mina, juno, hana] = await world.people(3);
    const open = (who, whom) => who.api.post(rooms, { kind: 'dm', user_id: whom });
    assert.deepEqual((({ status, problem }) => [status, problem])(await open(mina, mina.id)), [422, 'self']);
    assert.equal((await open(mina, oldUuid())).status, 404);
    assert.deepEqual((({ status, problem }) => [status, problem])(await open(mina, juno.id)), [403, 'not_friends']);
    await world.relate(mina, hana, { friend: false, blocked_by: [hana.id] });
    assert.deepEqual((({ status, problem }) => [status, problem])(await open(mina, hana.id)), [403, 'blocked']);
    assert.deepEqual((({ status, problem }) => [status, problem])(await open(hana, mina.id)), [403, 'blocked']);
    assert.equal(await world.one('SELECT count(*) FROM rooms r JOIN dm_pairs d ON d.room_id = r.id WHERE d.low = ANY ($1) AND d.high = ANY ($1)', [ids([mina, juno, hana])]), 0);
  });

  test('[P-21] with friends whose events are a moment late: the request waits for the copies', async () => {
    const [mina] = await world.people(1);
    const juno = world.stranger({ id: uuid() }); // signed up just now
    const relation = world.relation(mina, juno);
    const opened = mina.api.post(rooms, { kind: 'dm', user_id: juno.id });
    world.tellAccounts([juno]);
    world.tellRelations([relation]);
    assert.equal((await opened).status, 201, (await opened).text);
  });

  test('[P-21] with a friend whose account has not come: it exists for certain, so 503 not_yet', async () => {
    const [mina] = await world.people(1);
    const juno = world.stranger();
    await world.relate(mina, juno);
    const reply = await mina.api.post(rooms, { kind: 'dm', user_id: juno.id });
    assert.deepEqual([reply.status, reply.problem], [503, 'not_yet'], reply.text);
    assert.ok(Number(reply.headers['retry-after']) >= 1);
  });

  test('[P-21] by somebody whose own account has not come: the token tells who it is', async () => {
    const [juno] = await world.people(1);
    const mina = world.stranger();
    await world.relate(mina, juno);
    const opened = await mina.api.post(rooms, { kind: 'dm', user_id: juno.id });
    assert.equal(opened.status, 201, opened.text);
    assert.equal((await juno.api.get(`${rooms}/${opened.json.id}`)).json.title, mina.nickname);
  });

  test('[P-19][P-21] takes no third member; a block silences it on both sides and leaves it readable', async () => {
    const [mina, juno, hana] = await world.friends(3);
    const room = await world.dm(mina, juno);
    const third = await mina.api.post(`${rooms}/${room.id}/members`, { user_ids: [hana.id] });
    assert.deepEqual([third.status, third.problem], [409, 'dm_full'], third.text);
    await world.say(mina, room, 'before');
    await world.relate(mina, juno, { friend: false, blocked_by: [juno.id] });
    for (const person of [mina, juno]) {
      const reply = await person.api.post(`${rooms}/${room.id}/messages`, { client_id: clientId(), content: 'silence' });
      assert.deepEqual([reply.status, reply.problem], [403, 'blocked'], reply.text);
      assert.equal((await person.api.get(`${rooms}/${room.id}/messages`)).json.items.length, 1);
      const other = person === mina ? juno : mina;
      const opened = await person.api.post(rooms, { kind: 'dm', user_id: other.id });
      assert.deepEqual([opened.status, opened.json?.id], [200, room.id], 'what was said stays theirs');
    }
  });

  test('[P-25] that is left is hidden; a message or opening it brings it back, with its history', async () => {
    const [mina, juno] = await world.friends(2);
    const room = await world.dm(mina, juno);
    await world.say(juno, room, 'first');
    const listed = async (person) => (await person.api.get(rooms)).json.items.map(({ id }) => id);
    assert.equal((await mina.api.delete(`${rooms}/${room.id}/members/me`)).status, 204);
    assert.deepEqual(await listed(mina), []);
    assert.deepEqual(await listed(juno), [room.id]);
    assert.equal((await mina.api.get('/api/chat/unread')).json.total, 0, 'hidden rooms do not count');
    const back = await mina.other.post(rooms, { kind: 'dm', user_id: juno.id });
    assert.deepEqual([back.status, back.json.id], [200, room.id]);
    assert.deepEqual(await listed(mina), [room.id]);
    assert.equal((await mina.api.get(`${rooms}/${room.id}/messages`)).json.items[0].content, 'first');
    assert.equal((await mina.api.delete(`${rooms}/${room.id}/members/me`)).status, 204);
    await world.say(juno, room, 'second');
    assert.deepEqual(await listed(mina), [room.id], 'a new message shows it again');
  });
});

describe('a group', () => {
  test('[P-22] has its creator as member and only manager, and unique members', async () => {
    const [mina, juno, hana] = await world.friends(3);
    const made = await mina.api.post(rooms, { kind: 'group', user_ids: [juno.id, hana.id, juno.id.toUpperCase()], title: '  마당  ' });
    assert.equal(made.status, 201, made.text);
    assert.deepEqual([made.json.kind, made.json.title, made.json.member_count], ['group', '마당', 3]);
    assert.deepEqual(made.json.members.filter(({ manager }) => manager).map(({ id }) => id), [mina.id]);
    for (const person of [juno, hana]) assert.equal((await person.other.get(`${rooms}/${made.json.id}`)).status, 200);
  });

  test('[P-22] of fewer than three, of oneself, of strangers: refused', async () => {
    const [mina, juno, hana] = await world.friends(3);
    const [stranger] = await world.people(1);
    const make = (user_ids) => mina.api.post(rooms, { kind: 'group', user_ids });
    assert.equal((await make([juno.id])).status, 400);
    assert.equal((await make([juno.id, juno.id])).status, 400);
    assert.deepEqual((({ status, problem }) => [status, problem])(await make([juno.id, mina.id, hana.id])), [422, 'self']);
    assert.deepEqual((({ status, problem }) => [status, problem])(await make([juno.id, stranger.id])), [403, 'not_friends']);
    assert.equal((await make([juno.id, oldUuid()])).status, 404);
    assert.equal((await make(Array.from({ length: 100 }, oldUuid))).status, 400);
  });

  test('[P-22] made with an Idempotency-Key is made once', async () => {
    const [mina, juno, hana] = await world.friends(3);
    const body = { kind: 'group', user_ids: ids([juno, hana]) };
    const headers = { 'Idempotency-Key': `k-${uuid()}` };
    const replies = await Promise.all([mina.api, mina.other, mina.api].map((api) => api.post(rooms, body, { headers })));
    replies.push(await mina.other.post(rooms, body, { headers }));
    for (const reply of replies) assert.equal(reply.status, 201, reply.text);
    assert.equal(new Set(replies.map(({ json }) => json.id)).size, 1);
    const other = await mina.api.post(rooms, { ...body, title: 'another' }, { headers });
    assert.deepEqual([other.status, other.problem], [422, 'idempotency_key_reused']);
    assert.notEqual((await mina.api.post(rooms, body)).json.id, replies[0].json.id, 'without a key it is another room');
    const bad = await mina.api.post(rooms, body, { headers: { 'Idempotency-Key': 'two words' } });
    assert.equal(bad.status, 400);
  });

  test('[P-23][P-24] members invite friends once, and a line of the server says so', async () => {
    const [mina, juno, hana, dohyun] = await world.friends(4);
    const room = await world.group(mina, [juno, hana]);
    await world.say(mina, room, 'before');
    const added = await juno.other.post(`${rooms}/${room.id}/members`, { user_ids: [dohyun.id, hana.id] });
    assert.equal(added.status, 200, added.text);
    assert.equal(added.json.member_count, 4);
    const again = await juno.api.post(`${rooms}/${room.id}/members`, { user_ids: [dohyun.id] });
    assert.deepEqual([again.status, again.json.member_count], [200, 4], 'who is in stays in, once');
    const theirs = (await dohyun.api.get(`${rooms}/${room.id}`)).json;
    assert.equal(theirs.unread <= 1, true, 'a joiner has read what was there');
    const lines = await eventually(5000, async () => {
      const items = (await mina.api.get(`${rooms}/${room.id}/messages`)).json.items.filter(({ kind }) => kind === 'system');
      return items.length > 0 && items;
    }, 'a line of the server');
    assert.equal(lines[0].sender, null);
  });

  test('[P-23] strangers invite nobody, and nobody invites strangers, blocked people or himself', async () => {
    const [mina, juno, hana, dohyun] = await world.friends(4);
    const [stranger] = await world.people(1);
    const room = await world.group(mina, [juno, hana]);
    const invite = async (who, whom) => (({ status, problem }) => [status, problem])(await who.api.post(`${rooms}/${room.id}/members`, { user_ids: [whom.id] }));
    assert.deepEqual(await invite(dohyun, dohyun), [404, 'not_found']);
    assert.deepEqual(await invite(dohyun, hana), [404, 'not_found']);
    assert.deepEqual(await invite(mina, stranger), [403, 'not_friends']);
    assert.deepEqual(await invite(mina, mina), [422, 'self']);
    await world.relate(mina, dohyun, { friend: false, blocked_by: [dohyun.id] });
    assert.deepEqual(await invite(mina, dohyun), [403, 'blocked']);
    assert.equal((await mina.api.get(`${rooms}/${room.id}`)).json.member_count, 3);
  });

  test('[P-22] of a hundred is full', async () => {
    const [mina, juno, hana, late] = await world.friends(4);
    const room = await world.group(mina, [juno, hana]);
    await world.sql("INSERT INTO members (room_id, user_id, joined_at, read_seq) SELECT $1, gen_random_uuid(), now(), 0 FROM generate_series(1, 97)", [room.id]);
    await world.sql('UPDATE rooms SET member_count = 100 WHERE id = $1', [room.id]);
    const reply = await mina.api.post(`${rooms}/${room.id}/members`, { user_ids: [late.id] });
    assert.deepEqual([reply.status, reply.problem], [409, 'room_full'], reply.text);
  });

  test('[P-25] that the manager leaves gets another one; the last one out ends it', async () => {
    const [mina, juno, hana] = await world.friends(3);
    const room = await world.group(mina, [juno, hana]);
    assert.equal((await mina.api.delete(`${rooms}/${room.id}/members/${mina.id}`)).status, 204);
    assert.equal((await mina.api.get(`${rooms}/${room.id}`)).status, 404);
    const seen = (await juno.api.get(`${rooms}/${room.id}`)).json;
    assert.equal(seen.member_count, 2);
    assert.equal(seen.members.filter(({ manager }) => manager).length, 1, 'the role passed on');
    assert.ok(!seen.title.includes(mina.nickname));
    const manager = seen.members.find((member) => member.manager);
    const [boss, last] = manager.id === juno.id ? [juno, hana] : [hana, juno];
    assert.equal((await boss.other.patch(`${rooms}/${room.id}`, { title: 'mine now' })).status, 200);
    assert.equal((await boss.api.delete(`${rooms}/${room.id}/members/me`)).status, 204);
    assert.equal((await last.api.delete(`${rooms}/${room.id}/members/me`)).status, 204);
    assert.equal((await last.api.get(`${rooms}/${room.id}`)).status, 404);
    assert.equal(await world.one('SELECT count(*) FROM members WHERE room_id = $1', [room.id]), 0);
  });

  test('[P-22][P-25] only the manager removes and names; null brings the names back', async () => {
    const [mina, juno, hana] = await world.friends(3);
    const room = await world.group(mina, [juno, hana]);
    const code = async (call) => (({ status, problem }) => [status, problem])(await call);
    assert.deepEqual(await code(juno.api.patch(`${rooms}/${room.id}`, { title: 'mine' })), [403, 'not_manager']);
    assert.deepEqual(await code(juno.api.delete(`${rooms}/${room.id}/members/${hana.id}`)), [403, 'not_manager']);
    assert.equal((await mina.api.patch(`${rooms}/${room.id}`, { title: '저녁 모임' })).json.title, '저녁 모임');
    assert.equal((await juno.other.get(`${rooms}/${room.id}`)).json.title, '저녁 모임');
    const named = (await mina.api.patch(`${rooms}/${room.id}`, { title: null })).json.title;
    assert.deepEqual(named.split(', ').sort(), [juno.nickname, hana.nickname].sort(), 'they came at the same time');
    assert.equal((await mina.api.patch(`${rooms}/${room.id}`, {})).status, 200);
    assert.equal((await mina.api.delete(`${rooms}/${room.id}/members/${hana.id}`)).status, 204);
    assert.equal((await hana.api.get(`${rooms}/${room.id}`)).status, 404);
    assert.equal((await mina.api.delete(`${rooms}/${room.id}/members/${hana.id}`)).status, 404, 'who is not in');
  });
});

describe('lists of rooms', () => {
  test('[P-26][M-50] are sorted by last activity, with last message and unread, page by page', async () => {
    const [mina, ...others] = await world.friends(6);
    const opened = [];
    for (const other of others) opened.push(await world.dm(mina, other));
    for (const i of [3, 0, 4]) await world.say(others[i], opened[i], `from ${i}`);
    const items = (await mina.api.get(rooms)).json.items;
    assert.deepEqual(items.slice(0, 3).map(({ id }) => id), [4, 0, 3].map((i) => opened[i].id));
    assert.deepEqual(items.map(({ last_message }) => last_message?.content ?? null), ['from 4', 'from 0', 'from 3', null, null]);
    assert.deepEqual(items.map(({ unread }) => unread), [1, 1, 1, 0, 0]);
    assert.deepEqual(items[0].last_message.sender.nickname, others[4].nickname);
    const paged = await all(mina.other, rooms, 2);
    assert.deepEqual(paged.map(({ id }) => id), items.map(({ id }) => id));
    assert.equal((await mina.api.get(`${rooms}?kind=group`)).json.items.length, 0);
    const page = await mina.api.get(`${rooms}?limit=2`);
    assert.equal((await mina.api.get(`/api/chat/search?q=from&cursor=${page.json.next_cursor}`)).status, 400, 'a cursor of another list');
  });

  test('[P-26] have the rooms for everybody when asked', async () => {
    const [mina] = await world.people(1);
    assert.deepEqual((await mina.api.get(rooms)).json.items, []);
    const open = (await mina.api.get(`${rooms}?kind=global,company`)).json.items;
    assert.deepEqual(open.map(({ id, kind, unread, members }) => [id, kind, unread, members]), [[EVERYBODY, 'global', 0, undefined]]);
    assert.equal((await mina.api.get(`${rooms}?kind=secret`)).status, 400);
    assert.equal((await mina.api.get(`${rooms}/${EVERYBODY}`)).status, 200);
  });

  test('[P-39] mute is one\'s own', async () => {
    const [mina, juno] = await world.friends(2);
    const room = await world.dm(mina, juno);
    assert.equal((await mina.api.put(`${rooms}/${room.id}/mute`, { muted: true })).json.muted, true);
    assert.equal((await mina.other.get(`${rooms}/${room.id}`)).json.muted, true);
    assert.equal((await juno.api.get(`${rooms}/${room.id}`)).json.muted, false);
    assert.equal((await mina.api.put(`${rooms}/${room.id}/mute`, { muted: false })).json.muted, false);
    assert.equal((await mina.api.put(`${rooms}/${EVERYBODY}/mute`, { muted: true })).status, 422);
  });
});

test('[P-27][P-28][S-46] a stranger gets 404 on every route of a room, as for a room that is not there', async () => {
  const [mina, juno, stranger] = await world.friends(3);
  const room = await world.dm(mina, juno);
  await world.say(mina, room);
  const calls = (id) => [
    ['GET', `${rooms}/${id}`],
    ['PATCH', `${rooms}/${id}`, { title: 'x' }],
    ['PUT', `${rooms}/${id}/mute`, { muted: true }],
    ['POST', `${rooms}/${id}/members`, { user_ids: [stranger.id] }],
    ['POST', `${rooms}/${id}/members`, { user_ids: [juno.id] }],
    ['DELETE', `${rooms}/${id}/members/me`],
    ['DELETE', `${rooms}/${id}/members/${mina.id}`],
    ['POST', `${rooms}/${id}/messages`, { client_id: 'x', content: 'let me in' }],
    ['GET', `${rooms}/${id}/messages`],
    ['GET', `${rooms}/${id}/messages?after=0`],
    ['PATCH', `${rooms}/${id}/messages/1`, { content: 'changed' }],
    ['DELETE', `${rooms}/${id}/messages/1`],
    ['PUT', `${rooms}/${id}/messages/1/reactions/%F0%9F%91%8D`],
    ['DELETE', `${rooms}/${id}/messages/1/reactions/%F0%9F%91%8D`],
    ['PUT', `${rooms}/${id}/read`, { seq: 1 }],
    ['POST', `${rooms}/${id}/files`, Buffer.from('%PDF-1.4\n%%EOF\n')],
    ['GET', `${rooms}/${id}/files/${uuid()}`],
    ['GET', `/api/chat/search?q=hello&room=${id}`],
  ];
  for (const id of [room.id, uuid(), 'no-id']) {
    for (const [method, where, body] of calls(id)) {
      const reply = await stranger.api.call(method, where, { body });
      assert.deepEqual([reply.status, reply.problem], [404, 'not_found'], `${method} ${where}: ${reply.text}`);
    }
  }
  assert.deepEqual((await stranger.api.get('/api/chat/search?q=hello')).json.items, []);
  const message = (await mina.api.get(`${rooms}/${room.id}/messages`)).json.items[0];
  assert.deepEqual([message.content, message.reactions, (await mina.api.get(`${rooms}/${room.id}`)).json.member_count], ['hello', {}, 2]);
});

test('[P-43] guests and nobody are refused on every route', async () => {
  const guest = world.stranger({ role: 'guest' });
  for (const [method, where] of [['GET', rooms], ['POST', rooms], ['GET', `${rooms}/${EVERYBODY}`], ['POST', `${rooms}/${EVERYBODY}/messages`], ['GET', '/api/chat/unread'], ['GET', '/api/chat/search?q=ab']]) {
    assert.equal((await guest.api.call(method, where, { body: method === 'POST' ? {} : undefined })).status, 403, `${method} ${where}`);
    assert.equal((await guest.api.call(method, where, { token: undefined, body: method === 'POST' ? {} : undefined })).status, 401, `${method} ${where}`);
  }
});

test('[D-53] each wrong body and parameter is told, and changes nothing', async () => {
  const [mina, juno, hana] = await world.friends(3);
  const room = await world.group(mina, [juno, hana]);
  await world.say(mina, room);
  const at = `${rooms}/${room.id}`;
  const long = (n) => '가'.repeat(n);
  const wrong = {
    [`POST ${rooms}`]: [undefined, '', '[]', '{', 'null', { kind: 'dm' }, { kind: 'global' }, { kind: 'company', title: 'x' }, { kind: 'dm', user_id: 'me' }, { kind: 'dm', user_id: 7 }, { user_id: juno.id },
      { kind: 'dm', user_id: juno.id, title: 'x' }, { kind: 'dm', user_id: juno.id, user_ids: [hana.id] }, { kind: 'group' }, { kind: 'group', user_ids: [] }, { kind: 'group', user_ids: 'all' },
      { kind: 'group', user_ids: [juno.id, 'x'] }, { kind: 'group', user_ids: [juno.id, 7] }, { kind: 'group', user_ids: [juno.id, null] }, { kind: 'group', user_ids: [juno.id, hana.id], user_id: hana.id },
      { kind: 'group', user_ids: [juno.id, hana.id], title: long(101) }, { kind: 'group', user_ids: [juno.id, hana.id], title: 'a\u0000b' }, { kind: 'group', user_ids: [juno.id, hana.id], title: 'a\nb' },
      { kind: 'group', user_ids: [juno.id, hana.id], sender_id: juno.id }],
    [`PATCH ${at}`]: [undefined, '[]', { title: 7 }, { title: long(101) }, { title: 'a\u0007' }, { name: 'x' }],
    [`PUT ${at}/mute`]: [undefined, {}, { muted: 'yes' }, { muted: 1 }, { muted: null }, { muted: true, until: 7 }],
    [`POST ${at}/members`]: [undefined, {}, { user_ids: [] }, { user_ids: ['x'] }, { user_ids: juno.id }, { user_ids: Array.from({ length: 100 }, oldUuid) }],
    [`POST ${at}/messages`]: [undefined, {}, '{"client_id":"a","client_id":"b","content":"x"}', { content: 'x' }, { client_id: '', content: 'x' }, { client_id: 'x'.repeat(65), content: 'x' },
      { client_id: 7, content: 'x' }, { client_id: 'a\u0001', content: 'x' }, { client_id: 'a' }, { client_id: 'a', content: '' }, { client_id: 'a', content: ' \n\t ' }, { client_id: 'a', content: long(4001) },
      { client_id: 'a', content: 'a\u0000b' }, { client_id: 'a', content: 'a\u001bb' }, { client_id: 'a', content: 'x', kind: 'system' }, { client_id: 'a', content: 'x', kind: 'first' },
      { client_id: 'a', content: 'x', kind: 'image' }, { client_id: 'a', content: 'x', file_id: uuid() }, { client_id: 'a', content: 'x', kind: 'image', file_id: 'x' }, { client_id: 'a', content: 'x', reply_to: 0 },
      { client_id: 'a', content: 'x', reply_to: 1.5 }, { client_id: 'a', content: 'x', reply_to: '1' }, { client_id: 'a', content: 'x', sender_id: juno.id }, { client_id: 'a', content: 'x', seq: 9 },
      Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d])],
    [`PATCH ${at}/messages/1`]: [undefined, {}, { content: '' }, { content: '  ' }, { content: long(4001) }, { content: null }, { content: 'x', kind: 'text' }],
    [`PUT ${at}/read`]: [undefined, {}, { seq: -1 }, { seq: '1' }, { seq: 1.5 }, { seq: 1e30 }, { seq: 1, user_id: juno.id }],
    [`PUT ${at}/messages/1/reactions/${encodeURIComponent('가'.repeat(17))}`]: [undefined],
    [`PUT ${at}/messages/1/reactions/%20`]: [undefined],
    [`PUT ${at}/messages/1/reactions/a%0Ab`]: [undefined],
    [`GET ${at}/messages?before=0`]: [undefined],
    [`GET ${at}/messages?before=x`]: [undefined],
    [`GET ${at}/messages?after=-1`]: [undefined],
    [`GET ${at}/messages?before=5&after=1`]: [undefined],
    [`GET ${at}/messages?limit=101`]: [undefined],
    [`GET ${at}/messages?limit=0`]: [undefined],
    [`GET ${at}/messages?cursor=abc`]: [undefined],
    [`GET ${rooms}?limit=1000`]: [undefined],
    [`GET ${rooms}?cursor=..`]: [undefined],
    [`GET ${rooms}?kind=`]: [undefined],
    'GET /api/chat/search': [undefined],
    'GET /api/chat/search?q=a': [undefined],
    'GET /api/chat/search?q=%20a%20': [undefined],
    [`GET /api/chat/search?q=${'a'.repeat(101)}`]: [undefined],
    [`POST ${at}/files`]: [Buffer.alloc(0)],
  };
  const before = await world.one('SELECT rev FROM rooms WHERE id = $1', [room.id]);
  for (const [route, bodies] of Object.entries(wrong)) {
    for (const body of bodies) {
      const [method, where] = route.split(' ');
      const reply = await mina.api.call(method, where, { body: body === undefined && method !== 'GET' ? '' : body });
      assert.deepEqual([reply.status, reply.problem], [400, 'bad_input'], `${route} ${JSON.stringify(body)}: ${reply.text}`);
    }
  }
  for (const [method, where] of [['PATCH', `${at}/messages/x`], ['DELETE', `${at}/messages/0`], ['DELETE', `${at}/messages/99999999999999999999`], ['DELETE', `${at}/messages/-1`], ['DELETE', `${at}/members/x`]])
    assert.equal((await mina.api.call(method, where, { body: { content: 'x' } })).status, 404, `${method} ${where}`);
  assert.equal((await mina.api.call('POST', `${at}/messages`, { body: { client_id: 'big', content: 'x'.repeat(70000) } })).status, 413);
  assert.equal(await world.one('SELECT rev FROM rooms WHERE id = $1', [room.id]), before, 'nothing was changed');
});
