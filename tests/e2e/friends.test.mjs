// Friend requests from many clients at once leave one relation.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Api } from '../support/http.mjs';
import { all, crowd, newcomer } from '../support/people.mjs';
import { gateways } from '../support/stack.mjs';
import { latest, readTopic } from '../support/topics.mjs';
import { eventually } from '../support/wait.mjs';

const pairOf = (a, b) => [a.id, b.id].sort();
const times = (n, act) => Promise.all(Array.from({ length: n }, (_, i) => act(i)));
const through = (i, person) => new Api(gateways()[i % gateways().length], person.access);

test('[P-13][P-14] crossing and repeated requests of 50 clients at once leave exactly one relation', async () => {
  for (let round = 0; round < 5; round++) {
    const [a, b] = await crowd(2);
    const replies = await times(50, (i) =>
      i % 2 ? through(i >> 1, a).put(`/api/friends/requests/${b.id}`) : through(i >> 1, b).put(`/api/friends/requests/${a.id}`),
    );
    for (const reply of replies) assert.ok([200, 201, 409].includes(reply.status), `${reply.status} ${reply.text}`);
    assert.equal(replies.filter((reply) => reply.status === 201).length, 1, 'one request was new');
    for (const [one, two] of [
      [a, b],
      [b, a],
    ]) {
      assert.deepEqual(
        (await all(one.api, '/api/friends')).map((item) => item.user.id),
        [two.id],
      );
      assert.deepEqual(await all(one.api, '/api/friends/requests?direction=in'), []);
      assert.deepEqual(await all(one.api, '/api/friends/requests?direction=out'), []);
    }
    const [low, high] = pairOf(a, b);
    const event = await eventually(
      10000,
      async () => {
        const last = (await latest('relations')).get(`${low}:${high}`);
        return last?.friend === true && last;
      },
      'the relation is on the topic',
    );
    assert.deepEqual([event.a, event.b, event.blocked_by], [low, high, []]);
  }
});

test('[P-14][P-15][P-16] whatever 50 clients do to one pair at once, both sides see the same in the end', async () => {
  const [a, b] = await crowd(2);
  const acts = [
    (api, other) => api.put(`/api/friends/requests/${other.id}`),
    (api, other) => api.delete(`/api/friends/requests/${other.id}`),
    (api, other) => api.post(`/api/friends/requests/${other.id}/accept`),
    (api, other) => api.delete(`/api/friends/${other.id}`),
    (api, other) => api.put(`/api/blocks/${other.id}`),
    (api, other) => api.delete(`/api/blocks/${other.id}`),
  ];
  const replies = await times(50 * 6, (i) => {
    const [one, two] = i % 2 ? [a, b] : [b, a];
    return acts[Math.floor(i / 2) % acts.length](through(i, one), two);
  });
  for (const reply of replies) assert.ok(reply.status < 500, `${reply.status} ${reply.text}`);
  const view = async (one, two) => ({
    friend: (await all(one.api, '/api/friends')).some((item) => item.user.id === two.id),
    in: (await all(one.api, '/api/friends/requests?direction=in')).some((item) => item.user.id === two.id),
    out: (await all(one.api, '/api/friends/requests?direction=out')).some((item) => item.user.id === two.id),
    blocks: (await all(one.api, '/api/blocks')).some((item) => item.user.id === two.id),
  });
  const mine = await view(a, b),
    theirs = await view(b, a);
  assert.equal(mine.friend, theirs.friend);
  assert.equal(mine.in, theirs.out);
  assert.equal(mine.out, theirs.in);
  if (mine.blocks || theirs.blocks) assert.ok(!mine.friend && !mine.in && !mine.out, 'a block leaves nothing else');
  assert.ok([mine.friend, mine.in, mine.out].filter(Boolean).length <= 1);
  const [low, high] = pairOf(a, b);
  await eventually(
    10000,
    async () => {
      const last = (await latest('relations')).get(`${low}:${high}`);
      const blockers = [mine.blocks && a.id, theirs.blocks && b.id].filter(Boolean).sort();
      return (last?.friend ?? false) === mine.friend && JSON.stringify([...(last?.blocked_by ?? [])].sort()) === JSON.stringify(blockers);
    },
    'the topic says what the lists say',
  );
});

test('[P-19] the block of 50 racing clients holds at once: no request passes it', async () => {
  const target = await newcomer();
  const strangers = await crowd(25);
  const blocks = strangers.map((stranger) => target.api.put(`/api/blocks/${stranger.id}`));
  const asked = strangers.map((stranger, i) => through(i, stranger).put(`/api/friends/requests/${target.id}`));
  for (const reply of await Promise.all(blocks)) assert.ok(reply.status < 300, reply.text);
  for (const reply of await Promise.all(asked)) assert.ok([201, 403].includes(reply.status), reply.text);
  assert.deepEqual(await all(target.api, '/api/friends/requests?direction=in'), [], 'what came before its block went with it');
  for (const stranger of strangers) {
    const again = await stranger.api.put(`/api/friends/requests/${target.id}`);
    assert.deepEqual([again.status, again.problem], [403, 'blocked']);
  }
});

test('[K-50] 200 requests at once, each of several statements: all are answered', async () => {
  const people = await crowd(4);
  for (const person of people.slice(1)) await people[0].api.put(`/api/friends/requests/${person.id}`);
  const replies = await times(200, (i) =>
    through(i, people[i % 4]).get(['/api/friends', '/api/friends/requests?direction=out', '/api/users/me', '/api/blocks'][i % 4]),
  );
  for (const reply of replies)
    assert.ok(reply.status === 200 || (reply.status === 503 && reply.headers['retry-after']), `${reply.status} ${reply.text}`);
  assert.ok(replies.filter((reply) => reply.status === 200).length >= 100);
});

test('[P-20] a request and its acceptance are told to the other side', async () => {
  const [a, b] = await crowd(2);
  assert.equal((await a.api.put(`/api/friends/requests/${b.id}`)).status, 201);
  assert.equal((await b.api.post(`/api/friends/requests/${a.id}/accept`)).status, 200);
  const told = await eventually(
    10000,
    async () => {
      const mine = (await readTopic('notify.requests'))
        .map((record) => record.value)
        .filter((value) => [a.id, b.id].includes(value?.to?.user));
      return mine.length >= 2 && mine;
    },
    'both notices are on the topic',
  );
  assert.deepEqual(
    told.map((value) => [value.kind, value.to.user]).sort(),
    [
      ['friend_accepted', a.id],
      ['friend_request', b.id],
    ].sort(),
  );
  assert.equal(new Set(told.map((value) => value.dedupe_id)).size, 2);
});
