// Search for people.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { World, all } from './world.mjs';

const world = new World();
before(() => world.start());
after(() => world.stop());

const search = (person, q, more = '') => person.api.get(`/api/users?q=${encodeURIComponent(q)}${more}`);
const found = async (person, q) => {
  const reply = await search(person, q);
  assert.equal(reply.status, 200, reply.text);
  return reply.json.items.map((item) => item.nickname);
};

test('[P-12] a part of nickname or handle; composed, decomposed, any case, full width', async () => {
  const [me] = await world.people(1);
  await world.people(4, (i) => ({ nickname: ['홍길동이', 'Gil Dong', '길동', '양반길동'][i] }));
  assert.deepEqual((await found(me, '길동')).sort(), ['길동', '양반길동', '홍길동이']);
  assert.equal((await found(me, '길동'))[0], '길동', 'the whole name first');
  assert.deepEqual(await found(me, '홍길'.normalize('NFD')), ['홍길동이']);
  assert.deepEqual(await found(me, 'gil d'), ['Gil Dong']);
  assert.deepEqual(await found(me, 'ＧＩＬ'), ['Gil Dong']);
  assert.deepEqual(await found(me, '동길'), []);
  const [byHandle] = await world.people(1, { handle: 'rare_handle.7', nickname: 'nobody' });
  assert.deepEqual((await search(me, 'E_HANDLE.')).json.items.map((item) => item.id), [byHandle.id]);
});

test('[P-12][M-12] an e-mail matches only whole, and strangers see it masked', async () => {
  const [me, other] = await world.people(2, (i) => ({ email: i ? 'jane.roe@post.example' : '', nickname: i ? 'masked one' : 'seeker' }));
  const reply = await search(me, 'Jane.Roe@Post.Example');
  assert.deepEqual(reply.json.items.map((item) => item.id), [other.id]);
  assert.ok(!reply.text.includes('jane.roe'));
  assert.match(reply.json.items[0].email, /^j\*+@post\.example$/);
  for (const part of ['jane.roe@post.exampl', 'jane.roe@', '@post.example', 'post.example', 'ane.roe@post.example']) assert.deepEqual(await found(me, part), [], part);
  const byName = await search(me, 'masked');
  assert.match(byName.json.items[0].email, /^j\*+@post\.example$/);
  assert.deepEqual(Object.keys(byName.json.items[0]).sort(), ['avatar_url', 'email', 'handle', 'id', 'nickname']);
});

test('[P-12] fewer than two letters, or too many: refused, and never everybody', async () => {
  const [me] = await world.people(1);
  for (const q of ['', ' ', 'a', ' 길 ', 'é'.normalize('NFD'), 'x'.repeat(255), 'a\u0001b']) {
    const reply = await search(me, q);
    assert.deepEqual([reply.status, reply.problem, reply.json.errors?.[0]?.pointer], [400, 'bad_input', 'q'], JSON.stringify(q));
  }
  assert.equal((await me.api.get('/api/users')).status, 400);
  assert.equal((await me.api.get('/api/users?q=%ff%fe')).status, 400);
  for (const q of ['%%', '__', "' OR 1=1 --", '{a,b}', '\\\\', '""']) assert.deepEqual(await found(me, q), [], q);
});

test('[P-12] never oneself, the withdrawn, guests, or blocks in either direction', async () => {
  const [me, shown, gone, guest, blocked, blocking] = await world.people(6, (i) => ({ nickname: `zebra ${i}`, role: i === 3 ? 'guest' : 'user' }));
  await world.withdraw(gone);
  await me.api.put(`/api/blocks/${blocked.id}`);
  await blocking.api.put(`/api/blocks/${me.id}`);
  assert.deepEqual(await found(me, 'zebra'), [shown.nickname]);
  for (const person of [me, gone, guest, blocked, blocking]) {
    assert.deepEqual(await found(me, person.nickname), [], person.nickname);
    assert.deepEqual(await found(me, person.email), [], person.email);
  }
  assert.deepEqual((await found(shown, 'zebra')).sort(), [me, blocked, blocking].map((person) => person.nickname).sort());
});

test('[P-12] pages: no double, no gap, also while people come', async () => {
  const [me] = await world.people(1);
  const people = await world.people(45, (i) => ({ nickname: `panda ${i}` }));
  const first = await search(me, 'panda');
  assert.equal(first.json.items.length, 20, 'twenty at a time');
  assert.ok(first.json.next_cursor);
  await world.people(5, (i) => ({ nickname: `panda late ${i}` }));
  const items = await all(me.api, '/api/users?q=panda', 7);
  const ids = items.map((item) => item.id);
  assert.equal(new Set(ids).size, ids.length);
  for (const person of people) assert.ok(ids.includes(person.id));
  for (const [query, name] of [['limit=0', 'limit'], ['limit=101', 'limit'], ['limit=x', 'limit'], ['cursor=x', 'cursor'], [`cursor=${'A'.repeat(34)}`, 'cursor'], ['cursor=', 'cursor']]) {
    const reply = await me.api.get(`/api/users?q=panda&${query}`);
    assert.deepEqual([reply.status, reply.json.errors?.[0]?.pointer], [400, name], query);
  }
});

test('[P-12] a change of name is found under the new one only', async () => {
  const [me, other] = await world.people(2, (i) => ({ nickname: i ? 'before the change' : 'observer' }));
  await world.change(other, { nickname: 'after the change' });
  assert.deepEqual(await found(me, 'before the'), []);
  assert.deepEqual(await found(me, 'after the'), ['after the change']);
});
