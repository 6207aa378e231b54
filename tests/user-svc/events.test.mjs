// What user-svc hears and what it tells; what its role may not see.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { as } from '../support/db.mjs';
import { request } from '../support/http.mjs';
import { png } from '../support/png.mjs';
import { env } from '../support/stack.mjs';
import { readTopic } from '../support/topics.mjs';
import { eventually } from '../support/wait.mjs';
import { World } from './world.mjs';

const world = new World();
before(() => world.start());
after(() => world.stop());

const records = async (topic, wanted) => (await readTopic(topic)).filter(({ key, value }) => wanted(key, value));
const pairKey = (a, b) => [a.id, b.id].sort().join(':');

test('[P-45] older and doubled events of an account change nothing', async () => {
  const [kim] = await world.people(1, { version: 3, nickname: 'three' });
  const events = [5, 4, 5, 2].map((version) => [kim.id, world.accountEvent(kim, { version, nickname: `v${version}` })]);
  world.publish('accounts', events);
  await world.change(kim, { version: 6, nickname: 'v6' });
  world.publish('accounts', events);
  await world.people(1);
  await eventually(10000, async () => (await kim.api.get('/api/users/me')).json.nickname === 'v6', 'the newest stays');
});

test('[P-45] the copy is whole after kill -9 in the middle of events', async () => {
  const people = Array.from({ length: 300 }, () => world.stranger());
  world.tellAccounts(people);
  await eventually(15000, async () => (await world.one('SELECT count(*) FROM people WHERE user_id = ANY ($1)', [people.map((person) => person.id)])) > 0, 'some are copied');
  await world.instances[0].kill();
  world.publish('accounts', people.map((person) => [person.id, world.accountEvent(person, { version: 2, nickname: `${person.nickname}x` })]));
  await world.instances[0].start(); // ready means: caught up once
  assert.equal(await world.one('SELECT count(*) FROM people WHERE user_id = ANY ($1) AND account_version = 2', [people.map((person) => person.id)]), 300);
});

test('[P-20] requests and agreements are told to the other one, once each', async () => {
  const [kim, lee] = await world.people(2, (i) => ({ nickname: i ? '이' : '김' }));
  await kim.api.put(`/api/friends/requests/${lee.id}`);
  await kim.api.put(`/api/friends/requests/${lee.id}`);
  await lee.api.post(`/api/friends/requests/${kim.id}/accept`);
  const told = await eventually(15000, async () => {
    const mine = await records('notify.requests', (key) => [kim.id, lee.id].includes(key));
    return mine.length >= 2 && mine;
  }, 'both notices are on the topic');
  const [request, accepted] = ['friend_request', 'friend_accepted'].map((kind) => told.find(({ value }) => value.kind === kind));
  assert.equal(told.length, 2);
  assert.deepEqual([request.key, request.value.to, request.value.channels, request.value.args, request.value.locale], [lee.id, { user: lee.id }, ['inbox', 'push'], { from: { id: kim.id, nickname: '김' } }, 'ko']);
  assert.deepEqual([accepted.key, accepted.value.args.from], [kim.id, { id: lee.id, nickname: '이' }]);
  assert.notEqual(request.value.dedupe_id, accepted.value.dedupe_id);
  assert.equal(request.value.v, 1);
});

test('[P-19][M-14] relations carry friendship, the direction of blocks, and versions without a gap', async () => {
  const [kim, lee] = await world.people(2);
  await world.befriend(kim, lee);
  await kim.api.put(`/api/blocks/${lee.id}`);
  await lee.api.put(`/api/blocks/${kim.id}`);
  await kim.api.delete(`/api/blocks/${lee.id}`);
  const told = await eventually(15000, async () => {
    const mine = await records('relations', (key) => key === pairKey(kim, lee));
    return mine.length >= 5 && mine.map((record) => record.value);
  }, 'all changes are on the topic');
  assert.deepEqual(told.map((value) => value.version), [1, 2, 3, 4, 5]);
  assert.deepEqual(told.map((value) => value.friend), [false, true, false, false, false]);
  assert.deepEqual(told.map((value) => value.blocked_by.sort()), [[], [], [kim.id], [kim.id, lee.id].sort(), [lee.id]]);
  assert.deepEqual([told[1].a, told[1].b].join(':'), pairKey(kim, lee));
  assert.ok(told[1].since && told[0].since === null);
});

test('[P-11][P-45] profiles carry the public profile and its version', async () => {
  const [kim] = await world.people(1);
  await kim.api.patch('/api/users/me', { bio: 'hi', interests: ['a', 'b'] });
  const { avatar_url: url } = (await kim.api.call('PUT', '/api/users/me/avatar', { body: png(3, 3) })).json;
  const told = await eventually(15000, async () => {
    const mine = await records('profiles', (key) => key === kim.id);
    return mine.length >= 3 && mine.map((record) => record.value);
  }, 'the beginning and both changes are on the topic');
  assert.deepEqual(told.map((value) => value.version), [0, 1, 2]);
  assert.deepEqual([told[2].user_id, told[2].bio, told[2].interests, told[2].avatar_url, told[2].location], [kim.id, 'hi', ['a', 'b'], url, '']);
  assert.match(told[0].avatar_url, /stock/);
});

test('[M-11] a withdrawal is told: the profile blank, every relation ended', async () => {
  const [gone, friend, blocker] = await world.people(3);
  await gone.api.patch('/api/users/me', { bio: 'private' });
  await world.befriend(gone, friend);
  await blocker.api.put(`/api/blocks/${gone.id}`);
  await world.withdraw(gone);
  await eventually(15000, async () => {
    const last = new Map((await records('relations', (key) => key.includes(gone.id))).map(({ key, value }) => [key, value]));
    const profile = (await records('profiles', (key) => key === gone.id)).at(-1)?.value;
    return last.size === 2 && [...last.values()].every((value) => !value.friend && value.blocked_by.length === 0) && profile.bio === '' && profile.version === 2;
  }, 'the topics say so');
});

test('[P-46] the request id of a call travels with its event', async () => {
  const [kim, lee] = await world.people(2);
  await kim.api.put(`/api/friends/requests/${lee.id}`, undefined, { headers: { 'X-Request-Id': 'trace-me-123' } });
  await eventually(15000, () => {
    const lines = execFileSync('kcat', ['-C', '-q', '-e', '-b', env.KAFKA_BROKERS, '-t', 'relations', '-o', 'beginning', '-f', '%k %h\\n'], { encoding: 'utf8', timeout: 30000, maxBuffer: 1 << 30 });
    return lines.split('\n').some((line) => line.startsWith(pairKey(kim, lee)) && /x-request-id=trace-me-123/.test(line));
  }, 'the header is there');
});

test('[P-45] the role of user-svc sees no other schema', async () => {
  await world.sql('CREATE SCHEMA IF NOT EXISTS auth; CREATE TABLE IF NOT EXISTS auth.accounts (id uuid, password_hash text)');
  await as(world.role, async (query) => {
    assert.ok((await query('SELECT count(*) FROM users.people')).rows.length === 1);
    for (const statement of ['SELECT * FROM auth.accounts', 'DELETE FROM auth.accounts', 'DROP TABLE auth.accounts', 'CREATE TABLE auth.intruder (a int)', 'CREATE TABLE public.intruder (a int)', 'CREATE SCHEMA intruder', 'SELECT rolpassword FROM pg_authid']) {
      await assert.rejects(query(statement), { code: '42501' }, statement);
    }
  });
});

test('[P-48][D-54] health and metrics stand on the admin port, and count what happened', async () => {
  assert.equal((await request('GET', `${world.admin}/healthz`)).status, 200);
  const metrics = (await request('GET', `${world.admin}/metrics`)).text;
  assert.match(metrics, /madang_user_relation_actions_total\{action="request",result="ok"\} [1-9]/);
  assert.equal((await request('GET', `${world.url}/metrics`)).status, 404);
});
