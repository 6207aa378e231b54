// Messages: sending once, order, history, changes, marks and unread, search, files, rooms for everybody. Two real instances.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { raw, request } from '../support/http.mjs';
import { png } from '../support/png.mjs';
import { eventually } from '../support/wait.mjs';
import { all, clientId, EVERYBODY, uuid, World } from './world.mjs';

const world = new World();
before(() => world.start());
after(() => world.stop());

const rooms = '/api/chat/rooms';
const code = async (call) => (({ status, problem }) => [status, problem])(await call);
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

describe('sending', () => {
  test('[P-28] answers with the message: sequence, server time, and the sender of the token', async () => {
    const [mina, juno] = await world.friends(2);
    const room = await world.dm(mina, juno);
    const client_id = clientId();
    const reply = await mina.api.post(`${rooms}/${room.id}/messages`, { client_id, content: '안녕 👋\r\nsecond line' });
    assert.equal(reply.status, 201, reply.text);
    const { id, at, rev, ...message } = reply.json;
    assert.deepEqual(message, {
      room_id: room.id, seq: 1, client_id, sender: { id: mina.id, nickname: mina.nickname, avatar_url: '' }, kind: 'text', content: '안녕 👋\nsecond line', reactions: {}, unread_by: 1, my_reactions: [],
    });
    assert.match(id, /^[0-9a-f-]{36}$/);
    assert.ok(rev > 0 && Math.abs(Date.parse(at) - Date.now()) < 60000);
    assert.deepEqual((await juno.other.get(`${rooms}/${room.id}/messages`)).json.items[0], reply.json);
  });

  test('[P-28] the same client_id is the same message, on any instance and at once', async () => {
    const [mina, juno] = await world.friends(2);
    const room = await world.dm(mina, juno);
    const wish = { client_id: clientId(), content: 'once' };
    const replies = await Promise.all(range(1, 10).map((i) => (i % 2 ? mina.api : mina.other).post(`${rooms}/${room.id}/messages`, wish)));
    replies.push(await mina.api.post(`${rooms}/${room.id}/messages`, { ...wish, content: 'another text' }));
    for (const reply of replies) assert.deepEqual([reply.status, reply.json.seq, reply.json.id, reply.json.content], [201, 1, replies[0].json.id, 'once'], reply.text);
    const theirs = await juno.api.post(`${rooms}/${room.id}/messages`, wish);
    assert.equal(theirs.json.seq, 2, "another person's client_id is another message");
  });

  test('[P-28][P-29] many at once from both sides and both instances: one order, no hole', async () => {
    const [mina, juno] = await world.friends(2);
    const room = await world.dm(mina, juno);
    const sent = await Promise.all(range(1, 120).map((i) => (i % 2 ? [mina.api, juno.other] : [mina.other, juno.api])[i % 3 ? 0 : 1].post(`${rooms}/${room.id}/messages`, { client_id: clientId(), content: `n${i}` })));
    for (const reply of sent) assert.equal(reply.status, 201, reply.text);
    assert.deepEqual(sent.map(({ json }) => json.seq).sort((a, b) => a - b), range(1, 120));
    const history = await all(juno.api, `${rooms}/${room.id}/messages`, 50);
    assert.deepEqual(history.map(({ seq }) => seq), range(1, 120).reverse());
    assert.deepEqual(new Set(history.map(({ content }) => content)).size, 120);
  });

  test('[P-28] a reply names a message of the room; 4,000 letters fit and 4,001 do not', async () => {
    const [mina, juno] = await world.friends(2);
    const room = await world.dm(mina, juno);
    await world.say(mina, room);
    assert.equal((await world.say(juno, room, 'an answer', { reply_to: 1 })).reply_to, 1);
    const none = await juno.api.post(`${rooms}/${room.id}/messages`, { client_id: clientId(), content: 'x', reply_to: 99 });
    assert.ok([400, 404].includes(none.status), none.text);
    assert.equal([...(await world.say(mina, room, '👍'.repeat(4000))).content].length, 4000);
    assert.equal((await mina.api.post(`${rooms}/${room.id}/messages`, { client_id: clientId(), content: 'x'.repeat(4001) })).status, 400);
  });
});

describe('history', () => {
  test('[P-30][P-31] goes both ways, page by page, and is stable while new ones come', async () => {
    const [mina, juno] = await world.friends(2);
    const room = await world.dm(mina, juno);
    for (let i = 1; i <= 60; i++) await world.say(mina, room, `n${i}`);
    const list = (query) => juno.other.get(`${rooms}/${room.id}/messages${query}`);
    const seqs = (reply) => reply.json.items.map(({ seq }) => seq);
    const first = await list('');
    assert.deepEqual(seqs(first), range(11, 60).reverse(), 'fifty, newest first');
    await world.say(mina, room, 'meanwhile');
    assert.deepEqual(seqs(await list(`?cursor=${first.json.next_cursor}`)), range(1, 10).reverse());
    assert.equal((await list(`?cursor=${first.json.next_cursor}`)).json.next_cursor, null);
    assert.deepEqual(seqs(await list('?before=5')), [4, 3, 2, 1]);
    const fresh = await list('?after=57&limit=2');
    assert.deepEqual(seqs(fresh), [58, 59], 'oldest first, itself not included');
    assert.deepEqual(seqs(await list(`?after=57&limit=2&cursor=${fresh.json.next_cursor}`)), [60, 61]);
    assert.deepEqual((await list('?after=61')).json, { items: [], next_cursor: null });
    assert.equal((await list('?limit=100')).json.items.length, 61);
  });
});

describe('changes', () => {
  test('[P-28] one edits and deletes one\'s own; what is deleted is blank for all and stays in its place', async () => {
    const [mina, juno] = await world.friends(2);
    const room = await world.dm(mina, juno);
    const message = await world.say(mina, room, 'first');
    const at = `${rooms}/${room.id}/messages/${message.seq}`;
    const edited = await mina.other.patch(at, { content: 'better' });
    assert.equal(edited.status, 200, edited.text);
    assert.deepEqual([edited.json.content, edited.json.seq, edited.json.id], ['better', 1, message.id]);
    assert.ok(edited.json.rev > message.rev && edited.json.edited_at);
    assert.deepEqual(await code(juno.api.patch(at, { content: 'mine' })), [403, 'not_yours']);
    assert.deepEqual(await code(juno.api.delete(at)), [403, 'not_yours']);
    await world.sql("UPDATE messages SET at = at - interval '25 hours' WHERE room_id = $1 AND seq = 1", [room.id]);
    assert.deepEqual(await code(mina.api.patch(at, { content: 'too late' })), [409, 'edit_too_late']);
    assert.equal((await mina.api.delete(at)).status, 204);
    const [gone] = (await juno.api.get(`${rooms}/${room.id}/messages`)).json.items;
    assert.deepEqual([gone.seq, gone.content, gone.deleted], [1, '', true]);
    assert.deepEqual(await code(mina.api.patch(at, { content: 'again' })), [409, 'message_deleted']);
    assert.equal((await mina.api.patch(`${rooms}/${room.id}/messages/7`, { content: 'x' })).status, 404);
    const again = await mina.api.post(`${rooms}/${room.id}/messages`, { client_id: message.client_id, content: 'first' });
    assert.deepEqual([again.status, again.json.seq, again.json.deleted], [201, 1, true], 'a late repeat does not bring it back');
  });

  test('[P-28] reactions count each person once', async () => {
    const [mina, juno] = await world.friends(2);
    const room = await world.dm(mina, juno);
    const { seq } = await world.say(mina, room);
    const at = (emoji) => `${rooms}/${room.id}/messages/${seq}/reactions/${encodeURIComponent(emoji)}`;
    const family = '👨‍👩‍👧‍👦';
    assert.deepEqual((await mina.api.put(at('👍'))).json.reactions, { '👍': 1 });
    const second = await juno.other.put(at('👍'));
    assert.deepEqual([second.json.reactions, second.json.my_reactions], [{ '👍': 2 }, ['👍']]);
    assert.deepEqual((await juno.api.put(at('👍'))).json.reactions, { '👍': 2 }, 'once a person');
    assert.deepEqual((await juno.api.put(at(family))).json.reactions, { '👍': 2, [family]: 1 });
    const [seen] = (await mina.api.get(`${rooms}/${room.id}/messages`)).json.items;
    assert.deepEqual([seen.reactions, seen.my_reactions], [{ '👍': 2, [family]: 1 }, ['👍']]);
    const taken = await mina.api.delete(at('👍'));
    assert.deepEqual([taken.status, taken.json.reactions, taken.json.my_reactions], [200, { '👍': 1, [family]: 1 }, []]);
    assert.equal((await mina.api.delete(at('👍'))).status, 200, 'taking it back twice is fine');
    for (let i = 0; i < 18; i++) assert.equal((await mina.api.put(at(`e${i}`))).status, 200);
    assert.deepEqual(await code(mina.api.put(at('e18'))), [409, 'too_many_reactions']);
  });
});

describe('marks', () => {
  test('[P-32][P-33] never go backwards, belong to oneself, and unread is what is left', async () => {
    const [mina, juno] = await world.friends(2);
    const room = await world.dm(mina, juno);
    for (let i = 0; i < 5; i++) await world.say(mina, room);
    const read = async (person, seq) => (await person.api.put(`${rooms}/${room.id}/read`, { seq })).json?.unread;
    assert.equal((await juno.api.get('/api/chat/unread')).json.total, 5);
    assert.equal(await read(juno, 3), 2);
    assert.equal(await read(juno, 3), 2, 'the same again is fine');
    assert.equal(await read(juno, 1), 2, 'not backwards');
    assert.deepEqual((await juno.other.get('/api/chat/unread')).json, { total: 2, rooms: { [room.id]: 2 } });
    assert.equal((await juno.api.get(`${rooms}/${room.id}`)).json.my_read_seq, 3);
    assert.equal(await read(mina, 0), 0, 'own messages are read');
    const beyond = await juno.api.put(`${rooms}/${room.id}/read`, { seq: 99 });
    assert.ok(beyond.status === 200 ? beyond.json.unread === 0 : beyond.status === 400 || beyond.status === 404, beyond.text);
    await world.say(mina, room);
    assert.equal((await juno.api.get(`${rooms}/${room.id}`)).json.unread, 1, 'a mark never stands before the end');
    await world.say(juno, room, 'an answer');
    assert.equal((await juno.api.get('/api/chat/unread')).json.total, 0, 'who answers has read');
  });

  test('[P-33][M-47][M-65] "not read by" is the number of members whose mark is behind', async () => {
    const people = await world.friends(5);
    const [mina, juno, hana, dohyun, sora] = people;
    const room = await world.group(mina, people.slice(1));
    const first = (await mina.api.get(`${rooms}/${room.id}`)).json.last_seq;
    for (let i = 1; i <= 11; i++) await world.say(mina, room, `m${i}`);
    const read = (person, i) => person.api.put(`${rooms}/${room.id}/read`, { seq: first + i });
    await Promise.all([read(juno, 11), read(hana, 11), read(dohyun, 10), read(sora, 7)]);
    const unreadBy = async () => Object.fromEntries((await sora.other.get(`${rooms}/${room.id}/messages`)).json.items.map(({ seq, unread_by }) => [seq - first, unread_by]));
    const before = await unreadBy();
    assert.deepEqual([before[7], before[9], before[11]], [0, 1, 2]);
    await read(sora, 11);
    const later = await unreadBy();
    for (const i of range(1, 11)) assert.equal(later[i], i <= 7 ? before[i] : before[i] - 1, `message ${i}`);
    assert.equal((await dohyun.api.delete(`${rooms}/${room.id}/members/me`)).status, 204);
    assert.equal((await unreadBy())[11], 0, 'who leaves takes the own unread along');
  });
});

describe('rooms for everybody', () => {
  test('[S-44][S-46] take 200 letters, five messages in ten seconds, no marks, no members', async () => {
    const [mina, juno] = await world.people(2);
    const send = (person, content) => person.api.post(`${rooms}/${EVERYBODY}/messages`, { client_id: clientId(), content });
    assert.equal((await send(mina, '가'.repeat(200))).status, 201);
    assert.equal((await send(mina, '가'.repeat(201))).status, 400);
    const replies = await Promise.all(range(1, 8).map((i) => send(mina, `n${i}`)));
    assert.ok(replies.every(({ status }) => status === 201 || status === 429) && replies.filter(({ status }) => status === 201).length <= 5, replies.map(({ text }) => text).join());
    const over = replies.find(({ status }) => status === 429);
    assert.equal(over?.problem, 'rate_limited');
    assert.ok(Number(over.headers['retry-after']) >= 1 && Number(over.headers['retry-after']) <= 10);
    const theirs = await send(juno, 'hello');
    assert.equal(theirs.status, 201);
    assert.equal(theirs.json.unread_by, undefined);
    assert.equal((await juno.api.get('/api/chat/unread')).json.total, 0);
    assert.deepEqual(await code(juno.api.put(`${rooms}/${EVERYBODY}/read`, { seq: 1 })), [422, 'not_for_open_room']);
    assert.deepEqual(await code(juno.api.post(`${rooms}/${EVERYBODY}/members`, { user_ids: [mina.id] })), [422, 'not_for_open_room']);
    assert.deepEqual(await code(juno.api.delete(`${rooms}/${EVERYBODY}/members/me`)), [422, 'not_for_open_room']);
    assert.deepEqual(await code(juno.api.post(`${rooms}/${EVERYBODY}/files`, png())), [422, 'not_for_open_room']);
  });

  test('[S-44] are written in by people whose accounts have not come yet', async () => {
    const mina = world.stranger();
    const said = await mina.api.post(`${rooms}/${EVERYBODY}/messages`, { client_id: clientId(), content: 'new here' });
    assert.deepEqual([said.status, said.json?.sender.nickname], [201, mina.nickname], said.text);
  });
});

describe('search', () => {
  test('[P-31] finds words in any writing, in own rooms only, newest first, page by page', async () => {
    const [mina, juno, hana] = await world.friends(3);
    const [room, other] = [await world.dm(mina, juno), await world.dm(mina, hana)];
    for (const text of ['오늘 저녁에 만나요', 'Straße und ＦＵＬＬ', '저녁밥', 'nothing here']) await world.say(mina, room, text);
    await world.say(hana, other, '저녁 약속');
    const find = async (person, query) => (await person.other.get(`/api/chat/search?${query}`)).json.items.map(({ content }) => content);
    const q = (text) => `q=${encodeURIComponent(text)}`;
    assert.deepEqual(await find(mina, q('저녁')), ['저녁 약속', '저녁밥', '오늘 저녁에 만나요']);
    assert.deepEqual(await find(mina, `${q('저녁')}&room=${room.id}`), ['저녁밥', '오늘 저녁에 만나요']);
    assert.deepEqual(await find(juno, q('저녁')), ['저녁밥', '오늘 저녁에 만나요']);
    assert.deepEqual(await find(mina, q('STRASSE')), ['Straße und ＦＵＬＬ']);
    assert.deepEqual(await find(mina, q('full')), ['Straße und ＦＵＬＬ']);
    assert.deepEqual(await find(mina, q('녁저')), [], 'pairs in another order are no match');
    assert.deepEqual((await all(mina.api, `/api/chat/search?${q('저녁')}`, 1)).map(({ content }) => content), ['저녁 약속', '저녁밥', '오늘 저녁에 만나요']);
    assert.equal((await mina.api.patch(`${rooms}/${room.id}/messages/3`, { content: '점심밥' })).status, 200);
    assert.equal((await mina.api.delete(`${rooms}/${room.id}/messages/1`)).status, 204);
    assert.deepEqual(await find(mina, q('저녁')), ['저녁 약속']);
    assert.deepEqual(await find(mina, q('점심')), ['점심밥']);
    assert.deepEqual(await find(mina, q("%' OR 1=1 --")), []);
  });

  test('[P-31] what looks alike by its pairs does not crowd out what matches', async () => {
    const [mina, juno] = await world.friends(2);
    const room = await world.dm(mina, juno);
    for (let i = 0; i < 3; i++) await world.say(mina, room, `abc is here ${i}`);
    for (let i = 0; i < 12; i++) await world.say(mina, room, `bc then ab ${i}`);
    const found = await all(mina.api, '/api/chat/search?q=abc', 3);
    assert.deepEqual(found.map(({ content }) => content), ['abc is here 2', 'abc is here 1', 'abc is here 0']);
  });
});

describe('files', () => {
  const video = (length) => {
    const box = Buffer.alloc(length - 24);
    box.writeUInt32BE(length - 24);
    box.write('free', 4);
    return Buffer.concat([Buffer.from('00000018667479706d703432000000006d70343269736f6d', 'hex'), box]);
  };

  test('[P-28] pictures go up, are named by a message, and come down by a link that ends', async () => {
    const [mina, juno, stranger] = await world.friends(3);
    const room = await world.dm(mina, juno);
    const bytes = png(20, 10);
    const up = await mina.api.post(`${rooms}/${room.id}/files`, bytes, { headers: { 'Content-Type': 'text/html' } });
    assert.equal(up.status, 201, up.text);
    assert.deepEqual([up.json.type, up.json.size], ['image/png', bytes.length], 'what it is, not what it says');
    const where = `${rooms}/${room.id}/files/${up.json.file_id}`;
    assert.equal((await juno.api.get(where)).status, 404, 'no message names it yet');
    const said = await world.say(mina, room, 'look', { kind: 'image', file_id: up.json.file_id });
    assert.deepEqual([said.kind, said.file_id, said.content], ['image', up.json.file_id, 'look']);
    const link = await juno.other.get(where);
    assert.equal(link.status, 200, link.text);
    const down = await request('GET', world.instances[1].url + link.json.url);
    assert.equal(down.status, 200, down.text);
    assert.ok(down.bytes.equals(bytes));
    assert.equal(down.headers['content-type'], 'image/png');
    const part = await request('GET', world.instances[0].url + link.json.url, { headers: { Range: 'bytes=8-15' } });
    assert.deepEqual([part.status, part.headers['content-range'], part.bytes.equals(bytes.subarray(8, 16))], [206, `bytes 8-15/${bytes.length}`, true]);
    const url = new URL(link.json.url, world.instances[0].url);
    for (const bend of [(u) => u.searchParams.set('expires', '9999999999'), (u) => u.searchParams.set('signature', 'x'), (u) => u.searchParams.delete('signature'), (u) => (u.pathname = u.pathname.replace('.png', '.jpg'))]) {
      const bent = new URL(url);
      bend(bent);
      assert.equal((await request('GET', bent.href)).status, 403, bent.href);
    }
    assert.ok(Number(url.searchParams.get('expires')) <= Date.now() / 1000 + 601);
    assert.equal((await stranger.api.get(where)).status, 404);
    assert.equal((await mina.api.delete(`${rooms}/${room.id}/messages/${said.seq}`)).status, 204);
    assert.equal((await juno.api.get(where)).status, 404, 'with its message the file is gone for others');
  });

  test('[P-28] a message names only a file of that room that its sender uploaded, once, of its kind', async () => {
    const [mina, juno, hana] = await world.friends(3);
    const [room, other] = [await world.dm(mina, juno), await world.dm(mina, hana)];
    const upload = async (person, where, bytes) => (await person.api.post(`${rooms}/${where.id}/files`, bytes)).json.file_id;
    const send = (person, where, kind, file_id) => person.api.post(`${rooms}/${where.id}/messages`, { client_id: clientId(), kind, content: '', file_id });
    const picture = await upload(mina, room, png());
    assert.ok((await send(juno, room, 'image', picture)).status >= 400, "somebody else's");
    assert.ok((await send(mina, other, 'image', picture)).status >= 400, 'of another room');
    assert.ok((await send(mina, room, 'image', uuid())).status >= 400, 'of nowhere');
    assert.ok((await send(mina, room, 'video', picture)).status >= 400, 'a picture is no video');
    assert.equal((await send(mina, room, 'image', picture)).status, 201);
    assert.ok((await send(mina, room, 'image', picture)).status >= 400, 'twice');
    assert.equal((await send(mina, room, 'video', await upload(mina, room, video(100)))).status, 201);
    assert.equal((await send(mina, room, 'file', await upload(mina, room, Buffer.from('%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n')))).status, 201);
  });

  test('[P-28] other bytes, and too many, are refused; a repeat with its key is the same file', async () => {
    const [mina, juno] = await world.friends(2);
    const room = await world.dm(mina, juno);
    const up = (bytes, headers = {}) => mina.api.post(`${rooms}/${room.id}/files`, bytes, { headers });
    for (const bytes of [Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'), Buffer.from('MZ\x90'), Buffer.from('GIF89a'), png().subarray(0, 20)])
      assert.deepEqual(await code(up(bytes)), [415, 'unsupported_media_type']);
    // The length alone is refused: the bytes need not come (a client that goes on sending may lose the reply to its broken pipe).
    const most = 20 * 1024 * 1024;
    const head = `POST ${rooms}/${room.id}/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${mina.token}\r\nContent-Length: ${most + 1}\r\n\r\n`;
    assert.equal((await raw(world.instances[0].url, head)).status, 413);
    const largest = await up(video(most));
    assert.deepEqual([largest.status, largest.json?.size ?? largest.problem], [201, most], largest.text);
    const headers = { 'Idempotency-Key': `file-${uuid()}` };
    const replies = await Promise.all([up(png(), headers), up(png(), headers)]);
    assert.deepEqual(replies.map(({ status }) => status), [201, 201], replies.map(({ text }) => text).join());
    assert.equal(replies[0].json.file_id, replies[1].json.file_id);
    assert.deepEqual(await code(up(png(30, 30, [1, 2, 3]), headers)), [422, 'idempotency_key_reused']);
    assert.equal(await world.one('SELECT count(*) FROM files WHERE room_id = $1', [room.id]), 2);
  });

  test('[P-28] what nobody names goes after a day, what is named stays', async () => {
    const [mina, juno] = await world.friends(2);
    const room = await world.dm(mina, juno);
    const upload = async () => (await mina.api.post(`${rooms}/${room.id}/files`, png())).json.file_id;
    const [named, unnamed] = [await upload(), await upload()];
    await world.say(mina, room, 'kept', { kind: 'image', file_id: named });
    const key = await world.one('SELECT key FROM files WHERE id = $1', [unnamed]);
    await world.sql("UPDATE files SET at = at - interval '25 hours' WHERE room_id = $1", [room.id]);
    await eventually(25000, async () => (await world.one('SELECT (SELECT count(*) FROM files WHERE id = $1) + (SELECT count(*) FROM file_trash WHERE key = $2)', [unnamed, key])) === 0, 'it was swept', 200);
    const link = (await juno.api.get(`${rooms}/${room.id}/files/${named}`)).json.url;
    assert.equal((await request('GET', world.instances[0].url + link)).status, 200);
  });
});
