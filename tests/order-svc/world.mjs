// world.mjs - order-svc with a real match-svc beside it (tests/support/world.mjs): two instances of each; rounds are opened, started and closed by commands in the market's log, as game-svc sends them.
import assert from 'node:assert/strict';
import { Api } from '../support/http.mjs';
import { sendCommands } from '../support/topics.mjs';
import { eventually } from '../support/wait.mjs';
import { ServiceWorld, oldUuid, uuid } from '../support/world.mjs';

export { all } from '../support/people.mjs';
export { oldUuid, uuid };

export const SEED_CASH = 10_000_000;
export const TICK = 10_000;
export const PRICE_MAX = 10_000_000;

/** Waits for verdicts as long as one may, unless it says otherwise; asks again while settlement is behind what the caller wrote (503 not_yet), as clients do. */
class Patient extends Api {
  call(method, path, { headers = {}, ...options } = {}) {
    return super.call(method, path, { ...options, headers: method === 'GET' ? headers : { Prefer: 'wait=10', ...headers } });
  }
  get(path, options) {
    return eventually(20000, async () => {
      const reply = await super.get(path, options);
      return reply.problem !== 'not_yet' && reply;
    }, `${path} is settled`);
  }
}

let clients = 0;
export const clientId = () => `o-${process.pid}-${++clients}`;
export const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

export class World extends ServiceWorld {
  #names = 0;
  constructor() {
    super('order', 'orders');
  }
  /** `match`: how many owners of markets; 0: none, so that no verdict comes. */
  async start({ settings = {}, instances = 2, match = 1 } = {}) {
    if (match) this.match = await new ServiceWorld('match').open({ instances: match });
    return this.open({ settings, instances });
  }
  async stop() {
    await this.running?.send({ kind: 'close' }); // no market is left open in the topics
    try {
      await super.stop();
    } finally {
      await this.match?.stop();
    }
  }
  /** Somebody new to the game: `api` talks to the first instance, `other` to the last. */
  person(more = {}) {
    const handle = `o${process.pid}.${++this.#names}`;
    const person = { id: oldUuid(), sid: uuid(), handle, nickname: handle, role: 'user', version: 1, ...more };
    person.token = this.auth.token(person);
    person.api = new Patient(this.instances[0].url, person.token);
    person.other = new Patient(this.instances.at(-1).url, person.token);
    return person;
  }
  people(count) {
    return range(1, count).map(() => this.person());
  }
  /** A round that is open (or, with `open: false`, set up), and settled so far; the companies' prices in ticks. The one before is closed: one market runs at a time. */
  async round({ prices = [20, 30, 40], open = true, ...rules } = {}) {
    await this.running?.send({ kind: 'close' });
    const round = (this.running = new Round(this, prices, rules));
    await round.open();
    if (open) await round.start();
    await round.reached(open ? 'open' : 'set_up');
    return round;
  }
}

let sources = 0;

/** One market. `house` is the bot who owns plenty and offers what a test wants to meet. */
export class Round {
  constructor(world, prices, rules) {
    this.world = world;
    this.id = uuid();
    this.source = String(BigInt(Date.now()) * 1000n + BigInt(++sources));
    this.n = 0;
    this.house = uuid();
    this.rules = { seed_cash: SEED_CASH, tick: TICK, price_min: TICK, price_max: PRICE_MAX, size_rule: false, ...rules };
    this.companies = prices.map((ticks) => ({ id: uuid(), initial_price: ticks * TICK }));
  }
  /** The first company's id. */
  get company() {
    return this.companies[0].id;
  }
  command(kind, more = {}) {
    return { kind, market: this.id, source: this.source, n: ++this.n, ...more };
  }
  send(...commands) {
    return sendCommands(commands.map(({ kind, ...more }) => this.command(kind, more)));
  }
  open() {
    const { rules, companies, house } = this;
    return this.send({ kind: 'open', ...rules, companies }, { kind: 'deposit', deposit_id: uuid(), account: house, cash: 1_000_000_000_000, shares: companies.map(() => 1_000_000) });
  }
  start() {
    return this.send({ kind: 'start' });
  }
  async close() {
    await this.send({ kind: 'close' });
    return this.reached('closed');
  }
  halt(on, company = 0) {
    return this.send({ kind: 'halt', company, on });
  }
  /** The house's resting orders: [side, ticks, quantity, company = 0], ...; settled when it returns. */
  async offer(...orders) {
    const commands = orders.map(([side, ticks, quantity, company = 0]) => ({
      kind: 'place', order_id: uuid(), account: this.house, company, side, type: 'limit', tif: 'gtc', price: ticks * TICK, quantity, bot: true,
    }));
    await this.send(...commands);
    await this.has(commands.at(-1).order_id);
    return commands.map((command) => command.order_id);
  }
  /** Takes what rests, as the house. */
  async hit(side, quantity, company = 0) {
    const order_id = uuid();
    await this.send({ kind: 'place', order_id, account: this.house, company, side, type: 'market', tif: 'ioc', price: 0, quantity, bot: true });
    await this.has(order_id);
  }
  has(order) {
    return eventually(15000, async () => (await this.world.one('SELECT status FROM orders WHERE id = $1', [order])) !== undefined, 'the order is settled');
  }
  /** Waits until this phase is settled. */
  reached(phase) {
    return eventually(15000, async () => (await this.world.one('SELECT phase FROM markets WHERE id = $1', [this.id])) === phase, `the round is ${phase}`);
  }
  /** The body of an order of this round. */
  order(side, ticks, quantity, more = {}) {
    return { company_id: this.company, side, type: ticks ? 'limit' : 'market', quantity, ...(ticks && { price: ticks * TICK }), ...more };
  }
  /** An order that was taken; its JSON. */
  async place(person, side, ticks, quantity, more = {}) {
    const reply = await person.api.post('/api/orders', this.order(side, ticks, quantity, more));
    assert.equal(reply.status, 201, reply.text);
    return reply.json;
  }
}

/** [status, code] of a refusal. */
export const code = async (call) => (({ status, problem }) => [status, problem])(await call);
