// trading.mjs - the trading game as tests use it: waiting for rounds, placing orders, and judging a market afterwards by its log.
//
// judgeMarket() reads market.events itself and works out what every order, account and place must be, so it does not rest on what order-svc and
// game-svc think; their own tools (order-svc --audit, match-svc --replay) are asked besides.
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { sql } from './db.mjs';
import { Api } from './http.mjs';
import { buildDir, env } from './stack.mjs';
import { readTopic } from './topics.mjs';
import { eventually } from './wait.mjs';

const run = promisify(execFile);

/** The round as game-svc tells it, through any gateway; undefined before the first. */
export async function currentRound(base = env.GATEWAY_URL) {
  const reply = await new Api(base).get('/api/game/round');
  return reply.status === 200 ? reply.json : undefined;
}

/** A round in which trading goes on for `left` ms at least, with its companies. */
export async function openRound({ base = env.GATEWAY_URL, left = 3000, ms = 90000, after = 0 } = {}) {
  return eventually(ms, async () => {
    const round = await currentRound(base);
    if (round?.phase !== 'open' || round.number <= after) return undefined;
    if (round.closes_at && Date.parse(round.closes_at) - Date.parse(round.server_time) < left) return undefined;
    const companies = await new Api(base).get('/api/game/companies');
    return companies.status === 200 && companies.json.round_id === round.id ? { ...round, companies: companies.json.items } : undefined;
  }, `a round that is open for ${left} ms more`, 50);
}

/** Waits until this round is ranked. */
export async function rankedRound(id, ms = 90000) {
  return eventually(ms, async () => (await sql('SELECT * FROM game.rounds WHERE id = $1 AND ranked_at IS NOT NULL', [id]))[0], `round ${id} is ranked`, 100);
}

let count = 0;
export const clientOrderId = () => `t-${process.pid}-${++count}`;

/** The tools of operators: {ok, text}. */
async function tool(service, ...args) {
  try {
    const { stdout, stderr } = await run(path.join(buildDir, 'bin', service), args, { env: { PATH: process.env.PATH, ...env }, timeout: 180000, maxBuffer: 1 << 26 });
    return { ok: true, text: stdout + stderr };
  } catch (error) {
    return { ok: false, text: `${error.message}\n${error.stdout ?? ''}${error.stderr ?? ''}` };
  }
}
export const audit = (market) => tool('order-svc', '--audit', market);
export const replay = (market) => tool('match-svc', '--replay', market);

// ---- what the log says ----

/** Every market of market.events: Map of id -> {rules, events (each once, in order), gaps, phase}. */
export async function markets() {
  const found = new Map();
  for (const { value } of await readTopic('market.events')) {
    if (value === null || value.unreadable !== undefined) continue;
    if (!found.has(value.market)) found.set(value.market, { id: value.market, events: [], last: 0, gaps: [], phase: 'setup' });
    const market = found.get(value.market);
    for (const event of value.events) {
      if (event.seq <= market.last) continue; // a record that was sent twice
      if (event.seq !== market.last + 1) market.gaps.push(`${market.id}: event ${event.seq} follows ${market.last}`);
      market.last = event.seq;
      market.events.push({ ...event, at_ms: value.at_ms });
    }
  }
  for (const market of found.values()) {
    market.rules = market.events.find(({ kind }) => kind === 'opened');
    if (market.events.some(({ kind }) => kind === 'started')) market.phase = 'open';
    if (market.events.some(({ kind }) => kind === 'closed')) market.phase = 'closed';
  }
  return found;
}

const ENDS = { filled: 'filled', cancelled: 'cancelled', unfilled: 'cancelled', self_trade: 'cancelled', round_closed: 'cancelled' };

/** Works the events out: {orders: Map, cash: Map, shares: Map of "account company", trades, final: Map or null, wrong}. */
export function replayed(market) {
  const { rules, events } = market;
  const orders = new Map(), cash = new Map(), shares = new Map(), bots = new Set(), wrong = [...market.gaps];
  const trades = [], numbers = new Map();
  let final = null, lastPrices;
  const share = (account, company, by) => {
    const key = `${account} ${company}`, now = (shares.get(key) ?? 0) + by;
    if (now < 0) wrong.push(`${account} has ${now} shares of company ${company}`);
    shares.set(key, now);
  };
  const pay = (account, by) => {
    const now = (cash.get(account) ?? 0) + by;
    if (now < 0) wrong.push(`${account} has ${now} won`);
    cash.set(account, now);
  };
  const known = (account, bot) => {
    if (bot) bots.add(account);
    if (!cash.has(account)) cash.set(account, bot ? 0 : rules.seed_cash);
  };
  for (const event of events) {
    if (event.kind === 'deposited') {
      bots.add(event.account);
      pay(event.account, event.cash);
      event.shares.forEach((n, company) => share(event.account, company, n));
    } else if (event.kind === 'accepted') {
      if (orders.has(event.order_id)) wrong.push(`order ${event.order_id} was accepted twice`);
      if (lastPrices) wrong.push(`order ${event.order_id} was accepted after the close`);
      known(event.account, event.bot);
      orders.set(event.order_id, { ...event, status: 'open', filled: 0, paid: 0 });
    } else if (event.kind === 'rejected') {
      // A refused amendment or cancellation says nothing of the order.
      if (event.command === 'place' && !orders.has(event.order_id)) orders.set(event.order_id, { ...event, status: 'rejected', filled: 0, paid: 0 });
    } else if (event.kind === 'amended') {
      Object.assign(orders.get(event.order_id), { price: event.price, quantity: event.quantity });
    } else if (event.kind === 'done') {
      const order = orders.get(event.order_id);
      if (order.status !== 'open') wrong.push(`order ${event.order_id} ended twice`);
      order.status = ENDS[event.reason] ?? `done for ${event.reason}`;
    } else if (event.kind === 'trade') {
      const due = (numbers.get(event.company) ?? 0) + 1;
      if (event.number !== due) wrong.push(`company ${event.company}: trade ${event.number} where ${due} was due`);
      numbers.set(event.company, event.number);
      trades.push(event);
      const [buyer, seller] = event.taker_side === 'buy' ? [event.taker, event.maker] : [event.maker, event.taker];
      pay(buyer, -event.price * event.quantity);
      pay(seller, event.price * event.quantity);
      share(buyer, event.company, event.quantity);
      share(seller, event.company, -event.quantity);
      for (const id of [event.maker_order, event.taker_order]) {
        const order = orders.get(id);
        order.filled += event.quantity;
        order.paid += event.price * event.quantity;
        if (order.filled > order.quantity) wrong.push(`order ${id}: ${order.filled} of ${order.quantity} filled`);
      }
    } else if (event.kind === 'closed') {
      lastPrices = event.last_prices;
      for (const order of orders.values()) if (order.status === 'open') order.status = 'cancelled'; // round_closed
      for (const [key, n] of shares) {
        const [account, company] = key.split(' ');
        cash.set(account, cash.get(account) + n * lastPrices[company]);
      }
    } else if (event.kind === 'accounts') {
      final ??= new Map();
      for (const { account, cash: told } of event.accounts) {
        if (final.has(account)) wrong.push(`${account} has two final accounts`);
        final.set(account, told);
        known(account, bots.has(account)); // who had every order refused has an account all the same
        if (told !== cash.get(account)) wrong.push(`${account} ends with ${told} won, its trades make ${cash.get(account)}`);
      }
    }
  }
  return { orders, cash, shares, bots, trades, final, wrong };
}

/** Hundredths of a percent, halves away from zero. */
function change(now, then) {
  const difference = BigInt(now) - BigInt(then), size = difference < 0n ? -difference : difference;
  const rounded = (size * 20000n + BigInt(then)) / (2n * BigInt(then));
  return Number(difference < 0n ? -rounded : rounded);
}

/** user -> {place, return_bp} of those who took part. */
export function placesOf(market, state) {
  const people = new Set([...state.orders.values()].filter((order) => !order.bot && order.status !== 'rejected').map(({ account }) => account));
  const list = [...people].map((user) => ({ user, return_bp: change(state.final.get(user), market.rules.seed_cash) }));
  list.sort((a, b) => b.return_bp - a.return_bp);
  return new Map(list.map(({ user, return_bp }) => [user, { place: list.filter((other) => other.return_bp > return_bp).length + 1, return_bp }]));
}

// ---- verdicts ----

/** What is wrong with a market: a list, empty when its log, order-svc's tables, the audit and (once it is ranked) the ranking agree. */
export async function judgeMarket(market, { tools = true } = {}) {
  const state = replayed(market);
  const wrong = [...state.wrong];
  const id = market.id;

  const rows = await sql('SELECT id, user_id, status, quantity, filled, paid, price FROM orders.orders WHERE market_id = $1', [id]);
  const stored = new Map(rows.map((row) => [row.id, row]));
  for (const [order_id, order] of state.orders) {
    const row = stored.get(order_id);
    const told = [order.account, order.status, order.quantity, order.filled, order.paid].join(' ');
    const kept = row && [row.user_id, row.status, row.quantity, row.filled, row.paid].join(' ');
    if (told !== kept) wrong.push(`order ${order_id}: the log says ${told}, order-svc ${kept}`);
  }
  for (const order_id of stored.keys()) if (!state.orders.has(order_id)) wrong.push(`order ${order_id} is in no log`);

  const [{ n }] = await sql('SELECT count(*) AS n FROM orders.trades WHERE market_id = $1', [id]);
  if (n !== state.trades.length) wrong.push(`${n} trades are stored, the log has ${state.trades.length}`);
  for (const row of await sql('SELECT company_id, sum(amount) AS sum FROM orders.ledger WHERE market_id = $1 GROUP BY 1 HAVING sum(amount) <> 0', [id]))
    wrong.push(`the ledger of ${row.company_id ?? 'cash'} sums to ${row.sum}`);
  for (const row of await sql('SELECT seq, company_id, sum(amount) AS sum FROM orders.ledger WHERE market_id = $1 GROUP BY 1, 2 HAVING sum(amount) <> 0 LIMIT 5', [id]))
    wrong.push(`the ledger lines of event ${row.seq} sum to ${row.sum}`);

  const ranked = (await sql('SELECT ranked_at FROM game.rounds WHERE id = $1', [id]))[0]?.ranked_at;
  if (ranked) {
    const results = new Map((await sql('SELECT user_id, place, return_bp FROM game.results WHERE round_id = $1', [id])).map((row) => [row.user_id, row]));
    const places = placesOf(market, state);
    for (const [user, { place, return_bp }] of places) {
      const row = results.get(user);
      if (row?.place !== place || row?.return_bp !== return_bp)
        wrong.push(`${user}: place ${row?.place} with ${row?.return_bp}, the log makes ${place} with ${return_bp}`);
    }
    for (const user of results.keys()) if (!places.has(user)) wrong.push(`${user} is ranked and took no part`);
  }
  if (tools && market.phase === 'closed')
    for (const [name, look] of [['audit', audit], ['replay', replay]]) {
      const { ok, text } = await look(id);
      if (!ok) wrong.push(`${name} of ${id}: ${text.trim().slice(-1500)}`);
    }
  return wrong.map((line) => (line.includes(id) ? line : `market ${id}: ${line}`));
}

/** Waits until order-svc has worked in all of market.events. */
export async function allSettled(ms = 60000) {
  return eventually(ms, async () => {
    for (const [id, { last }] of await markets()) {
      const [row] = await sql('SELECT seq FROM orders.markets WHERE id = $1', [id]);
      if (!row || row.seq < last) throw new Error(`market ${id} has ${last} events, ${row?.seq} are settled`);
    }
    return true;
  }, 'all events are settled', 250);
}
