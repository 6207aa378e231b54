// Friends, requests and blocks.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { request } from '../support/http.mjs';
import { World, all, oldUuid, uuid } from './world.mjs';

const world = new World();
before(() => world.start());
after(() => world.stop());

const ask = (a, b, options) => a.api.put(`/api/friends/requests/${b.id}`, undefined, options);
const cancel = (a, b) => a.api.delete(`/api/friends/requests/${b.id}`);
const accept = (a, b, options) => a.api.post(`/api/friends/requests/${b.id}/accept`, undefined, options);
const reject = (a, b, options) => a.api.post(`/api/friends/requests/${b.id}/reject`, undefined, options);
const remove = (a, b) => a.api.delete(`/api/friends/${b.id}`);
const block = (a, b) => a.api.put(`/api/blocks/${b.id}`);
const unblock = (a, b) => a.api.delete(`/api/blocks/${b.id}`);
const is = (reply, status, code) => assert.deepEqual([reply.status, reply.problem], [status, code], reply.text);
const ids = async (person, where) => (await all(person.api, where)).map((item) => item.user.id);
const IN = '/api/friends/requests?direction=in', OUT = '/api/friends/requests?direction=out';

test('[P-13][P-14][P-16][P-18] request, accept, lists', async () => {
  const [kim, lee] = await world.people(2);
  const sent = await ask(kim, lee);
  is(sent, 201);
  assert.deepEqual(Object.keys(sent.json), ['user', 'sent_at']);
  assert.equal(sent.json.user.id, lee.id);
  const repeated = await ask(kim, lee);
  is(repeated, 200);
  assert.deepEqual(repeated.json, sent.json);
  const [received] = await all(lee.api, IN);
  assert.deepEqual(Object.keys(received.user).sort(), ['avatar_url', 'handle', 'id', 'nickname']);
  assert.deepEqual([received.user.id, received.sent_at], [kim.id, sent.json.sent_at]);
  assert.deepEqual(await ids(lee, '/api/friends/requests'), [kim.id], 'in when not said');
  assert.deepEqual([await ids(kim, OUT), await ids(kim, IN), await ids(lee, OUT)], [[lee.id], [], []]);
  const agreed = await accept(lee, kim);
  is(agreed, 200);
  assert.deepEqual([agreed.json.user.id, Object.keys(agreed.json)], [kim.id, ['user', 'since']]);
  assert.deepEqual([await ids(kim, '/api/friends'), await ids(lee, '/api/friends'), await ids(lee, IN)], [[lee.id], [kim.id], []]);
  assert.match((await all(kim.api, '/api/friends'))[0].since, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

test('[P-14] friends are never asked again, and never fall back to "requested"', async () => {
  const [kim, lee] = await world.people(2);
  await world.befriend(kim, lee);
  is(await ask(kim, lee), 409, 'already_friends');
  is(await ask(lee, kim), 409, 'already_friends');
  assert.deepEqual([await ids(kim, '/api/friends'), await ids(lee, IN)], [[lee.id], []]);
});

test('[P-14][P-16] at most FRIENDS_MAX friends, on either side', async () => {
  await world.restart({ FRIENDS_MAX: '1' });
  const [kim, lee, park] = await world.people(3);
  await world.befriend(kim, lee);
  is(await ask(kim, park), 409, 'friends_full');
  is(await ask(park, kim), 201);
  is(await accept(kim, park), 409, 'friends_full');
  is(await remove(kim, lee), 204);
  is(await accept(kim, park), 200);
  is(await ask(lee, kim), 201);
  assert.deepEqual(await ids(kim, '/api/friends'), [park.id]);
  await world.restart();
});

test('[P-14] crossing requests make friends', async () => {
  const [kim, lee] = await world.people(2);
  is(await ask(kim, lee), 201);
  const crossing = await ask(lee, kim);
  is(crossing, 200);
  assert.ok(crossing.json.since);
  assert.deepEqual([await ids(kim, '/api/friends'), await ids(lee, '/api/friends'), await ids(kim, OUT), await ids(lee, IN)], [[lee.id], [kim.id], [], []]);
});

test('[P-14] oneself, the unknown, the malformed and the withdrawn', async () => {
  const [kim, gone] = await world.people(2);
  await world.withdraw(gone);
  is(await ask(kim, kim), 422, 'self');
  is(await block(kim, kim), 422, 'self');
  for (const id of [oldUuid(), gone.id, 'x', '00000000-0000-0000-0000-00000000000g']) {
    is(await ask(kim, { id }), 404, 'not_found');
    is(await block(kim, { id }), 404, 'not_found');
    is(await remove(kim, { id }), 404, 'not_found');
  }
  is(await kim.api.put(`/api/friends/requests/${kim.id.toUpperCase()}`), 422, 'self');
});

test('[P-14] somebody who has just signed up can be asked at once', async () => {
  const [kim] = await world.people(1);
  const newcomer = world.stranger({ id: uuid() });
  const asked = ask(kim, newcomer);
  world.tellAccounts([newcomer]);
  is(await asked, 201);
  const another = world.stranger({ id: uuid() }); // whose own event has not come: the token is enough for the caller
  is(await ask(another, kim), 201);
  assert.deepEqual((await all(kim.api, IN)).map((item) => item.user.nickname), [another.nickname]);
});

test('[P-15] cancel: one\'s own pending request, else 404', async () => {
  const [kim, lee] = await world.people(2);
  is(await cancel(kim, lee), 404, 'no_request');
  await ask(kim, lee);
  is(await cancel(lee, kim), 404, 'no_request');
  is(await cancel(kim, lee), 204);
  is(await cancel(kim, lee), 404, 'no_request');
  is(await accept(lee, kim), 404, 'no_request');
  is(await ask(kim, lee), 201);
  await accept(lee, kim);
  is(await cancel(kim, lee), 404, 'no_request');
});

test('[P-16] only who was asked answers', async () => {
  const [kim, lee, park] = await world.people(3);
  await ask(kim, lee);
  for (const answer of [accept, reject]) {
    is(await answer(kim, lee), 404, 'no_request');
    is(await answer(park, kim), 404, 'no_request');
    is(await answer(lee, park), 404, 'no_request');
  }
  is(await reject(lee, kim), 204);
  is(await accept(lee, kim), 404, 'no_request');
});

test('[P-14][P-16] after a rejection the rejected side waits 24 hours, the other side does not', async () => {
  const [kim, lee] = await world.people(2);
  await ask(kim, lee);
  await reject(lee, kim);
  const early = await ask(kim, lee);
  is(early, 429, 'rejected_recently');
  const wait = Number(early.headers['retry-after']);
  assert.ok(wait > 86400 - 60 && wait <= 86400, `${wait}`);
  is(await ask(lee, kim), 201);
  is(await cancel(lee, kim), 204);
  is(await ask(kim, lee), 429, 'rejected_recently');
  const rejected = kim.id < lee.id ? 'a_rejected_at' : 'b_rejected_at';
  await world.sql(`UPDATE pairs SET ${rejected} = now() - interval '24 hours 1 second' WHERE least(a, b) = least($1::uuid, $2::uuid) AND b = greatest($1::uuid, $2::uuid)`, [kim.id, lee.id]);
  is(await ask(kim, lee), 201);
  await reject(lee, kim);
  await ask(lee, kim);
  is(await ask(kim, lee), 200); // agreeing is not asking
  assert.deepEqual(await ids(kim, '/api/friends'), [lee.id]);
});

test('[P-17] removal from either side, by the path', async () => {
  const [kim, lee] = await world.people(2);
  await world.befriend(kim, lee);
  is(await remove(lee, kim), 204);
  assert.deepEqual([await ids(kim, '/api/friends'), await ids(lee, '/api/friends')], [[], []]);
  is(await remove(kim, lee), 404, 'not_found');
  is(await ask(kim, lee), 201);
  is(await remove(kim, lee), 404, 'not_found');
});

test('[P-18] long lists by pages: every one once, newest first', async () => {
  const [me, ...others] = await world.people(61);
  for (const other of others) await ask(other, me);
  assert.deepEqual(await ids(me, IN), others.map((other) => other.id).reverse());
  await Promise.all(others.slice(0, 45).map((other) => accept(me, other)));
  const first = await me.api.get('/api/friends');
  assert.equal(first.json.items.length, 20);
  const everyone = await all(me.api, '/api/friends', 7);
  assert.deepEqual(everyone.map((item) => item.user.id).sort(), others.slice(0, 45).map((other) => other.id).sort());
  const times = everyone.map((item) => item.since);
  assert.deepEqual(times, [...times].sort().reverse());
  assert.equal((await all(me.api, IN, 4)).length, 15);
  await Promise.all(others.slice(45).map((other) => block(me, other)));
  assert.deepEqual((await all(me.api, '/api/blocks', 3)).map((item) => item.user.id).sort(), others.slice(45).map((other) => other.id).sort());
});

test('[P-18] a page costs one statement, whatever its length', async () => {
  const [me, ...others] = await world.people(41);
  for (const other of others) await world.befriend(me, other);
  // What the daemon asked its database, by its own count: others use the same server.
  const asked = async () => Number(/^madang_pg_query_seconds_count (\d+)/m.exec((await request('GET', `${world.admin}/metrics`)).text)[1]);
  // Sweeps and checks of the same time are counted too: the leanest of many short runs shows what the pages cost.
  const PAGES = 5;
  let least = Infinity;
  for (let run = 0; run < 60; run++) {
    const before = await asked();
    for (let i = 0; i < PAGES; i++) assert.equal((await me.api.get('/api/friends?limit=40')).json.items.length, 40);
    least = Math.min(least, (await asked()) - before);
  }
  assert.ok(least >= PAGES && least < 2 * PAGES, `${least} statements for ${PAGES} pages of 40`);
});

test('[P-18] limit and cursor are checked, and a cursor belongs to its list', async () => {
  const [me, ...others] = await world.people(4);
  for (const other of others) await world.befriend(me, other);
  const { next_cursor: cursor } = (await me.api.get('/api/friends?limit=1')).json;
  assert.equal((await me.api.get(`/api/friends?limit=1&cursor=${cursor}`)).status, 200);
  for (const where of ['/api/blocks', IN, OUT, '/api/users?q=ab']) assert.equal((await me.api.get(`${where}${where.includes('?') ? '&' : '?'}cursor=${cursor}`)).status, 400, where);
  for (const query of ['limit=0', 'limit=101', 'limit=-1', 'limit=1.5', 'limit=abc', 'cursor=', 'cursor=abc', `cursor=${cursor}A`, `cursor=${cursor.slice(1)}`, `cursor=${'_'.repeat(34)}`]) {
    is(await me.api.get(`/api/friends?${query}`), 400, 'bad_input');
  }
  is(await me.api.get('/api/friends/requests?direction=both'), 400, 'bad_input');
});

test('[P-18] the list stays whole while it changes', async () => {
  const [me, ...others] = await world.people(12);
  for (const other of others.slice(0, 10)) await world.befriend(me, other);
  const first = (await me.api.get('/api/friends?limit=5')).json;
  await world.befriend(me, others[10]);
  await remove(me, { id: first.items[4].user.id });
  const rest = (await me.api.get(`/api/friends?limit=5&cursor=${first.next_cursor}`)).json;
  assert.deepEqual([...first.items, ...rest.items].map((item) => item.user.id), others.slice(0, 10).map((other) => other.id).reverse());
  assert.equal(rest.next_cursor, null);
});

test('[P-19][M-14] a block ends friendship and requests, and holds for both', async () => {
  const [kim, lee, park] = await world.people(3);
  await world.befriend(kim, lee);
  await ask(park, kim);
  is(await block(kim, lee), 204);
  is(await block(kim, lee), 204); // again
  is(await block(kim, park), 204);
  assert.deepEqual([await ids(kim, '/api/friends'), await ids(lee, '/api/friends'), await ids(kim, IN), await ids(park, OUT)], [[], [], [], []]);
  for (const [one, two] of [[kim, lee], [lee, kim], [park, kim]]) is(await ask(one, two), 403, 'blocked');
  is(await accept(kim, park), 404, 'no_request');
  const list = await all(kim.api, '/api/blocks');
  assert.deepEqual(list.map((item) => item.user.id), [park.id, lee.id]);
  assert.deepEqual(Object.keys(list[0]), ['user', 'since']);
  assert.deepEqual(await all(lee.api, '/api/blocks'), [], 'who is blocked does not see it');
  is(await unblock(kim, lee), 204);
  is(await unblock(kim, lee), 204); // again
  assert.deepEqual([await ids(kim, '/api/friends'), await ids(lee, '/api/friends')], [[], []], 'nothing is restored');
  is(await ask(lee, kim), 201);
});

test('[M-14] each direction stands alone: B blocking and unblocking X leaves A\'s and X\'s blocks', async () => {
  const [a, b, x] = await world.people(3);
  await block(a, x);
  await block(b, x);
  await block(x, a);
  assert.deepEqual([await ids(a, '/api/blocks'), await ids(b, '/api/blocks'), await ids(x, '/api/blocks')], [[x.id], [x.id], [a.id]]);
  await unblock(b, x);
  assert.deepEqual([await ids(a, '/api/blocks'), await ids(b, '/api/blocks')], [[x.id], []]);
  await unblock(x, a);
  assert.deepEqual(await ids(a, '/api/blocks'), [x.id]);
  is(await ask(x, a), 403, 'blocked');
});

test('[P-13][P-14] fifty crossing and repeated requests at once leave one relation', async () => {
  for (let round = 0; round < 5; round++) {
    const [kim, lee] = await world.people(2);
    const replies = await Promise.all(Array.from({ length: 50 }, (_, i) => (i % 2 ? ask(kim, lee) : ask(lee, kim))));
    assert.equal(replies.filter((reply) => reply.status === 201).length, 1);
    for (const reply of replies) assert.ok([200, 201, 409].includes(reply.status), reply.text);
    assert.deepEqual([await ids(kim, '/api/friends'), await ids(lee, '/api/friends')], [[lee.id], [kim.id]]);
    assert.deepEqual([await ids(kim, OUT), await ids(kim, IN), await ids(lee, OUT), await ids(lee, IN)], [[], [], [], []]);
    assert.equal(await world.one('SELECT count(*) FROM pairs WHERE a IN ($1, $2) AND b IN ($1, $2)', [kim.id, lee.id]), 1);
  }
});

test('[P-14] an Idempotency-Key: the same answer again, another request refused', async () => {
  const [kim, lee, park] = await world.people(3);
  await ask(kim, lee);
  await ask(park, lee);
  const key = { headers: { 'Idempotency-Key': `"k-${lee.id}"` } };
  const first = await accept(lee, kim, key), again = await accept(lee, kim, key);
  is(first, 200);
  assert.deepEqual([again.status, again.json], [200, first.json]);
  is(await accept(lee, kim), 404, 'no_request'); // without it the request is gone
  is(await reject(lee, park, key), 204); // another path is another request
  is(await reject(lee, park, key), 204);
  const bad = await lee.api.post(`/api/friends/requests/${kim.id}/accept`, { other: 'body' }, key);
  is(bad, 422, 'idempotency_key_reused');
  const asked = { headers: { 'Idempotency-Key': 'ask-1' } };
  assert.deepEqual([(await ask(kim, park, asked)).status, (await ask(kim, park, asked)).status], [201, 201]);
});
