// A broker that stands still. Nothing else runs meanwhile: others would wait for it too (tests/run.sh).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { pidOf, signal } from '../support/stack.mjs';
import { eventually } from '../support/wait.mjs';
import { World, clientId } from './world.mjs';

const world = new World();
let round, ann;
before(async () => {
  await world.start();
  round = await world.round();
  ann = world.person();
});
after(() => world.stop());

test('[S-26] a broker that stands still: 503 and not "accepted"; the same client_order_id is safe to repeat', async (t) => {
  if (!pidOf('kafka')) return t.skip('the broker is not ours to stop');
  const wish = round.order('buy', 5, 1, { client_order_id: clientId() });
  signal('kafka', 'SIGSTOP');
  let replies;
  try {
    replies = await Promise.all([ann.api.post('/api/orders', wish, { headers: { Prefer: 'wait=1' } }), ann.other.post('/api/orders', wish, { headers: { Prefer: 'respond-async' } })]);
  } finally {
    signal('kafka', 'SIGCONT');
  }
  for (const reply of replies) assert.deepEqual([reply.status, reply.problem, reply.headers['retry-after']], [503, 'unavailable', '1'], reply.text);
  await eventually(20000, async () => (await ann.api.post('/api/orders', wish, { headers: { Prefer: 'respond-async' } })).status === 202, 'it is stored again');
});

test('[S-26][S-37] while a broker stands still an order that has ended is told; what may have changed is 503 until it is back', async (t) => {
  if (!pidOf('kafka')) return t.skip('the broker is not ours to stop');
  const ended = await round.place(ann, 'buy', 4, 1, { client_order_id: clientId() });
  await ann.api.delete(`/api/orders/${ended.id}`);
  await eventually(20000, async () => (await ann.other.get(`/api/orders/${ended.id}`)).json?.status === 'cancelled', 'it is settled');
  const open = await round.place(ann, 'buy', 3, 1, { client_order_id: clientId() });
  await eventually(20000, async () => (await ann.other.get(`/api/orders/${open.id}`)).json?.status === 'open', 'the other one is, too');
  signal('kafka', 'SIGSTOP');
  let told, unsure;
  try {
    told = await Promise.all([ann.api.call('GET', `/api/orders/${ended.id}`), ann.other.call('GET', `/api/orders/${ended.id}`)]);
    unsure = await Promise.all([ann.other.call('GET', `/api/orders/${open.id}`), ann.other.call('GET', '/api/portfolio')]);
  } finally {
    signal('kafka', 'SIGCONT');
  }
  for (const reply of told) assert.deepEqual([reply.status, reply.json.id, reply.json.status], [200, ended.id, 'cancelled']);
  for (const reply of unsure) assert.ok(reply.status === 503 && ['not_yet', 'unavailable'].includes(reply.problem) && reply.headers['retry-after'], reply.text);
  await eventually(20000, async () => (await ann.other.get(`/api/orders/${open.id}`)).json?.status === 'open', 'the open one is told again');
});
