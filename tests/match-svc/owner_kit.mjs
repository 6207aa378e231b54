// owner_kit.mjs - match-svc alone, markets played by random commands in the log, and what market.events must be like afterwards.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { decodeEvents } from '../support/market.mjs';
import { buildDir, env } from '../support/stack.mjs';
import { readBytes, sendCommands } from '../support/topics.mjs';
import { eventually } from '../support/wait.mjs';
import { ServiceWorld, uuid } from '../support/world.mjs';

export { uuid };

const pick = (list) => list[Math.floor(Math.random() * list.length)];

export class Owners extends ServiceWorld {
  constructor() {
    super('match');
  }
  environment(instance) {
    return { ...super.environment(instance), WS_LISTEN: `127.0.0.1:${instance.ports.ws}`, SNAPSHOT_COMMANDS: '300' };
  }
  /** match-svc as a tool: {status, out, err}. */
  tool(...args) {
    return new Promise((resolve) => {
      execFile(path.join(buildDir, 'bin/match-svc'), args, { env: { ...process.env, MATCH_DB_URL: this.role, KAFKA_BROKERS: env.KAFKA_BROKERS }, maxBuffer: 1 << 28 }, (error, out, err) =>
        resolve({ status: error?.code ?? 0, out, err }),
      );
    });
  }
  /** How many markets each instance holds. */
  held(state = 'open') {
    return Promise.all(this.instances.map((instance) => (instance.runs ? instance.metric(`madang_match_markets{state="${state}"}`).catch(() => 0) : 0)));
  }
}

/** Markets of one test. Commands leave in the order in which they were made, whoever waits for it. */
export class Markets {
  #source = String(BigInt(Date.now()) * 1000n);
  #n = 0;
  #sent = Promise.resolve();
  #since = Date.now() - 10_000; // what market.events held before is not read
  constructor(count) {
    this.markets = Array.from({ length: count }, () => ({ id: uuid(), people: Array.from({ length: 6 }, () => uuid()), bot: uuid(), orders: [] }));
  }
  get ids() {
    return this.markets.map(({ id }) => id);
  }
  command(kind, { id }, more = {}) {
    return { kind, market: id, source: this.#source, n: ++this.#n, ...more };
  }
  send(commands, headers) {
    return (this.#sent = this.#sent.then(() => sendCommands(commands, headers)));
  }
  open() {
    return this.send(
      this.markets.flatMap((market) => [
        this.command('open', market, { seed_cash: 10_000_000, tick: 5, price_min: 5, price_max: 5000, size_rule: false, companies: [{ id: uuid(), initial_price: 500 }] }),
        this.command('deposit', market, { deposit_id: uuid(), account: market.bot, cash: 1_000_000_000, shares: [100_000] }),
        this.command('start', market),
      ]),
    );
  }
  any(market) {
    const dice = Math.random();
    const bot = Math.random() < 0.5;
    const account = bot ? market.bot : pick(market.people);
    if (dice < 0.05) return this.command('cancel_all', market, { account });
    if (dice < 0.15 && market.orders.length) return this.command('cancel', market, { account, order_id: pick(market.orders) });
    if (dice < 0.25 && market.orders.length) return this.command('amend', market, { account, order_id: pick(market.orders), price: 450 + 5 * Math.floor(Math.random() * 21), quantity: 10 });
    const order_id = uuid();
    market.orders.push(order_id);
    return this.command('place', market, {
      order_id, account, bot, company: 0, side: pick(['buy', 'sell']), price: 450 + 5 * Math.floor(Math.random() * 21), quantity: 1 + Math.floor(Math.random() * 40), client_order_id: dice < 0.5 ? `c${order_id}` : '',
    });
  }
  /** Commands of all markets in turn. */
  some(count) {
    return Array.from({ length: count }, (_, i) => this.any(this.markets[i % this.markets.length]));
  }
  play(count) {
    return this.send(this.some(count));
  }
  /** Every market is closed, and has said so. */
  async close(ms = 60000) {
    await this.send(this.markets.map((market) => this.command('close', market)));
    await eventually(ms, async () => [...(await this.told()).values()].every(({ events }) => events.some(({ kind }) => kind === 'closed')), 'every market has said that it is closed', 200);
  }
  /** Of each market what market.events holds: {records, events (doubles dropped), doubles, faults}. */
  async told() {
    const all = new Map(this.ids.map((id) => [id, { records: [], events: [], doubles: 0, faults: [] }]));
    for (const { key, partition, headers, bytes } of await readBytes('market.events', { from: `s@${this.#since}` })) {
      const market = all.get(key);
      if (!market) continue;
      const record = { ...decodeEvents(bytes), partition, headers, bytes };
      const seq = market.events.length;
      if (record.first_seq <= seq) {
        const before = market.records.find(({ first_seq }) => first_seq === record.first_seq);
        market.doubles++;
        if (!before?.bytes.equals(bytes)) market.faults.push(`seq ${record.first_seq} was told otherwise before`);
        continue;
      }
      if (record.first_seq !== seq + 1) market.faults.push(`a gap from ${seq} to ${record.first_seq}`);
      market.records.push(record);
      market.events.push(...record.events);
    }
    return all;
  }
  /** Gapless, without contradictions, and what a replay from the start and from each snapshot tells; how many doubles there are. */
  async check(world) {
    let doubles = 0;
    for (const [id, market] of await this.told()) {
      assert.deepEqual(market.faults, []);
      const replay = await world.tool('--replay', id);
      assert.equal(replay.status, 0, replay.out + replay.err);
      assert.match(replay.out, /the same\n$/);
      doubles += market.doubles;
    }
    return doubles;
  }
}
