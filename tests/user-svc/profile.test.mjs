// Profiles: one's own, and as others see them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { World, all, oldUuid, uuid } from './world.mjs';

const world = new World();
before(() => world.start());
after(() => world.stop());

test('[P-10][S-11][K-06][D-05] my profile: names, e-mail, role, picture, and when the account was made', async () => {
  const [kim] = await world.people(1, { nickname: '김마당' });
  const reply = await kim.api.get('/api/users/me');
  assert.equal(reply.status, 200);
  assert.match(reply.json.avatar_url, /^\/files\/user\/stock\/[1-4]$/);
  assert.deepEqual({ ...reply.json, avatar_url: '' }, {
    id: kim.id, handle: kim.handle, nickname: '김마당', avatar_url: '', bio: '', interests: [], created_at: '2026-01-02T03:04:05.678Z', email: kim.email, role: 'user',
  });
});

test('[P-10] an account whose event has not come yet: what the token says, after at most about a second', async () => {
  const newcomer = world.stranger({ id: uuid() });
  const reply = await newcomer.api.get('/api/users/me');
  assert.equal(reply.status, 200);
  assert.deepEqual([reply.json.id, reply.json.handle, reply.json.nickname, reply.json.email, reply.json.role], [newcomer.id, newcomer.handle, newcomer.nickname, null, 'user']);
});

test('[P-10] the event that comes meanwhile is waited for, and wins over what the token said', async () => {
  const newcomer = world.stranger({ id: uuid() });
  const asked = newcomer.api.get('/api/users/me');
  world.tellAccounts([newcomer], { nickname: 'from the event' });
  await asked;
  await world.change(newcomer, { nickname: 'from the event' });
  const reply = await newcomer.api.get('/api/users/me');
  assert.deepEqual([reply.json.nickname, reply.json.email], ['from the event', newcomer.email]);
});

test('[P-11][M-10] a change keeps what it does not name, and null clears', async () => {
  const [kim] = await world.people(1);
  const first = await kim.api.patch('/api/users/me', { bio: '  안녕하세요\n마당입니다 ', location: ' 서울   강남 ', interests: ['등산', ' Chess ', 'chess', '음악'] });
  assert.equal(first.status, 200);
  assert.deepEqual([first.json.bio, first.json.location, first.json.interests], ['안녕하세요\n마당입니다', '서울 강남', ['등산', 'Chess', '음악']]);
  const second = await kim.api.patch('/api/users/me', { location: null });
  assert.deepEqual([second.json.bio, second.json.location, second.json.interests.length], ['안녕하세요\n마당입니다', undefined, 3]);
  const third = await kim.api.patch('/api/users/me', { bio: null, interests: null });
  assert.deepEqual([third.json.bio, third.json.interests], ['', []]);
  assert.deepEqual((await kim.api.get('/api/users/me')).json, third.json);
  const same = await kim.api.patch('/api/users/me', {});
  assert.deepEqual([same.status, same.json], [200, third.json]);
});

test('[P-11][M-10] wrong changes are refused whole, each wrong field by its name', async () => {
  const [kim] = await world.people(1);
  const long = (n) => 'ㄱ'.repeat(n);
  const cases = [
    [{ bio: long(501) }, '/bio'], [{ bio: 5 }, '/bio'], [{ bio: 'a\u0007b' }, '/bio'], [{ location: long(101) }, '/location'], [{ location: 'a\nb' }, '/location'],
    [{ interests: 'x' }, '/interests'], [{ interests: Array(21).fill('x') }, '/interests'], [{ interests: [''] }, '/interests/0'], [{ interests: ['a', '   '] }, '/interests/1'],
    [{ interests: [long(31)] }, '/interests/0'], [{ interests: [null] }, '/interests/0'], [{ nickname: 'other' }, '/nickname'], [{ role: 'admin' }, '/role'], [{ id: kim.id }, '/id'],
  ];
  for (const [body, pointer] of cases) {
    const reply = await kim.api.patch('/api/users/me', { location: 'here', ...body });
    assert.deepEqual([reply.status, reply.problem], [400, 'bad_input'], JSON.stringify(body));
    assert.ok(reply.json.errors.some((error) => error.pointer === pointer), `${JSON.stringify(body)}: ${reply.text}`);
  }
  for (const body of ['', '{', '[]', '"x"', '{"bio":"a","bio":"b"}', '{"bio":"\\ud800"}', Buffer.from('{"bio":"\xff"}', 'latin1')]) {
    const reply = await kim.api.patch('/api/users/me', body);
    assert.equal(reply.status, 400, String(body));
  }
  assert.equal((await kim.api.get('/api/users/me')).json.location, undefined, 'nothing was stored');
  const edge = await kim.api.patch('/api/users/me', { bio: long(500), location: long(100), interests: Array.from({ length: 20 }, (_, i) => long(28) + String(i).padStart(2, '0')) });
  assert.equal(edge.status, 200, edge.text);
});

test('[P-11] If-Match: a change of what has changed meanwhile is refused', async () => {
  const [kim] = await world.people(1);
  const read = await kim.api.get('/api/users/me');
  const etag = read.headers.etag;
  assert.match(etag, /^"[^"]+"$/);
  assert.equal((await kim.api.get('/api/users/me', { headers: { 'If-None-Match': etag } })).status, 304);
  const first = await kim.api.patch('/api/users/me', { bio: 'one' }, { headers: { 'If-Match': etag } });
  assert.equal(first.status, 200);
  assert.notEqual(first.headers.etag, etag);
  const second = await kim.api.patch('/api/users/me', { bio: 'two' }, { headers: { 'If-Match': etag } });
  assert.deepEqual([second.status, second.problem], [412, 'stale_version']);
  assert.equal((await kim.api.patch('/api/users/me', { bio: 'three' }, { headers: { 'If-Match': `"x", ${first.headers.etag}` } })).status, 200);
  assert.equal((await kim.api.patch('/api/users/me', { bio: 'four' }, { headers: { 'If-Match': '*' } })).status, 200);
  assert.equal((await kim.api.get('/api/users/me')).json.bio, 'four');
});

test('[P-11] twenty changes at once: with If-Match one wins, without it none is lost half', async () => {
  const [kim] = await world.people(1);
  const { etag } = (await kim.api.get('/api/users/me')).headers;
  const guarded = await Promise.all(Array.from({ length: 20 }, (_, i) => kim.api.patch('/api/users/me', { bio: `b${i}` }, { headers: { 'If-Match': etag } })));
  assert.deepEqual(guarded.map((reply) => reply.status).sort(), [200, ...Array(19).fill(412)]);
  const free = await Promise.all(Array.from({ length: 20 }, (_, i) => kim.api.patch('/api/users/me', i % 2 ? { bio: `b${i}` } : { location: `l${i}` })));
  assert.ok(free.every((reply) => reply.status === 200));
  const last = (await kim.api.get('/api/users/me')).json;
  assert.match(`${last.bio} ${last.location}`, /^b\d+ l\d+$/);
  assert.equal(await world.one('SELECT profile_version FROM people WHERE user_id = $1', [kim.id]), 21);
});

test('[P-11] nobody changes somebody else: there is no such call', async () => {
  const [kim, lee] = await world.people(2);
  const reply = await kim.api.patch(`/api/users/${lee.id}`, { bio: 'x' });
  assert.deepEqual([reply.status, reply.problem], [405, 'method_not_allowed']);
});

test('[M-09] a guest reads and changes the own profile, and nothing else', async () => {
  const [guest, kim] = await world.people(2, (i) => (i === 0 ? { role: 'guest' } : {}));
  assert.equal((await guest.api.get('/api/users/me')).json.role, 'guest');
  assert.equal((await guest.api.patch('/api/users/me', { bio: 'hi' })).status, 200);
  const refused = [
    guest.api.get(`/api/users/${kim.id}`), guest.api.get('/api/users?q=kim'), guest.api.get('/api/friends'), guest.api.get('/api/friends/requests'), guest.api.put(`/api/friends/requests/${kim.id}`),
    guest.api.delete(`/api/friends/requests/${kim.id}`), guest.api.post(`/api/friends/requests/${kim.id}/accept`), guest.api.post(`/api/friends/requests/${kim.id}/reject`), guest.api.delete(`/api/friends/${kim.id}`),
    guest.api.get('/api/blocks'), guest.api.put(`/api/blocks/${kim.id}`), guest.api.delete(`/api/blocks/${kim.id}`), guest.api.call('PUT', '/api/users/me/avatar', { body: Buffer.from('x') }), guest.api.delete('/api/users/me/avatar'),
  ];
  for (const reply of await Promise.all(refused)) assert.deepEqual([reply.status, reply.problem], [403, 'forbidden']);
  assert.equal((await kim.api.get(`/api/users/${guest.id}`)).status, 404, 'who has not finished signing up is not shown');
});

test('[P-43] without a token every call is 401', async () => {
  const nobody = world.stranger();
  nobody.api.token = undefined;
  for (const [method, where] of [['GET', '/api/users/me'], ['PATCH', '/api/users/me'], ['GET', `/api/users/${oldUuid()}`], ['GET', '/api/users?q=ab'], ['GET', '/api/friends'], ['PUT', `/api/blocks/${oldUuid()}`]]) {
    const reply = await nobody.api.call(method, where, { token: undefined });
    assert.deepEqual([reply.status, reply.problem], [401, 'token_missing'], where);
  }
  const other = await nobody.api.get('/api/users/me', { token: world.auth.token(nobody, { iss: 'somebody' }) });
  assert.deepEqual([other.status, other.problem], [401, 'token_invalid']);
});

test('[M-12][P-10] the profile of another: no e-mail, no role, and what we are to each other', async () => {
  const [kim, lee] = await world.people(2);
  await lee.api.patch('/api/users/me', { bio: '이', location: '부산', interests: ['go'] });
  const seen = (await kim.api.get(`/api/users/${lee.id}`)).json;
  assert.deepEqual(Object.keys(seen).sort(), ['avatar_url', 'bio', 'created_at', 'handle', 'id', 'interests', 'location', 'nickname', 'relation']);
  assert.deepEqual([seen.bio, seen.location, seen.interests, seen.relation], ['이', '부산', ['go'], 'none']);
  assert.equal((await kim.api.get(`/api/users/${lee.id.toUpperCase()}`)).json.id, lee.id);
  const relation = async (one, two) => (await one.api.get(`/api/users/${two.id}`)).json.relation;
  await kim.api.put(`/api/friends/requests/${lee.id}`);
  assert.deepEqual([await relation(kim, lee), await relation(lee, kim), await relation(kim, kim)], ['requested_by_me', 'requested_by_them', 'self']);
  await lee.api.post(`/api/friends/requests/${kim.id}/accept`);
  assert.deepEqual([await relation(kim, lee), await relation(lee, kim)], ['friend', 'friend']);
  await kim.api.put(`/api/blocks/${lee.id}`);
  assert.equal(await relation(kim, lee), 'blocked_by_me');
});

test('[K-06] an admin reads e-mail and role of others; nobody else does', async () => {
  const [kim, lee, admin] = await world.people(3, (i) => (i === 2 ? { role: 'admin' } : {}));
  const seen = (await admin.api.get(`/api/users/${kim.id}`)).json;
  assert.deepEqual([seen.email, seen.role, seen.relation], [kim.email, 'user', 'none']);
  const public_ = (await lee.api.get(`/api/users/${kim.id}`)).json;
  assert.deepEqual([public_.email, public_.role], [undefined, undefined]);
});

test('[P-10][M-14] unknown, malformed, withdrawn, and who blocks me: 404', async () => {
  const [kim, gone, blocker] = await world.people(3);
  await world.withdraw(gone);
  await blocker.api.put(`/api/blocks/${kim.id}`);
  for (const id of [oldUuid(), 'x', '123', gone.id, blocker.id]) {
    const reply = await kim.api.get(`/api/users/${id}`);
    assert.deepEqual([reply.status, reply.problem], [404, 'not_found'], id);
  }
  assert.equal((await blocker.api.get(`/api/users/${kim.id}`)).status, 200);
});

test('[P-10] somebody who has just signed up is waited for', async () => {
  const [kim] = await world.people(1);
  const newcomer = world.stranger({ id: uuid() });
  const asked = kim.api.get(`/api/users/${newcomer.id}`);
  world.tellAccounts([newcomer]);
  assert.equal((await asked).status, 200);
  const nobody = uuid();
  assert.equal((await kim.api.get(`/api/users/${nobody}`)).status, 404);
});

test('[P-06][M-11] who withdraws: profile, friends, requests and blocks are gone for everybody', async () => {
  const [gone, friend, asker, blocker] = await world.people(4);
  await gone.api.patch('/api/users/me', { bio: 'secret', location: 'here', interests: ['x'] });
  await world.befriend(gone, friend);
  await asker.api.put(`/api/friends/requests/${gone.id}`);
  await blocker.api.put(`/api/blocks/${gone.id}`);
  await world.withdraw(gone);
  assert.deepEqual(await all(friend.api, '/api/friends'), []);
  assert.deepEqual(await all(asker.api, '/api/friends/requests?direction=out'), []);
  assert.deepEqual(await all(blocker.api, '/api/blocks'), []);
  assert.equal((await friend.api.put(`/api/friends/requests/${gone.id}`)).status, 404);
  assert.deepEqual((await gone.api.get('/api/users/me')).problem, 'session_ended');
  assert.deepEqual((await gone.api.patch('/api/users/me', { bio: 'back' })).problem, 'session_ended');
  const row = (await world.sql('SELECT handle, nickname, email, bio, location, interests, grams FROM people WHERE user_id = $1', [gone.id]))[0];
  assert.deepEqual(row, { handle: '', nickname: '', email: '', bio: '', location: '', interests: [], grams: [] });
});
