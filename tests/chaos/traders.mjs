// traders.mjs - people who trade while everything around them dies, over several rounds.
//
// A Trader is alone with its orders, so after each certain answer it knows how an order stood at that moment. An order is repeated with its
// client_order_id until the answer is certain; where the round ended meanwhile it can't be, and the order may stand or not, but once.
import { Api } from '../support/http.mjs';
import { pause } from '../support/wait.mjs';
import { Actor, Person, STUCK_MS, seen } from './actor.mjs';

const WISHES = ['limit', 'limit', 'limit', 'limit', 'far', 'market', 'market', 'ioc', 'fok', 'post', 'amend', 'cancel', 'cancel', 'all', 'look'];
const PAUSE_MS = 1200; // at most, between two steps
const IN_HAND = 30; // of its open orders, so many are remembered for amend and cancel

/** The round that runs, asked for once for all traders. */
export class Market {
  constructor(doors) {
    this.doors = doors;
    this.rounds = new Map(); // id -> number: all that were seen open
  }
  async live(running) {
    for (let turn = 0; running(); await pause(100)) {
      const api = new Api(this.doors[turn++ % this.doors.length]);
      try {
        const [round, companies] = [await api.get('/api/game/round', { timeout: 3000 }), await api.get('/api/game/companies', { timeout: 3000 })];
        if (round.status !== 200 || companies.status !== 200 || companies.json.round_id !== round.json.id) continue;
        this.round = round.json.phase === 'open' ? { ...round.json, companies: companies.json.items } : undefined;
        if (this.round) this.rounds.set(this.round.id, this.round.number);
      } catch {
        this.round = undefined; // nobody answers just now
      }
    }
  }
}

export class Trader extends Actor {
  constructor(name, seed, doors, person, market) {
    super(name, seed, doors);
    this.person = new Person(this, person);
    this.market = market;
    this.told = new Map(); // order id -> what is certain: {round, client_order_id, status, filled, price, quantity, ended}
    this.unsure = new Map(); // client_order_id -> round: no answer was certain
    this.refused = new Set(); // client_order_ids that the answer said are not taken, without an order's id
    this.count = 0;
  }

  async step() {
    await pause(this.chance() * PAUSE_MS);
    const round = this.market.round;
    if (!round) return;
    const open = [...this.told].filter(([, order]) => !order.ended && order.round === round.id).slice(-IN_HAND);
    const wish = this.pick(WISHES);
    if (wish === 'look') await this.look(open);
    else if (wish === 'all') await this.cancelAll(open);
    else if (['amend', 'cancel'].includes(wish)) await (open.length ? this[wish](...this.pick(open)) : this.place(round, 'limit'));
    else await this.place(round, wish);
  }

  wishOf(round, kind) {
    const company = this.pick(round.companies);
    const side = this.chance() < 0.55 ? 'buy' : 'sell';
    const ticks = kind === 'far' ? 6 + Math.floor(this.chance() * 8) : Math.floor(this.chance() * 5) - 2;
    const price = Math.max(10000, company.price + (side === 'buy' ? -ticks : ticks) * round.tick);
    const wish = { company_id: company.id, side, quantity: 1 + Math.floor(this.chance() * 5), type: kind === 'market' ? 'market' : 'limit' };
    if (kind !== 'market') wish.price = Math.min(10000000, price);
    if (kind === 'ioc' || kind === 'fok') wish.time_in_force = kind;
    if (kind === 'post') wish.post_only = true;
    return { ...wish, client_order_id: `${this.name}-${++this.count}`.replace(/ /g, '-') };
  }

  async place(round, kind) {
    const wish = this.wishOf(round, kind);
    this.unsure.set(wish.client_order_id, round.id);
    let uncertain = 0;
    for (const began = performance.now(); ; this.patient(began, `order ${wish.client_order_id}`)) {
      const { reply, unclear } = await this.person.sure('POST', '/api/orders', wish);
      uncertain += unclear + (reply.status === 202);
      if (reply.status === 202) continue; // it is on its way; repeating it tells more
      if (reply.status === 201) return this.certain(round, wish, reply.json);
      const id = reply.json?.order_id;
      if (id && [409, 422].includes(reply.status)) return this.certain(round, wish, { id, status: 'rejected', filled: 0, quantity: wish.quantity, price: wish.price });
      // Refused before it reached the market. After attempts without an answer, or once the round is over, that says nothing of those.
      const over = reply.status === 404 || reply.problem === 'market_closed';
      if (!over) this.surprise(`order ${JSON.stringify(wish)}: ${reply.status} ${reply.text.slice(0, 200)}`);
      if (over && uncertain === 0 && this.unsure.delete(wish.client_order_id)) this.refused.add(wish.client_order_id);
      return undefined;
    }
  }

  certain(round, wish, order) {
    this.unsure.delete(wish.client_order_id);
    this.note(order.id, { ...order, client_order_id: wish.client_order_id, round: round.id });
  }

  note(id, order) {
    const before = this.told.get(id);
    const ended = ['filled', 'cancelled', 'rejected'].includes(order.status);
    if (before?.ended && (before.status !== order.status || before.filled !== order.filled)) this.surprise(`order ${id} had ended ${before.status} with ${before.filled}, now ${order.status} with ${order.filled}`);
    if (before && order.filled < before.filled) this.surprise(`order ${id} had ${before.filled} filled, now ${order.filled}`);
    this.told.set(id, { ...before, status: order.status, filled: order.filled, quantity: order.quantity, price: order.price, ended, round: order.round ?? before?.round, client_order_id: order.client_order_id ?? before?.client_order_id });
  }

  /** A change is repeated until it is certain. */
  async change(method, path, body) {
    for (const began = performance.now(); ; this.patient(began, `${method} ${path}`)) {
      const { reply } = await this.person.sure(method, path, body);
      if (reply.status !== 202) return reply;
    }
  }

  patient(began, what) {
    if (performance.now() - began < STUCK_MS) return;
    seen.stuck.push(`${this.name}: ${what}: accepted, and never done`);
    throw new Error('stuck');
  }

  async amend(id, order) {
    const body = { price: Math.max(10000, order.price + (Math.floor(this.chance() * 5) - 2) * 10000), quantity: Math.max(1, order.quantity + Math.floor(this.chance() * 5) - 2) };
    const reply = await this.change('PATCH', `/api/orders/${id}`, body);
    if (reply.status === 200) return this.note(id, reply.json);
    if (!['order_done', 'market_closed'].includes(reply.problem) && reply.status !== 422) this.surprise(`amend ${id}: ${reply.status} ${reply.text.slice(0, 200)}`);
    // What an attempt without an answer did is not known: ask.
    return this.ask(id);
  }

  async cancel(id) {
    const reply = await this.change('DELETE', `/api/orders/${id}`);
    if (reply.status === 200) return this.note(id, reply.json);
    if (!['order_done', 'market_closed'].includes(reply.problem)) this.surprise(`cancel ${id}: ${reply.status} ${reply.text.slice(0, 200)}`);
    return this.ask(id);
  }

  async cancelAll(open) {
    const reply = await this.change('DELETE', '/api/orders');
    if (reply.status !== 200 && reply.problem !== 'market_closed') this.surprise(`cancel all: ${reply.status} ${reply.text.slice(0, 200)}`);
    await this.look(open);
  }

  async ask(id) {
    const { reply } = await this.person.sure('GET', `/api/orders/${id}`);
    if (reply.status !== 200) return this.surprise(`order ${id}, which was answered: ${reply.status} ${reply.text.slice(0, 200)}`);
    return this.note(id, reply.json);
  }

  /** What the lists and the portfolio say must fit what is known. */
  async look(open) {
    const { reply } = await this.person.sure('GET', '/api/portfolio');
    if (reply.status !== 200) return this.surprise(`portfolio: ${reply.status} ${reply.text.slice(0, 200)}`);
    const { cash, available_cash, holdings } = reply.json;
    if (!(available_cash >= 0 && available_cash <= cash)) this.surprise(`portfolio: ${available_cash} of ${cash} won available`);
    for (const { quantity, available } of holdings) if (!(available >= 0 && available <= quantity)) this.surprise(`portfolio: ${available} of ${quantity} shares available`);
    if (open.length) await this.ask(this.pick(open)[0]);
    return undefined;
  }
}
