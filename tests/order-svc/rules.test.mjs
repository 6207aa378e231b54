// The rules of orders through HTTP against the real engine: a table of scenes. Each scene has a company of its own, so they share a round.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { clientId, code, range, World } from './world.mjs';

const world = new World();
before(() => world.start());
after(() => world.stop());

/**
 * book: what the house offers, [side, ticks, quantity]; steps, in order:
 *   [who, 'buy' | 'sell', ticks (0: market), quantity, more, what the reply has]   POST; `what` with a status above 400 is a problem
 *   [who, 'amend' | 'cancel', number of the step whose order it is, body, what]
 *   [who, 'cancel all', what]   [who, 'has', what the portfolio has]   ['house', 'hits', side, quantity]   ['house', 'halts', on]
 */
const open = (more = {}) => ({ status: 'open', filled: 0, ...more });
const filled = (average_price, more = {}) => ({ status: 'filled', remaining: 0, reason: 'filled', average_price, ...more });
const no = (status, problem, more = {}) => ({ http: status, code: problem, ...more });

const SCENES = [
  {
    title: '[S-25][S-28] a limit order rests and reserves price x quantity; who sells into it gets its price',
    steps: [
      ['ann', 'buy', 20, 10, {}, open({ price: 200000, quantity: 10, remaining: 10, time_in_force: 'gtc', type: 'limit', side: 'buy' })],
      ['ann', 'has', { cash: 10_000_000, available_cash: 8_000_000, total_asset: 10_000_000 }],
      ['house', 'hits', 'sell', 10],
      ['ann', 'has', { cash: 8_000_000, available_cash: 8_000_000, shares: 10, average_price: 200000 }],
    ],
  },
  {
    title: '[S-32] the trade is at the price of the resting order, and the buyer gets the difference back',
    book: [['sell', 20, 5], ['sell', 22, 5]],
    steps: [
      ['ann', 'buy', 25, 10, {}, filled(210000, { price: 250000 })],
      ['ann', 'has', { cash: 7_900_000, available_cash: 7_900_000, shares: 10 }],
    ],
  },
  {
    title: '[S-32] a partial fill: the rest keeps price, time and id',
    book: [['sell', 20, 4]],
    steps: [
      ['ann', 'buy', 20, 10, {}, { status: 'partial', filled: 4, remaining: 6, average_price: 200000 }],
      ['bob', 'buy', 20, 3, {}, open()],
      ['house', 'hits', 'sell', 7],
      ['ann', 'order', 0, filled(200000, { quantity: 10 })],
      ['bob', 'order', 1, { status: 'partial', filled: 1, remaining: 2 }],
    ],
  },
  {
    title: '[S-29] a market order takes level by level and needs the sum of what it takes, not the worst price times its quantity',
    book: [['sell', 20, 40], ['sell', 40, 5]],
    steps: [
      ['ann', 'buy', 0, 45, {}, filled(222222.22, { type: 'market', time_in_force: 'ioc' })],
      ['ann', 'has', { cash: 0, available_cash: 0, shares: 45, average_price: 222222.22 }],
    ],
  },
  {
    title: '[S-29] one share more than the money is enough for: refused, nothing moved',
    book: [['sell', 20, 40], ['sell', 40, 6]],
    steps: [
      ['ann', 'buy', 0, 46, {}, no(422, 'insufficient_cash')],
      ['ann', 'has', { cash: 10_000_000, available_cash: 10_000_000, shares: 0 }],
    ],
  },
  {
    title: '[S-27] a market order into an empty or short book ends as unfilled; without the size rule nothing is refused for its size',
    book: [['sell', 20, 3]],
    steps: [
      ['ann', 'sell', 0, 3, {}, no(422, 'insufficient_shares')],
      ['ann', 'buy', 0, 5, {}, { status: 'cancelled', reason: 'unfilled', filled: 3, remaining: 2, average_price: 200000 }],
      ['ann', 'sell', 0, 3, {}, { status: 'cancelled', reason: 'unfilled', filled: 0, remaining: 3, average_price: undefined }],
    ],
  },
  {
    title: 'IOC takes what is there, the rest ends; without a fill it is cancelled with 201',
    book: [['sell', 20, 3], ['sell', 30, 9]],
    steps: [
      ['ann', 'buy', 20, 5, { time_in_force: 'ioc' }, { status: 'cancelled', reason: 'unfilled', filled: 3, remaining: 2 }],
      ['ann', 'buy', 20, 5, { time_in_force: 'ioc' }, { status: 'cancelled', reason: 'unfilled', filled: 0, remaining: 5 }],
      ['ann', 'has', { cash: 9_400_000, available_cash: 9_400_000 }],
    ],
  },
  {
    title: 'FOK is all or nothing',
    book: [['sell', 20, 3], ['sell', 21, 3]],
    steps: [
      ['ann', 'buy', 20, 4, { time_in_force: 'fok' }, { status: 'cancelled', reason: 'unfilled', filled: 0 }],
      ['ann', 'buy', 0, 7, { time_in_force: 'fok' }, { status: 'cancelled', reason: 'unfilled', filled: 0 }],
      ['ann', 'buy', 21, 6, { time_in_force: 'fok' }, filled(205000)],
    ],
  },
  {
    title: 'post-only rests, and is refused when it would trade at once or could never rest',
    book: [['sell', 20, 3]],
    steps: [
      ['ann', 'buy', 20, 1, { post_only: true }, no(422, 'would_cross')],
      ['ann', 'buy', 19, 1, { post_only: true, time_in_force: 'ioc' }, no(422, 'would_cross')],
      ['ann', 'buy', 0, 1, { post_only: true }, no(422, 'would_cross')],
      ['ann', 'buy', 19, 1, { post_only: true }, open({ post_only: true })],
      ['ann', 'amend', 3, { price: 200000 }, no(422, 'would_cross')],
      ['ann', 'order', 3, open({ price: 190000 })],
    ],
  },
  {
    title: '[S-28] the same money and the same shares cannot be spent twice',
    book: [['sell', 20, 10]],
    steps: [
      ['ann', 'buy', 20, 10, {}, filled(200000)],
      ['ann', 'buy', 10, 80, {}, open()],
      ['ann', 'buy', 1, 1, {}, no(422, 'insufficient_cash')],
      ['ann', 'sell', 30, 6, {}, open()],
      ['ann', 'sell', 31, 5, {}, no(422, 'insufficient_shares')],
      ['ann', 'sell', 31, 4, {}, open()],
      ['ann', 'has', { cash: 8_000_000, available_cash: 0, shares: 10, available: 0 }],
      ['ann', 'cancel', 1, undefined, { status: 'cancelled', reason: 'cancelled' }],
      ['ann', 'has', { available_cash: 8_000_000 }],
    ],
  },
  {
    title: '[S-30] a smaller total keeps the place in the queue',
    steps: [
      ['ann', 'buy', 20, 5, {}, open()],
      ['bob', 'buy', 20, 5, {}, open()],
      ['ann', 'amend', 0, { quantity: 3 }, open({ quantity: 3, remaining: 3, price: 200000 })],
      ['house', 'hits', 'sell', 4],
      ['ann', 'order', 0, filled(200000)],
      ['bob', 'order', 1, { status: 'partial', filled: 1 }],
    ],
  },
  {
    title: '[S-30] a larger total, or another price, loses the place; the id stays, and a missing price is no market order',
    steps: [
      ['ann', 'buy', 20, 5, {}, open()],
      ['bob', 'buy', 20, 5, {}, open()],
      ['ann', 'amend', 0, { quantity: 6 }, open({ quantity: 6, price: 200000, type: 'limit' })],
      ['house', 'hits', 'sell', 5],
      ['bob', 'order', 1, filled(200000)],
      ['bob', 'buy', 20, 2, {}, open()],
      ['ann', 'amend', 0, { price: 190000 }, open({ price: 190000, quantity: 6 })],
      ['ann', 'amend', 0, { price: 200000 }, open({ price: 200000 })],
      ['house', 'hits', 'sell', 3],
      ['bob', 'order', 5, filled(200000)],
      ['ann', 'order', 0, { status: 'partial', filled: 1, remaining: 5 }],
    ],
  },
  {
    title: '[S-30] an amend that crosses takes at once; the funds check counts what the order has reserved',
    book: [['sell', 25, 8]],
    steps: [
      ['ann', 'buy', 20, 40, {}, open()],
      ['ann', 'amend', 0, { price: 260000 }, no(422, 'insufficient_cash')],
      ['ann', 'order', 0, open({ price: 200000, quantity: 40 })],
      ['ann', 'amend', 0, { price: 250000 }, { status: 'partial', filled: 8, remaining: 32, average_price: 250000, price: 250000 }],
      ['ann', 'amend', 0, { quantity: 8 }, no(422, 'bad_quantity')],
      ['ann', 'amend', 0, { quantity: 9 }, { status: 'partial', filled: 8, remaining: 1, quantity: 9 }],
      ['ann', 'has', { cash: 8_000_000, available_cash: 7_750_000, shares: 8 }],
    ],
  },
  {
    title: '[S-30][S-31] amending or cancelling what has just been filled: order_done, and the balance stays whole',
    book: [['sell', 20, 5]],
    steps: [
      ['ann', 'buy', 20, 5, {}, filled(200000)],
      ['ann', 'amend', 0, { quantity: 50 }, no(409, 'order_done')],
      ['ann', 'cancel', 0, undefined, no(409, 'order_done')],
      ['ann', 'has', { cash: 9_000_000, available_cash: 9_000_000, shares: 5 }],
      ['ann', 'buy', 19, 5, {}, open()],
      ['ann', 'cancel', 4, undefined, { status: 'cancelled', reason: 'cancelled', filled: 0, remaining: 5 }],
      ['ann', 'cancel', 4, undefined, no(409, 'order_done')],
      ['ann', 'amend', 4, { quantity: 4 }, no(409, 'order_done')],
      ['ann', 'has', { cash: 9_000_000, available_cash: 9_000_000 }],
    ],
  },
  {
    title: '[S-35] an order that meets its own account stops there: what it took stays taken, the rest is cancelled',
    book: [['sell', 20, 2]],
    steps: [
      ['ann', 'buy', 0, 2, {}, filled(200000)],
      ['ann', 'sell', 21, 2, {}, open()],
      ['ann', 'buy', 21, 3, {}, { status: 'cancelled', reason: 'self_trade', filled: 0, remaining: 3 }],
      ['ann', 'buy', 0, 1, { time_in_force: 'fok' }, { status: 'cancelled', reason: 'self_trade', filled: 0 }],
      ['ann', 'order', 1, open()],
      ['ann', 'has', { shares: 2, available: 0, available_cash: 9_600_000 }],
    ],
  },
  {
    title: '[S-20] prices off the tick are refused, not rounded; an amend likewise',
    steps: [
      ['ann', 'buy', 20.5, 1, {}, no(422, 'bad_tick')],
      ['ann', 'buy', 20, 1, {}, open()],
      ['ann', 'amend', 1, { price: 205000 }, no(422, 'bad_tick')],
      ['ann', 'order', 1, open({ price: 200000 })],
    ],
  },
];

async function portfolio(person, company) {
  const { json } = await person.other.get('/api/portfolio');
  const holding = json.holdings.find((one) => one.company.id === company);
  return { ...json, shares: holding?.quantity ?? 0, available: holding?.available, average_price: holding?.average_price };
}

const ACTS = {
  async amend({ person, placed }, of, body) {
    return person.other.patch(`/api/orders/${placed[of].id}`, body);
  },
  async cancel({ person, placed }, of) {
    return person.api.delete(`/api/orders/${placed[of].id}`);
  },
};

function compare(reply, expected, words) {
  const { http, code: problem, ...members } = expected;
  if (http) {
    assert.deepEqual([reply.status, reply.problem], [http, problem], `${words}: ${reply.text}`);
    if (http !== 404) assert.match(reply.json.order_id ?? '', /^[0-9a-f-]{36}$/, `${words}: ${reply.text}`);
  } else {
    assert.ok([200, 201].includes(reply.status), `${words}: ${reply.text}`);
  }
  for (const [name, value] of Object.entries(members)) assert.deepEqual(reply.json[name], value, `${words}: ${name} of ${reply.text}`);
}

async function play(round, company, scene) {
  const people = {};
  const placed = [];
  const index = round.companies.indexOf(company);
  if (scene.book) await round.offer(...scene.book.map((offer) => [...offer, index]));
  for (const [i, [who, what, ...rest]] of scene.steps.entries()) {
    const words = `step ${i}, ${who} ${what} ${JSON.stringify(rest)}`;
    if (who === 'house') {
      await round.hit(rest[0], rest[1], index);
      continue;
    }
    const person = (people[who] ??= world.person());
    if (what === 'has') {
      const has = await portfolio(person, company.id);
      for (const [name, value] of Object.entries(rest[0])) assert.deepEqual(has[name], value, `${words}: ${name} of ${JSON.stringify(has)}`);
    } else if (what === 'order') {
      compare(await person.other.get(`/api/orders/${placed[rest[0]].id}`), rest[1], words);
    } else if (ACTS[what]) {
      compare(await ACTS[what]({ person, placed }, rest[0], rest[1]), rest[2], words);
    } else {
      const [ticks, quantity, more, expected] = rest;
      const reply = await (i % 2 ? person.other : person.api).post('/api/orders', round.order(what, ticks, quantity, { company_id: company.id, ...more }));
      compare(reply, expected, words);
      placed[i] = reply.json;
    }
  }
}

describe('scenes', () => {
  let round;
  before(async () => (round = await world.round({ prices: SCENES.map(() => 20) })));
  for (const [i, scene] of SCENES.entries()) test(scene.title, () => play(round, round.companies[i], scene));
});

describe('a round', () => {
  test('[S-31] cancel-all ends what is open, once, and says how much', async () => {
    const round = await world.round();
    const [ann, bob] = world.people(2);
    for (const ticks of [5, 6, 7]) await round.place(ann, 'buy', ticks, 1);
    const kept = await round.place(bob, 'buy', 5, 1);
    assert.deepEqual((await ann.other.delete('/api/orders')).json, { cancelled: 3 });
    assert.deepEqual((await ann.api.delete('/api/orders')).json, { cancelled: 0 });
    const orders = (await ann.api.get('/api/orders')).json.items;
    assert.deepEqual(orders.map(({ status, reason }) => [status, reason]), range(1, 3).map(() => ['cancelled', 'cancelled']));
    assert.equal((await bob.api.get(`/api/orders/${kept.id}`)).json.status, 'open');
    assert.equal((await ann.api.get('/api/portfolio')).json.available_cash, 10_000_000);
  });

  test('[S-27] with the size rule an order must be smaller than the whole of the other side; the most that fits is told', async () => {
    const round = await world.round({ size_rule: true });
    const ann = world.person();
    await round.offer(['sell', 20, 6], ['sell', 30, 4]);
    for (const ticks of [0, 20]) {
      const reply = await ann.api.post('/api/orders', round.order('buy', ticks, 10));
      assert.deepEqual([reply.status, reply.problem, reply.json.max], [422, 'too_large', 9], reply.text);
    }
    assert.equal((await round.place(ann, 'buy', 0, 9)).status, 'filled');
  });

  test('a halted company takes no orders and no amends, but cancels', async () => {
    const round = await world.round();
    const ann = world.person();
    const order = await round.place(ann, 'buy', 10, 1);
    await round.halt(true);
    await round.hit('sell', 1, 1); // behind the halt in the log
    assert.deepEqual(await code(ann.api.post('/api/orders', round.order('buy', 10, 1))), [422, 'halted']);
    assert.deepEqual(await code(ann.api.patch(`/api/orders/${order.id}`, { quantity: 2 })), [422, 'halted']);
    assert.equal((await ann.api.delete(`/api/orders/${order.id}`)).json.status, 'cancelled');
    await round.halt(false);
    await round.hit('sell', 1, 1);
    assert.equal((await round.place(ann, 'buy', 10, 1)).status, 'open');
  });

  test('[S-33][S-36] orders of one price are filled in the order of their verdicts, however fast they came', async () => {
    const round = await world.round({ prices: [50] });
    const people = world.people(12);
    await Promise.all(people.map((person, i) => (i % 2 ? person.api : person.other).post('/api/orders', round.order('buy', 50, 1))));
    await Promise.all(people.map((person) => person.api.get('/api/orders'))); // settled
    const queue = await world.sql('SELECT user_id FROM orders WHERE market_id = $1 AND NOT bot ORDER BY seq', [round.id]);
    await round.hit('sell', 12);
    const fills = await world.sql('SELECT maker FROM trades WHERE market_id = $1 ORDER BY number', [round.id]);
    assert.equal(fills.length, 12);
    assert.deepEqual(fills.map(({ maker }) => maker), queue.map(({ user_id }) => user_id));
  });

  test('[S-34] the average price is weighted by buys, stays through sells, and the holding goes with its last share', async () => {
    const round = await world.round();
    const ann = world.person();
    await round.offer(['sell', 20, 10], ['sell', 30, 5], ['buy', 10, 15]);
    await round.place(ann, 'buy', 20, 10);
    await round.place(ann, 'buy', 30, 5);
    const holding = async () => (await ann.other.get('/api/portfolio')).json.holdings[0];
    const { company, ...own } = await holding();
    assert.deepEqual(own, { quantity: 15, available: 15, average_price: 233333.33, price: 300000, gain_pct: 28.57 });
    assert.deepEqual(company, { id: round.company, name: '', price: 300000, initial_price: 200000, change_pct: 50, halted: false });
    await round.place(ann, 'sell', 10, 6);
    assert.deepEqual([(await holding()).quantity, (await holding()).average_price, (await holding()).gain_pct], [9, 233333.33, -57.14]);
    await round.place(ann, 'sell', 10, 9);
    const empty = (await ann.other.get('/api/portfolio')).json;
    assert.deepEqual([empty.holdings, empty.cash, empty.total_asset, empty.return_pct], [[], 8_000_000, 8_000_000, -20]);
    const fills = (await ann.api.get('/api/fills')).json.items;
    assert.deepEqual(fills.map(({ side, price, quantity }) => [side, price, quantity]), [['sell', 100000, 9], ['sell', 100000, 6], ['buy', 300000, 5], ['buy', 200000, 10]]);
  });

  test('[S-36][S-38][S-39] a storm from both sides through both instances: trades without holes, money and shares conserved, nothing negative', async () => {
    const round = await world.round();
    const people = world.people(10);
    await round.offer(['sell', 20, 200], ['buy', 18, 200]);
    const act = async (person, i) => {
      const api = i % 2 ? person.api : person.other;
      const order = await api.post('/api/orders', round.order(i % 3 ? 'buy' : 'sell', i % 4 ? 17 + (i % 5) : 0, 1 + (i % 3)));
      if (order.json?.status === 'open' && i % 2) await person.other.delete(`/api/orders/${order.json.id}`);
      return order.status;
    };
    const statuses = (await Promise.all(people.map(async (person) => {
      const done = [];
      for (const i of range(1, 20)) done.push(await act(person, i));
      return done;
    }))).flat();
    assert.ok(statuses.every((status) => status === 201 || status === 422), String(new Set(statuses)));
    const portfolios = await Promise.all(people.map((person) => person.api.get('/api/portfolio')));
    for (const { json } of portfolios) assert.ok(json.cash >= 0 && json.available_cash >= 0 && json.available_cash <= json.cash && json.holdings.every(({ quantity, available }) => available >= 0 && available <= quantity), JSON.stringify(json));
    const numbers = (await world.sql('SELECT number FROM trades WHERE company_id = $1 ORDER BY number', [round.company])).map(({ number }) => Number(number));
    assert.deepEqual(numbers, range(1, numbers.length));
    const shares = await world.one('SELECT sum(quantity)::int FROM holdings WHERE company_id = $1', [round.company]);
    const cash = await world.one('SELECT sum(cash)::bigint FROM accounts WHERE market_id = $1', [round.id]);
    assert.equal(shares, 1_000_000);
    assert.equal(Number(cash), 1_000_000_000_000 + 10_000_000 * people.length);
  });
});

test('[S-17] after the close in the log nothing is taken: each order was before it or is refused, whoever asks', async () => {
  const round = await world.round();
  const people = world.people(6);
  let closed = false;
  const replies = [];
  const loops = people.map(async (person, i) => {
    for (let after = 0; after < 2; after += closed ? 1 : 0) replies.push(await (i % 2 ? person.api : person.other).post('/api/orders', round.order('buy', 5, 1, { client_order_id: clientId() })));
  });
  await round.close();
  closed = true;
  await Promise.all(loops);
  const taken = replies.filter(({ status }) => status === 201).map(({ json }) => json.id);
  const refused = replies.filter(({ status }) => status !== 201);
  assert.ok(refused.length >= people.length);
  for (const reply of refused) assert.deepEqual([reply.status, reply.problem], [409, 'market_closed'], reply.text);
  const rows = await world.sql('SELECT id, status, reason FROM orders WHERE id = ANY ($1)', [taken]);
  assert.equal(rows.length, taken.length);
  for (const row of rows) assert.deepEqual([row.status, row.reason], ['cancelled', 'round_closed']);
  const [ann] = people;
  const mine = (await ann.api.get('/api/orders')).json.items[0];
  if (mine) assert.deepEqual(await code(ann.api.delete(`/api/orders/${mine.id}`)), [409, 'order_done']);
  assert.deepEqual((await ann.api.delete('/api/orders')).json, { cancelled: 0 });
  assert.equal((await ann.api.get('/api/portfolio')).json.cash, 10_000_000);
});

test('[S-16] before the start only the house trades: market_closed, and the same order may come again', async () => {
  const round = await world.round({ open: false });
  const ann = world.person();
  const wish = round.order('buy', 5, 1, { client_order_id: clientId() });
  const refusal = await ann.api.post('/api/orders', wish);
  assert.deepEqual([refusal.status, refusal.problem], [409, 'market_closed']);
  await round.start();
  await round.offer(['sell', 20, 1]);
  assert.equal((await ann.api.post('/api/orders', wish)).json.status, 'open');
});

