// How an order is answered: at once, later, twice, or not at all. Two instances of order-svc.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Api } from '../support/http.mjs';
import { readBytes } from '../support/topics.mjs';
import { eventually } from '../support/wait.mjs';
import { decodeCommand } from '../support/market.mjs';
import { clientId, range, World } from './world.mjs';

describe('with an owner', () => {
  const world = new World();
  before(() => world.start());
  after(() => world.stop());

  test('[S-37] 50 clients send one client_order_id at once through two instances: one order, the same for all', async () => {
    const round = await world.round();
    const ann = world.person();
    await round.offer(['sell', 20, 100]);
    const wish = round.order('buy', 20, 2, { client_order_id: clientId() });
    const replies = await Promise.all(range(1, 50).map((i) => (i % 2 ? ann.api : ann.other).post('/api/orders', wish)));
    for (const reply of replies) assert.deepEqual([reply.status, reply.json.id, reply.json.status, reply.json.filled], [201, replies[0].json.id, 'filled', 2], reply.text);
    assert.equal((await ann.api.get('/api/orders')).json.items.length, 1);
    assert.equal((await ann.other.get('/api/portfolio')).json.cash, 9_600_000);
    const bob = world.person();
    assert.notEqual((await bob.api.post('/api/orders', wish)).json.id, replies[0].json.id, "another person's client_order_id is another order");
  });

  test('[S-37] a repeat gives the order as it stands now; one that was refused stays refused', async () => {
    const round = await world.round();
    const ann = world.person();
    const wish = round.order('buy', 20, 5, { client_order_id: clientId() });
    const first = (await ann.api.post('/api/orders', wish)).json;
    await round.hit('sell', 2);
    const again = await ann.other.post('/api/orders', { ...wish, quantity: 40 });
    assert.deepEqual([again.status, again.json.id, again.json.status, again.json.filled, again.json.quantity], [201, first.id, 'partial', 2, 5]);
    await ann.api.delete(`/api/orders/${first.id}`);
    assert.deepEqual([(await ann.api.post('/api/orders', wish)).json.status, (await ann.api.post('/api/orders', wish)).json.reason], ['cancelled', 'cancelled']);
    const poor = round.order('buy', 100, 100, { client_order_id: clientId() });
    const refusals = [await ann.api.post('/api/orders', poor), await ann.other.post('/api/orders', { ...poor, quantity: 1, price: 10_000 })];
    for (const reply of refusals) assert.deepEqual([reply.status, reply.problem, reply.json.order_id], [422, 'insufficient_cash', refusals[0].json.order_id], reply.text);
    const shown = (await ann.api.get(`/api/orders/${refusals[0].json.order_id}`)).json;
    assert.deepEqual([shown.status, shown.reason, shown.client_order_id], ['rejected', 'insufficient_cash', poor.client_order_id]);
  });

  test('Idempotency-Key does the same without a client_order_id, also a long one; a bad one is 400', async () => {
    const round = await world.round();
    const ann = world.person();
    for (const key of ['"k-1"', 'k'.repeat(200)]) {
      const headers = { 'Idempotency-Key': key };
      const [one, two] = [await ann.api.post('/api/orders', round.order('buy', 5, 1), { headers }), await ann.other.post('/api/orders', round.order('buy', 5, 1), { headers })];
      assert.deepEqual([one.status, two.status, two.json.id], [201, 201, one.json.id]);
    }
    assert.equal((await ann.api.get('/api/orders')).json.items.length, 2);
    assert.equal((await ann.api.post('/api/orders', round.order('buy', 5, 1), { headers: { 'Idempotency-Key': 'a b' } })).status, 400);
    const both = await ann.api.post('/api/orders', round.order('buy', 5, 1, { client_order_id: clientId() }), { headers: { 'Idempotency-Key': '"k-1"' } });
    assert.equal((await ann.api.get('/api/orders')).json.items[0].id, both.json.id, 'client_order_id comes first');
  });

  test('Prefer: respond-async is 202 with the id as soon as the order is stored; the order is there soon', async () => {
    const round = await world.round();
    const ann = world.person();
    for (const prefer of ['respond-async', 'wait=0', 'wait=5, respond-async', 'handling=lenient; x=1, Respond-Async']) {
      const reply = await ann.api.post('/api/orders', round.order('buy', 5, 1), { headers: { Prefer: prefer } });
      assert.deepEqual([reply.status, reply.json.status], [202, 'accepted'], prefer);
      const order = await eventually(10000, async () => {
        const got = await ann.other.get(`/api/orders/${reply.json.id}`);
        return got.status === 200 && got.json;
      }, 'the order is settled');
      assert.equal(order.status, 'open');
      const cancel = await ann.api.delete(`/api/orders/${order.id}`, undefined, { headers: { Prefer: prefer } });
      assert.deepEqual([cancel.status, cancel.json.id], [202, order.id]);
      await eventually(10000, async () => (await ann.api.get(`/api/orders/${order.id}`)).json.status === 'cancelled', 'it is cancelled');
    }
    for (const prefer of ['wait=x', 'wait=-1', 'wait', 'wait=99999', '', 'respond-asynchronously']) assert.equal((await ann.api.post('/api/orders', round.order('buy', 5, 1), { headers: { Prefer: prefer } })).status, 201, prefer);
  });

  test('[S-36] every command of an instance has its source and a number that grows in the order of the log', async () => {
    const round = await world.round();
    const people = world.people(8);
    await Promise.all(people.flatMap((person, i) => range(1, 15).map(() => (i % 2 ? person.api : person.other).post('/api/orders', round.order('buy', 1, 1)))));
    const records = (await readBytes('market.commands', { from: -2000 })).filter(({ key }) => key === round.id).map(({ bytes, headers }) => ({ ...decodeCommand(bytes), headers })).filter(({ kind, bot }) => kind === 'place' && !bot);
    const sources = Map.groupBy ? Map.groupBy(records, ({ source }) => source) : records.reduce((map, one) => map.set(one.source, [...(map.get(one.source) ?? []), one]), new Map());
    assert.deepEqual([sources.size, records.length], [2, 120]);
    for (const list of sources.values()) assert.ok(list.every(({ n }, i) => i === 0 || n > list[i - 1].n), 'n grows');
    assert.equal(new Set(records.map(({ order_id }) => order_id)).size, 120);
    for (const { order_id, headers } of records) {
      assert.equal(order_id.slice(-4), round.id.slice(-4), "an order's id ends as its market's");
      assert.match(order_id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-/);
      assert.ok(headers.corr && headers.traceparent && headers['x-request-id']);
    }
  });

  test('cancel-all reaches a market of before that nobody has closed, and counts what it ended in the running one', async () => {
    const left = await world.round();
    const ann = world.person();
    const old = await left.place(ann, 'buy', 5, 1);
    world.running = undefined; // so it goes on beside the next
    try {
      const round = await world.round();
      const orders = [await round.place(ann, 'buy', 5, 1), await round.place(ann, 'buy', 6, 1)];
      assert.deepEqual((await ann.other.delete('/api/orders')).json, { cancelled: 2 });
      for (const { id } of [old, ...orders]) await eventually(10000, async () => (await ann.api.get(`/api/orders/${id}`)).json.status === 'cancelled', 'it is cancelled');
    } finally {
      await left.close();
    }
  });

  test('an instance that starts in the middle of a round, and one that is killed: orders and reads go on', async () => {
    const round = await world.round();
    const ann = world.person();
    const order = await round.place(ann, 'buy', 5, 5);
    await world.instances[1].kill();
    await world.instances[1].start();
    assert.equal((await ann.other.patch(`/api/orders/${order.id}`, { quantity: 4 })).json.quantity, 4, 'it finds the market of an order of before');
    assert.equal((await ann.other.post('/api/orders', round.order('buy', 5, 1))).status, 201);
    assert.deepEqual((await ann.other.delete('/api/orders')).json, { cancelled: 2 });
    assert.equal((await ann.other.get('/api/portfolio')).json.market, round.id);
  });
});

describe('without an owner', () => {
  const world = new World();
  let round, ann;
  before(async () => {
    await world.start();
    round = await world.round();
    ann = world.person();
    await world.match.stop(); // no verdict comes from now on
    world.match = undefined;
    world.running = undefined;
  });
  after(() => world.stop());

  test('[S-26] no verdict within the wait: 202 with the id, and the command stands in the log', async () => {
    const replies = await Promise.all([
      ann.api.post('/api/orders', round.order('buy', 5, 1), { headers: { Prefer: 'wait=1' } }),
      ann.api.post('/api/orders', round.order('buy', 5, 1), { headers: { Prefer: '' } }), // nothing said
      ann.api.post('/api/orders', round.order('buy', 5, 1), { headers: { Prefer: 'respond-async' } }),
    ]);
    const commands = (await readBytes('market.commands', { from: -2000 })).filter(({ key }) => key === round.id).map(({ bytes }) => decodeCommand(bytes).order_id);
    for (const reply of replies) {
      assert.deepEqual([reply.status, reply.json.status], [202, 'accepted'], reply.text);
      assert.ok(commands.includes(reply.json.id), 'stored');
    }
    const cancels = await Promise.all([
      ann.api.delete(`/api/orders/${replies[0].json.id}`, undefined, { headers: { Prefer: 'wait=1' } }), ann.api.patch(`/api/orders/${replies[0].json.id}`, { quantity: 2 }, { headers: { Prefer: 'wait=1' } }),
      ann.api.delete('/api/orders', undefined, { headers: { Prefer: 'wait=1' } }),
    ]);
    assert.deepEqual(cancels.map(({ status }) => status), [202, 202, 202]);
  });

  test('[S-26][I5] a token that ends while its order waits: the order stands, and that is the answer', async () => {
    const token = world.auth.token(ann, { iat: Math.floor(Date.now() / 1000) - 600, exp: Math.floor(Date.now() / 1000) - 6 }); // good for 10 s of leeway
    const reply = await new Api(world.instances[0].url, token).post('/api/orders', round.order('buy', 5, 1), { headers: { Prefer: 'wait=8' } });
    assert.deepEqual([reply.status, reply.json.status], [202, 'accepted'], reply.text);
    assert.equal((await new Api(world.instances[0].url, token).get('/api/orders')).status, 401, 'it has ended');
  });

  test('[S-26] no worker waits: 300 orders without a verdict leave the other requests as fast as ever', async () => {
    const people = world.people(10);
    const waiting = range(1, 300).map((i) => people[i % 10].api.post('/api/orders', round.order('buy', 5, 1), { headers: { Prefer: 'wait=10' } }));
    const read = await ann.api.get(`/api/trades?company=${round.company}`);
    assert.equal(read.status, 200);
    assert.equal(await Promise.race([Promise.any(waiting).then(() => 'an order'), ann.api.get(`/api/trades?company=${round.company}`).then(() => 'a read')]), 'a read');
    for (const { status } of await Promise.all(waiting)) assert.equal(status, 202);
  });
});

test('[S-26] an order that waits for the owner of its market is accepted, on every instance, until he has answered', async () => {
  const world = new World();
  await world.start();
  try {
    const round = await world.round();
    const [ann, bob] = [world.person(), world.person()];
    const settled = await round.place(ann, 'buy', 5, 1);
    assert.equal((await bob.api.get(`/api/orders/${settled.id}`)).status, 404);
    await world.match.instances[0].kill();
    const { status, json } = await ann.api.post('/api/orders', round.order('buy', 5, 1), { headers: { Prefer: 'respond-async' } });
    assert.equal(status, 202);
    for (const api of [ann.api, ann.other]) {
      const waiting = await api.get(`/api/orders/${json.id}`);
      assert.deepEqual([waiting.status, waiting.json], [202, { id: json.id, status: 'accepted' }], waiting.text);
      assert.equal((await api.get(`/api/orders/${settled.id}`)).json.status, 'open', 'what is settled is told as ever');
    }
    assert.equal((await bob.api.get(`/api/orders/${settled.id}`)).status, 404, "another's order is none, whoever waits");
    await world.match.instances[0].start();
    for (const api of [ann.other, ann.api]) await eventually(40000, async () => (await api.get(`/api/orders/${json.id}`)).json.status === 'open', 'the owner has answered');
    const never = json.id.replace(/.{4}-(.{12})$/, 'bbbb-$1'); // of this moment and this market, and of nobody
    for (const api of [ann.api, ann.other]) {
      const nothing = await api.get(`/api/orders/${never}`);
      assert.deepEqual([nothing.status, nothing.problem], [404, 'not_found'], nothing.text);
    }
    assert.equal((await bob.api.get(`/api/orders/${json.id}`)).status, 404);
  } finally {
    await world.stop();
  }
});

for (const bundles of ['on', 'off'])
  test(`[S-36][I1] orders that wait together ${bundles === 'on' ? 'leave in one message' : 'leave alone with KAFKA_BUNDLES=off'}, and each has its own verdict`, async () => {
    const world = new World();
    await world.start({ settings: { KAFKA_BUNDLES: bundles }, instances: 1 });
    try {
      const round = await world.round();
      const people = world.people(8);
      const replies = await Promise.all(people.flatMap((person) => range(1, 25).map(async (quantity) => ({ quantity, ...(await person.api.post('/api/orders', round.order('buy', 1, quantity))) }))));
      for (const { status, json, quantity, text } of replies) assert.deepEqual([status, json.status, json.quantity], [201, 'open', quantity], text);
      const records = (await readBytes('market.commands', { from: -2000 })).filter(({ key }) => key === round.id).map(({ partition, offset, bytes }) => ({ place: `${partition}:${offset}`, ...decodeCommand(bytes) })).filter(({ kind }) => kind === 'place');
      const messages = new Set(records.map(({ place }) => place)).size;
      assert.deepEqual(new Set(records.map(({ order_id }) => order_id)), new Set(replies.map(({ json }) => json.id)));
      assert.equal(records.length, 200);
      assert.ok(bundles === 'on' ? messages < 150 : messages === 200, `${messages} messages`);
      for (const { json } of replies.slice(-25)) assert.equal((await people.at(-1).api.get(`/api/orders/${json.id}`)).json.status, 'open');
    } finally {
      await world.stop();
    }
  });

test('[S-26] settlement that lags by more than ORDER_MAX_LAG pushes orders back with 503 and Retry-After; cancels still pass', async () => {
  const world = new World();
  await world.start({ settings: { ORDER_MAX_LAG: '20' }, instances: 1 });
  const client = await world.pool.connect();
  try {
    const round = await world.round();
    const ann = world.person();
    const first = await round.place(ann, 'buy', 5, 1);
    await ann.api.get('/api/orders');
    await client.query('BEGIN; LOCK TABLE markets IN ACCESS EXCLUSIVE MODE');
    const refused = await eventually(20000, async () => {
      const reply = await ann.api.post('/api/orders', round.order('buy', 1, 1));
      return reply.status !== 201 && reply;
    }, 'orders are pushed back', 1);
    assert.deepEqual([refused.status, refused.problem, refused.headers['retry-after']], [503, 'overloaded', '1'], refused.text);
    assert.equal((await ann.api.delete(`/api/orders/${first.id}`)).json.status, 'cancelled');
    await client.query('COMMIT');
    await eventually(20000, async () => (await ann.api.post('/api/orders', round.order('buy', 1, 1))).status === 201, 'orders are taken again');
  } finally {
    client.release(true);
    await world.stop();
  }
});
