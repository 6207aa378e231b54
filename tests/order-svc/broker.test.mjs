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
