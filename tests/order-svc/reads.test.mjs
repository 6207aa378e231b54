// Lists, portfolio, trades and candles; and that one's own writes are seen at once on the other instance.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Api } from '../support/http.mjs';
import { all, clientId, code, oldUuid, range, uuid, World } from './world.mjs';

const world = new World();
before(() => world.start());
after(() => world.stop());

const ids = ({ json }) => json.items.map(({ id }) => id);

describe('lists', () => {
  let round, ann, orders, resting;
  before(async () => {
    round = await world.round({ prices: [20, 20, 20] });
    ann = world.person();
    const [first, second] = round.companies;
    await round.offer(['sell', 20, 5], ['sell', 20, 5, 1]);
    orders = [
      await round.place(ann, 'buy', 20, 5),
      await round.place(ann, 'buy', 20, 2, { company_id: second.id }),
      await round.place(ann, 'buy', 20, 6, { company_id: second.id }),
      await round.place(ann, 'buy', 10, 1),
      await round.place(ann, 'sell', 30, 2),
      await round.place(ann, 'buy', 0, 1, { company_id: round.companies[2].id }),
    ];
    resting = orders[3];
    await ann.api.delete(`/api/orders/${orders[4].id}`);
    await ann.api.post('/api/orders', round.order('sell', 30, 100));
    await world.sql("UPDATE companies SET name = 'Seoul Steel' WHERE id = $1", [first.id]);
    await world.sql("UPDATE companies SET name = '한빛전자' WHERE id = $1", [second.id]);
  });

  test('[S-40] orders: newest first, all but the rejected; or oldest first', async () => {
    const mine = await ann.other.get('/api/orders');
    assert.deepEqual(ids(mine), orders.map(({ id }) => id).reverse());
    assert.deepEqual(mine.json.items.map(({ status }) => status), ['cancelled', 'cancelled', 'open', 'partial', 'filled', 'filled']);
    assert.deepEqual(ids(await ann.api.get('/api/orders?order=oldest')), orders.map(({ id }) => id));
    assert.equal(mine.json.next_cursor, null);
  });

  test('[S-40] filters by company, by part of its name, by side and by status, each alone and together', async () => {
    const some = async (query) => ids(await ann.api.get(`/api/orders?order=oldest&${query}`)).map((id) => orders.findIndex((order) => order.id === id));
    assert.deepEqual(await some(`company=${round.companies[1].id}`), [1, 2]);
    assert.deepEqual(await some('q=steel'), [0, 3, 4]);
    assert.deepEqual(await some(`q=${encodeURIComponent('빛전')}`), [1, 2]);
    assert.deepEqual(await some('q=%25'), []);
    assert.deepEqual(await some('side=sell'), [4]);
    assert.deepEqual(await some('status=open'), [3]);
    assert.deepEqual(await some('status=open,partial'), [2, 3]);
    assert.deepEqual(await some('status=filled&side=buy&q=Seoul'), [0]);
    assert.deepEqual(await some(`company=${uuid()}`), []);
    const [rejected] = (await ann.api.get('/api/orders?status=rejected')).json.items;
    assert.deepEqual([rejected.status, rejected.reason, rejected.quantity, rejected.price], ['rejected', 'insufficient_shares', 100, 300000]);
  });

  test('[S-40] the price of an order in a list is its own, not the current one', async () => {
    const [order] = (await ann.api.get('/api/orders?status=open')).json.items;
    assert.deepEqual([order.id, order.price], [resting.id, 100000]);
    assert.deepEqual(order, (await ann.other.get(`/api/orders/${order.id}`)).json);
    assert.deepEqual({ ...resting, updated_at: '' }, { ...order, updated_at: '' });
  });

  test('[S-40] fills: each side of a trade, with filters', async () => {
    const fills = (await ann.other.get('/api/fills')).json.items;
    assert.deepEqual(fills.map(({ order_id, side, price, quantity }) => [order_id, side, price, quantity]), [
      [orders[2].id, 'buy', 200000, 3], [orders[1].id, 'buy', 200000, 2], [orders[0].id, 'buy', 200000, 5],
    ]);
    assert.deepEqual(ids(await ann.api.get('/api/fills?q=SEOUL')), [fills[2].id]);
    assert.deepEqual(ids(await ann.api.get('/api/fills?side=sell')), []);
    assert.deepEqual(ids(await ann.api.get('/api/fills?order=oldest')), fills.map(({ id }) => id).reverse());
    await round.offer(['buy', 20, 1]);
    await round.place(ann, 'sell', 20, 1);
    await round.place(ann, 'sell', 21, 1);
    await round.hit('buy', 1);
    const sold = (await ann.other.get('/api/fills?side=sell')).json.items;
    assert.deepEqual(sold.map(({ side, price }) => [side, price]), [['sell', 210000], ['sell', 200000]]);
  });

  test('pages go on where they ended, in both directions; a cursor of another list is refused', async () => {
    for (const list of ['/api/orders', '/api/orders?order=oldest', '/api/fills', '/api/fills?order=oldest', `/api/trades?company=${round.company}`]) {
      const whole = (await ann.api.get(list)).json.items;
      assert.ok(whole.length > 2);
      assert.deepEqual(await all(ann.api, list, 1), whole, list);
      assert.deepEqual(await all(ann.api, list, 2), whole, list);
    }
    const { next_cursor } = (await ann.api.get('/api/orders?limit=1')).json;
    for (const path of ['/api/orders?order=oldest', '/api/fills?', `/api/trades?company=${round.company}`]) {
      assert.deepEqual(await code(ann.api.get(`${path}&cursor=${next_cursor}`)), [400, 'bad_input'], path);
    }
  });

  test('[S-46] nobody sees or touches what is another’s: identity comes from the token alone', async () => {
    const bob = world.person();
    for (const path of ['/api/orders', '/api/fills']) assert.deepEqual((await bob.api.get(`${path}?user_id=${ann.id}`)).json.items, []);
    assert.equal((await bob.api.get(`/api/portfolio?user_id=${ann.id}`)).json.cash, 10_000_000);
    assert.deepEqual(await code(bob.api.get(`/api/orders/${resting.id}`)), [404, 'not_found']);
    assert.deepEqual(await code(bob.api.patch(`/api/orders/${resting.id}`, { quantity: 5 })), [404, 'not_found']);
    assert.deepEqual(await code(bob.other.delete(`/api/orders/${resting.id}`)), [404, 'not_found']);
    assert.equal((await ann.api.get(`/api/orders/${resting.id}`)).json.status, 'open');
    for (const id of [oldUuid(), uuid()]) assert.deepEqual(await code(ann.api.get(`/api/orders/${id}`)), [404, 'not_found']);
    for (const method of ['get', 'patch', 'delete']) assert.deepEqual(await code(ann.api[method](`/api/orders/${oldUuid()}`, method === 'patch' ? { quantity: 1 } : undefined)), [404, 'not_found']);
    assert.deepEqual(await code(bob.api.post('/api/orders', round.order('buy', 5, 1, { user_id: ann.id }))), [400, 'bad_input']);
  });
});

describe('what was written is read at once', () => {
  test('on the other instance: order, lists, portfolio, fills', async () => {
    const round = await world.round();
    const ann = world.person();
    await round.offer(['sell', 20, 100]);
    for (const i of range(1, 15)) {
      const order = await round.place(ann, 'buy', 20, 1);
      const [one, list, portfolio, fills] = await Promise.all(
        [`/api/orders/${order.id}`, '/api/orders?limit=1', '/api/portfolio', '/api/fills?limit=1'].map((path) => ann.other.get(path)),
      );
      assert.deepEqual(one.json, order);
      assert.deepEqual(list.json.items, [order]);
      assert.deepEqual([portfolio.json.cash, portfolio.json.holdings[0].quantity], [10_000_000 - 200_000 * i, i]);
      assert.equal(fills.json.items[0].order_id, order.id);
    }
  });

  test('an order that is amended or cancelled on one instance is so on the other', async () => {
    const round = await world.round();
    const ann = world.person();
    const { id } = await round.place(ann, 'buy', 10, 5, { client_order_id: clientId() });
    await ann.other.patch(`/api/orders/${id}`, { price: 110_000 });
    assert.equal((await ann.api.get(`/api/orders/${id}`)).json.price, 110_000);
    await ann.api.delete(`/api/orders/${id}`);
    assert.equal((await ann.other.get(`/api/orders/${id}`)).json.status, 'cancelled');
  });

  test('settlement that stands still: 503 not_yet after some seconds, orders go on; then all is there', async () => {
    const round = await world.round();
    const ann = world.person();
    const client = await world.pool.connect();
    try {
      await client.query('BEGIN; LOCK TABLE markets IN ACCESS EXCLUSIVE MODE'); // what a long lock in the schema does
      const order = await round.place(ann, 'buy', 10, 5);
      const reply = await ann.other.call('GET', `/api/orders/${order.id}`);
      assert.deepEqual([reply.status, reply.problem, reply.headers['retry-after']], [503, 'not_yet', '1']);
      await client.query('COMMIT');
      assert.deepEqual((await ann.other.get(`/api/orders/${order.id}`)).json, order);
    } finally {
      client.release(true);
    }
  });
});

describe('portfolio', () => {
  test('[S-28] before the first order the seed money; a person who only looked has no account', async () => {
    const round = await world.round({ seed_cash: 7_000_000 });
    const ann = world.person();
    assert.deepEqual((await ann.api.get('/api/portfolio')).json, {
      market: round.id, cash: 7_000_000, available_cash: 7_000_000, total_asset: 7_000_000, return_pct: 0, rating: 0, tier: 'bronze', holdings: [], seq: (await ann.api.get('/api/portfolio')).json.seq,
    });
    assert.equal(await world.one('SELECT count(*) FROM accounts WHERE user_id = $1', [ann.id]), 0);
  });

  test('[S-41] holdings by gain, falling; none is an empty list; of the last round when it is closed', async () => {
    const round = await world.round({ prices: [20, 20, 20] });
    const ann = world.person();
    await round.offer(...range(0, 2).map((i) => ['sell', 20, 1, i]));
    for (const { id } of round.companies) await round.place(ann, 'buy', 20, 1, { company_id: id });
    for (const [i, ticks] of [[0, 19], [1, 30], [2, 25]]) {
      await round.offer(['sell', ticks, 1, i]);
      const [bob] = world.people(1);
      await round.place(bob, 'buy', ticks, 1, { company_id: round.companies[i].id });
    }
    const { holdings, ...mine } = (await ann.other.get('/api/portfolio')).json;
    assert.deepEqual(holdings.map(({ company, gain_pct }) => [round.companies.findIndex(({ id }) => id === company.id), gain_pct]), [[1, 50], [2, 25], [0, -5]]);
    assert.deepEqual([mine.cash, mine.total_asset, mine.return_pct], [9_400_000, 10_140_000, 1.4]);
    await round.close();
    const closed = (await ann.other.get('/api/portfolio')).json;
    assert.deepEqual([closed.market, closed.cash, closed.total_asset, closed.return_pct, closed.holdings], [round.id, 10_140_000, 10_140_000, 1.4, []]);
  });
});

describe('for everybody', () => {
  test('trades by number, without a token, without names', async () => {
    const round = await world.round();
    const ann = world.person();
    await round.offer(['sell', 20, 3], ['sell', 21, 3]);
    await round.place(ann, 'buy', 21, 5);
    await round.place(world.person(), 'buy', 0, 1);
    const anybody = world.person();
    anybody.api.token = undefined;
    await ann.api.get('/api/fills'); // settled
    const { items } = (await anybody.api.get(`/api/trades?company=${round.company}`)).json;
    assert.deepEqual(items.map(({ at, ...trade }) => trade), [
      { seq: 3, price: 210000, quantity: 1, taker_side: 'buy' }, { seq: 2, price: 210000, quantity: 2, taker_side: 'buy' }, { seq: 1, price: 200000, quantity: 3, taker_side: 'buy' },
    ]);
    assert.ok(items.every(({ at }) => Math.abs(Date.parse(at) - Date.now()) < 60000));
    assert.deepEqual(await code(anybody.api.get(`/api/trades?company=${oldUuid()}`)), [404, 'unknown_company']);
  });

  test('[S-43] candles of 1 s, 5 s and 1 m from the start to now, without gaps, filled with the last close', async () => {
    const round = await world.round();
    const begin = Math.floor(Date.now() / 60000) * 60000 - 600000; // settled trades of ten minutes ago
    await world.sql('UPDATE markets SET opened_at = $2, started_at = $2 WHERE id = $1', [round.id, new Date(begin)]);
    await world.sql('INSERT INTO candles SELECT $1, $2::timestamptz + make_interval(secs => s), o, h, l, c, v FROM unnest($3::int[], $4::int[], $5::int[], $6::int[], $7::int[], $8::int[]) x (s, o, h, l, c, v)', [
      round.company, new Date(begin), [2, 3, 7, 65], [210000, 220000, 230000, 100000], [210000, 250000, 230000, 110000], [210000, 190000, 230000, 90000], [210000, 200000, 230000, 90000], [1, 2, 3, 4],
    ]);
    const fresh = await world.another(); // the others know the market's start already
    const api = new Api(fresh.url);
    const candles = async (query) => (await api.get(`/api/candles?company=${round.company}&${query}`)).json.items.map(({ at, open, high, low, close, volume }) => [(Date.parse(at) - begin) / 1000, open, high, low, close, volume]);
    const at = (seconds) => new Date(begin + seconds * 1000).toISOString();
    assert.deepEqual(await candles(`from=${at(0)}&to=${at(5)}`), [
      [0, 200000, 200000, 200000, 200000, 0], [1, 200000, 200000, 200000, 200000, 0], [2, 210000, 210000, 210000, 210000, 1], [3, 220000, 250000, 190000, 200000, 2], [4, 200000, 200000, 200000, 200000, 0],
    ]);
    assert.deepEqual(await candles(`interval=5s&from=${at(0)}&to=${at(15)}`), [[0, 210000, 250000, 190000, 200000, 3], [5, 230000, 230000, 230000, 230000, 3], [10, 230000, 230000, 230000, 230000, 0]]);
    assert.deepEqual((await candles('interval=1m')).slice(0, 3), [[0, 210000, 250000, 190000, 230000, 6], [60, 100000, 110000, 90000, 90000, 4], [120, 90000, 90000, 90000, 90000, 0]]);
    const whole = await candles('interval=1s');
    assert.ok(whole.length >= 600 && whole.every(([s], i) => s === i), 'no gaps');
    assert.deepEqual(await candles(`from=${at(1000000)}&to=${at(1000001)}`), [], 'after now');
    assert.deepEqual((await candles(`from=${at(-1000000)}&to=${at(1)}`)).map(([s]) => s), [0], 'before the start');
  });
});
