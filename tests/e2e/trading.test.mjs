// The trading game through two gateways and two of each service, in short rounds (tests/run.sh): what a player, a bot writer and a stranger see.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import WebSocket from 'ws';
import { sql } from '../support/db.mjs';
import { Api } from '../support/http.mjs';
import { all, newcomer } from '../support/people.mjs';
import { crash, gateways, instances } from '../support/stack.mjs';
import { Stomp } from '../support/stomp.mjs';
import { allSettled, clientOrderId, currentRound, judgeMarket, markets, openRound, rankedRound } from '../support/trading.mjs';
import { eventually, random } from '../support/wait.mjs';

const doors = gateways();
const door = (n) => doors[n % doors.length];
const open = [];
after(() => open.forEach((socket) => (socket.close ?? socket.terminate).call(socket)));

/** One person, spoken for at alternate doors: what one wrote is read at another. */
class Player {
  static async make() {
    const player = new Player();
    player.person = await newcomer();
    player.id = player.person.id;
    player.apis = doors.map((base) => new Api(base, player.person.access));
    player.turn = 0;
    return player;
  }
  get api() {
    return this.apis[this.turn++ % this.apis.length];
  }
  order(company, more, options) {
    return this.api.post('/api/orders', { company_id: company.id, client_order_id: clientOrderId(), type: 'limit', ...more }, options);
  }
  portfolio() {
    return this.api.get('/api/portfolio').then(({ json }) => json);
  }
}

/** The feed as a viewer sees it: frames of one channel, the book kept by snapshot and deltas. */
class Viewer {
  constructor(base, company, channels = ['book', 'trades', 'ticker']) {
    this.company = company;
    this.frames = [];
    this.book = undefined;
    this.broken = [];
    this.socket = new WebSocket(`${base.replace(/^http/, 'ws')}/ws/market`);
    open.push(this.socket);
    this.socket.on('message', (data) => this.hear(JSON.parse(data)));
    this.ready = new Promise((resolve, reject) => this.socket.on('open', resolve).on('error', reject)).then(() => {
      for (const channel of channels) this.socket.send(JSON.stringify({ op: 'subscribe', channel, company }));
    });
  }
  of(channel) {
    return this.frames.filter((frame) => frame.channel === channel);
  }
  hear(frame) {
    this.frames.push(frame);
    if (frame.channel !== 'book' || !['snapshot', 'delta'].includes(frame.type)) return;
    if (frame.type === 'snapshot') this.book = { bids: new Map(frame.bids), asks: new Map(frame.asks) };
    else if (this.book) {
      if (frame.prev_seq !== this.seq) this.broken.push(`delta ${frame.seq} follows ${frame.prev_seq}, the last was ${this.seq}`);
      for (const side of ['bids', 'asks']) for (const [price, quantity] of frame[side]) quantity ? this.book[side].set(price, quantity) : this.book[side].delete(price);
    }
    this.seq = frame.seq;
  }
  levels(side, depth) {
    return [...this.book[side]].sort(([a], [b]) => (side === 'bids' ? b - a : a - b)).slice(0, depth);
  }
}

test('[S-11][S-12] who has not traded has the seed; the round, its companies and the time left are there for everybody', async () => {
  const player = await Player.make();
  const round = await openRound({ left: 2000 });
  const portfolio = await player.portfolio();
  assert.deepEqual([portfolio.cash, portfolio.available_cash, portfolio.total_asset, portfolio.return_pct, portfolio.tier, portfolio.holdings], [round.seed_cash, round.seed_cash, round.seed_cash, 0, 'bronze', []]);
  assert.equal(round.companies.length, 3);
  for (const { price, initial_price } of round.companies) assert.ok(price >= 10000 && initial_price >= 100000 && initial_price <= 500000 && initial_price % 10000 === 0);
  assert.equal((await new Api(door(1)).get('/api/portfolio')).problem, 'token_missing');
});

test('[S-25][S-26][S-29][S-32][S-34][S-35] orders of each kind: the verdict is in the reply, and what follows is on every instance and on the chat socket', async () => {
  const player = await Player.make();
  const events = [];
  const stomp = new Stomp(door(1), {
    token: player.person.access,
    onFrame: ({ command, headers, body }) => command === 'MESSAGE' && headers.destination === '/user/queue/events' && events.push(JSON.parse(body)),
  });
  open.push(stomp);
  await stomp.connect();
  await stomp.receipt('SUBSCRIBE', { id: 'mine', destination: '/user/queue/events' });
  const { companies, seed_cash, tick } = await openRound({ left: 13000 });
  const company = companies.find(({ price }) => price <= 250000) ?? companies[0];
  const book = async () => (await player.api.get(`/api/market/${company.id}/book`)).json;

  const bought = await player.order(company, { side: 'buy', type: 'market', quantity: 2 });
  assert.deepEqual([bought.status, bought.json.status, bought.json.filled, bought.json.reason], [201, 'filled', 2, 'filled'], bought.text);
  const paid = Math.round(bought.json.average_price * 2);
  const portfolio = await player.portfolio();
  assert.deepEqual([portfolio.cash, portfolio.holdings.length, portfolio.holdings[0].quantity, portfolio.holdings[0].average_price], [seed_cash - paid, 1, 2, bought.json.average_price], 'seen at the other door at once');

  const lowest = company.initial_price / 20000 >= 2 ? 20000 : 10000;
  const resting = await player.order(company, { side: 'buy', price: lowest, quantity: 3 });
  assert.deepEqual([resting.status, resting.json.status, resting.json.remaining], [201, 'open', 3], resting.text);
  assert.equal((await player.portfolio()).available_cash, seed_cash - paid - 3 * lowest, 'reserved');
  const listed = await player.api.get('/api/orders?status=open');
  assert.deepEqual(listed.json.items.map(({ id }) => id), [resting.json.id]);

  const amended = await player.api.patch(`/api/orders/${resting.json.id}`, { quantity: 2 });
  assert.deepEqual([amended.status, amended.json.quantity, amended.json.id], [200, 2, resting.json.id], amended.text);
  const cancelled = await player.api.delete(`/api/orders/${resting.json.id}`);
  assert.deepEqual([cancelled.status, cancelled.json.status], [200, 'cancelled'], cancelled.text);
  assert.equal((await player.api.delete(`/api/orders/${resting.json.id}`)).problem, 'order_done');
  assert.equal((await player.portfolio()).available_cash, seed_cash - paid, 'given back');

  const unfilled = await player.order(company, { side: 'buy', price: lowest, quantity: 1, time_in_force: 'ioc' });
  assert.deepEqual([unfilled.status, unfilled.json.status, unfilled.json.reason], [201, 'cancelled', 'unfilled'], unfilled.text);
  const killed = await player.order(company, { side: 'buy', price: lowest, quantity: 1, time_in_force: 'fok' });
  assert.deepEqual([killed.status, killed.json.status, killed.json.reason], [201, 'cancelled', 'unfilled'], killed.text);
  const cross = await player.order(company, { side: 'buy', price: (await book()).asks[0][0] + 5 * tick, quantity: 1, post_only: true });
  assert.deepEqual([cross.status, cross.problem], [422, 'would_cross'], cross.text);
  assert.equal((await player.api.get(`/api/orders/${cross.json.order_id}`)).json.status, 'rejected');
  for (const [wish, status, code] of [
    [{ side: 'buy', price: 10000000, quantity: 900 }, 422, 'insufficient_cash'],
    [{ side: 'sell', price: 10000000, quantity: 900 }, 422, 'insufficient_shares'],
    [{ side: 'buy', price: lowest + 1, quantity: 1 }, 422, 'bad_tick'],
    [{ side: 'buy', price: 9000, quantity: 1 }, 400, 'invalid_fields'],
    [{ side: 'buy', price: -10000, quantity: 1 }, 400, 'invalid_fields'],
    [{ side: 'buy', price: lowest, quantity: 0 }, 400, 'invalid_fields'],
    [{ side: 'hold', price: lowest, quantity: 1 }, 400, 'invalid_fields'],
  ]) {
    const reply = await player.order(company, wish);
    assert.equal(reply.status, status, `${JSON.stringify(wish)}: ${reply.text}`);
    if (status === 422) assert.equal(reply.problem, code, reply.text);
  }

  const same = clientOrderId();
  const [once, twice] = [await player.order(company, { side: 'buy', price: lowest, quantity: 1, client_order_id: same }), await player.order(company, { side: 'buy', price: lowest, quantity: 1, client_order_id: same })];
  assert.deepEqual([once.status, twice.status, twice.json.id], [201, 201, once.json.id], 'a repeated client_order_id is the same order');
  const async_ = await player.order(company, { side: 'buy', price: lowest, quantity: 1 }, { headers: { Prefer: 'respond-async' } });
  assert.equal(async_.status, 202, async_.text);
  assert.equal((await player.api.get(`/api/orders/${async_.json.id}`)).json.status, 'open');
  const own = await player.order(company, { side: 'sell', price: lowest, quantity: 1, time_in_force: 'ioc' });
  assert.equal(own.status, 201, own.text); // others bid more: it never reaches the own order
  const swept = await player.api.delete('/api/orders');
  assert.deepEqual([swept.status, swept.json.cancelled], [200, 2], swept.text);

  const fills = await all(player.apis[0], '/api/fills');
  assert.equal(fills.filter(({ order_id }) => order_id === bought.json.id).reduce((sum, { price, quantity }) => sum + price * quantity, 0), paid);
  // The chat socket told of the same, and of nobody else's.
  await eventually(10000, () => events.some((event) => JSON.stringify(event).includes(bought.json.id)) && events.some((event) => JSON.stringify(event).includes(resting.json.id)), 'fills and order changes on /user/queue/events');
});

test('[S-42][S-43][S-46] book, trades and ticker on /ws/market move and agree with REST by their sequence; nobody can speak into them', async () => {
  const [buyer, seller] = [await Player.make(), await Player.make()];
  const { companies, tick } = await openRound({ left: 13000 });
  const company = companies[0];
  const viewers = doors.map((base) => new Viewer(base, company.id));
  await Promise.all(viewers.map(({ ready }) => ready));
  await eventually(10000, () => viewers.every((viewer) => viewer.book), 'a snapshot at each door');
  const trades = [];
  for (let i = 0; i < 4; i++) trades.push(await buyer.order(company, { side: 'buy', type: 'market', quantity: 1 }));
  const quiet = await seller.order(company, { side: 'buy', price: 10000, quantity: 7 });
  for (const { status, text } of [...trades, quiet]) assert.equal(status, 201, text);

  // The same market sequence, so the same book: bots trade on, so a pair is looked for that fits.
  for (const viewer of viewers) {
    const rest = new Api(door(viewers.indexOf(viewer) + 1));
    await eventually(10000, async () => {
      const { json } = await rest.get(`/api/market/${company.id}/book?depth=11`);
      if (viewer.seq !== json.seq) return false;
      assert.deepEqual([viewer.levels('bids', 11), viewer.levels('asks', 11)], [json.bids, json.asks]);
      return true;
    }, 'feed and REST at one sequence', 5);
    assert.deepEqual(viewer.broken, []);
    const stored = (await new Api(door(0)).get(`/api/trades?company=${company.id}&limit=100`)).json.items;
    const told = viewer.of('trades').flatMap((frame) => frame.trades);
    await eventually(10000, () => viewer.of('trades').flatMap((frame) => frame.trades).length >= 4, 'the trades');
    for (const trade of told) assert.deepEqual(trade, stored.find(({ seq }) => seq === trade.seq) ?? trade);
    const numbers = viewer.of('trades').flatMap((frame) => frame.trades.map(({ seq }) => seq));
    assert.deepEqual(numbers, numbers.map((_, i) => numbers[0] + i), 'every trade once, in order');
    assert.ok(viewer.of('ticker').length >= 1);
  }
  const bookLevel = (await new Api(door(1)).get(`/api/market/${company.id}/book?depth=64`)).json.bids.find(([price]) => price === 10000);
  assert.ok(bookLevel === undefined || bookLevel[1] >= 7);
  // What a viewer says reaches nobody.
  const [talker, listener] = viewers;
  const before = listener.frames.length;
  talker.socket.send(JSON.stringify({ channel: 'trades', company: company.id, seq: 1, trades: [{ seq: 999999, price: 1, quantity: 1 }] }));
  await eventually(10000, () => talker.frames.some(({ type }) => type === 'error'), 'a refusal');
  assert.ok(listener.frames.slice(before).every((frame) => !JSON.stringify(frame).includes('999999')));

  const candles = await eventually(10000, async () => {
    const { items } = (await new Api(door(0)).get(`/api/candles?company=${company.id}&interval=1s`)).json;
    return items.some(({ volume }) => volume > 0) && items;
  }, 'candles with the trades');
  assert.ok(candles.length >= 1 && candles.every((one, i) => i === 0 || Date.parse(one.at) - Date.parse(candles[i - 1].at) === 1000), 'no gaps');
  assert.ok(candles.every(({ open: o, high, low, close }) => low <= o && low <= close && high >= o && high >= close && o % tick === 0));
});

test('[S-23][S-24] news are told, and the bots follow them', async () => {
  const { id, companies } = await openRound({ left: 10000 });
  const news = await eventually(20000, async () => {
    const { json } = await new Api(door(0)).get('/api/game/news');
    return json?.round_id === id && json.items.length > 0 && json.items.at(-1);
  }, 'a news line');
  assert.ok(companies.some((company) => company.id === news.company_id) && news.text.en && news.text.ko);
  const followers = await eventually(20000, async () => {
    const rows = await sql("SELECT side, sum(quantity) AS n FROM orders.orders WHERE market_id = $1 AND company_id = $2 AND bot AND type = 'market' AND created_at >= $3 GROUP BY side", [id, news.company_id, news.at]);
    return rows.length > 0 && rows;
  }, 'market orders of bots after the news');
  assert.ok(followers.every(({ n }) => n > 0));
});

test('[S-46] an order of another user is neither seen nor touched', async () => {
  const [owner, stranger] = [await Player.make(), await Player.make()];
  const { companies } = await openRound({ left: 10000 });
  const { json } = await owner.order(companies[0], { side: 'buy', price: 10000, quantity: 1 });
  for (const [method, body] of [['get'], ['patch', { quantity: 2 }], ['delete']]) {
    const reply = await stranger.api[method](`/api/orders/${json.id}`, body);
    assert.equal(reply.status, 404, `${method}: ${reply.text}`);
  }
  assert.equal((await stranger.api.get('/api/orders')).json.items.length, 0);
  assert.deepEqual((await stranger.api.delete('/api/orders')).json, { cancelled: 0 });
  const kept = await owner.api.get(`/api/orders/${json.id}`);
  assert.deepEqual([kept.json.status, kept.json.quantity], ['open', 1]);
  assert.equal((await stranger.portfolio()).holdings.length, 0);
});

test('[S-15][S-16][S-17][S-47][S-48][S-49] a round closes at one place of the log: no order behind it, shares at the last price, one ranking, one notice; then the next', async () => {
  const players = await Promise.all(Array.from({ length: 4 }, () => Player.make()));
  const round = await openRound({ left: 10000 });
  for (const [i, player] of players.entries())
    for (let n = 0; n <= i; n++) assert.equal((await player.order(round.companies[n % 3], { side: 'buy', type: 'market', quantity: 1 })).status, 201);
  // Orders until the doors close: the last answers fall on both sides of the close.
  let closed = 0;
  await eventually(40000, async () => {
    const reply = await players[0].order(round.companies[0], { side: 'buy', price: 10000, quantity: 1 });
    if (reply.status === 201) return false;
    assert.deepEqual([reply.status, reply.problem], [409, 'market_closed'], reply.text);
    return ++closed >= 3;
  }, 'the market closes', 1);
  await rankedRound(round.id);
  await allSettled();
  const market = (await markets()).get(round.id);
  const places = market.events.findIndex(({ kind }) => kind === 'closed');
  assert.equal(market.events.filter(({ kind }) => kind === 'closed').length, 1);
  assert.ok(market.events.slice(places).every(({ kind }) => ['closed', 'accounts', 'hash', 'rejected', 'repeated'].includes(kind)), 'nothing is done behind the close');
  assert.deepEqual(await judgeMarket(market), []);

  const ranking = (await players[0].api.get('/api/game/rankings?by=return')).json;
  const report = (await players[1].api.get(`/api/game/rounds/${round.id}`)).json;
  assert.ok(ranking.round.number >= round.number && report.participants >= 4 && report.me.place >= 1);
  assert.equal(report.companies.length, 3);
  for (const player of players) {
    const { items } = await eventually(20000, async () => {
      const { json } = await player.api.get('/api/notifications');
      return json.items.filter(({ kind }) => kind === 'round_result').length > 0 && json;
    }, 'the result in the inbox');
    assert.equal(items.filter(({ kind, data }) => kind === 'round_result' && data.round.id === round.id).length, 1);
  }
  const next = await openRound({ after: round.number, left: 1000 });
  assert.ok(next.id !== round.id);
  const fresh = await players[3].portfolio();
  assert.deepEqual([fresh.cash, fresh.holdings.length], [next.seed_cash, 0], 'everybody begins anew');
});

test('[S-18][S-37][S-54] kill -9 of every match-svc, order-svc and game-svc while orders flow: each order once, rounds go on', async () => {
  const players = await Promise.all(Array.from({ length: 6 }, () => Player.make()));
  const chance = random(7);
  const told = [];
  const rounds = new Set();
  let running = true;
  const trade = async (player) => {
    while (running) {
      const round = await currentRound(door(player.turn)).catch(() => undefined);
      const companies = round?.phase === 'open' && (await player.api.get('/api/game/companies').catch(() => undefined))?.json;
      if (!companies || companies.round_id !== round.id) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        continue;
      }
      const company = companies.items[Math.floor(chance() * 3)];
      const wish = { side: chance() < 0.5 ? 'buy' : 'sell', price: company.price, quantity: 1 + Math.floor(chance() * 3), client_order_id: clientOrderId() };
      const reply = await player.order(company, wish).catch(() => undefined);
      const id = reply?.status === 201 ? reply.json.id : reply?.json?.order_id;
      if (!id) continue;
      rounds.add(round.id);
      told.push({ id, status: reply.status === 201 ? reply.json.status : 'rejected', filled: reply.json.filled ?? 0 });
    }
  };
  const lives = players.map(trade);
  for (const service of ['match-svc', 'order-svc', 'game-svc'])
    for (const instance of instances(service)) {
      const before = told.length;
      await crash(instance, 60000);
      await eventually(60000, () => told.length > before + 5, `orders are answered after the end of ${instance.name}`);
    }
  running = false;
  await Promise.all(lives);
  for (const id of rounds) await rankedRound(id, 120000);
  await allSettled(60000);
  const rows = new Map((await sql('SELECT id, status, filled FROM orders.orders WHERE id = ANY($1)', [told.map(({ id }) => id)])).map((row) => [row.id, row]));
  for (const { id, status, filled } of told) {
    const row = rows.get(id);
    assert.ok(row, `order ${id} is nowhere`);
    if (['open', 'partial'].includes(status)) assert.ok(['filled', 'cancelled'].includes(row.status) && row.filled >= filled, `${id}: ${status}, then ${row.status}`);
    else assert.deepEqual([row.status, row.filled], [status, filled], id);
  }
  const found = await markets();
  for (const id of rounds) assert.deepEqual(await judgeMarket(found.get(id)), []);
});
