// market_play.mjs - a market that a test plays: its commands go into the market's log as other services send them, a real match-svc answers.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { decodeEvents } from './market.mjs';
import { env } from './stack.mjs';
import { readBytes, sendCommands } from './topics.mjs';
import { uuid } from './world.mjs';

export const SEED_CASH = 10_000_000;
let sources = 0;

/** `companies`: [{id, initial_price}]. `house` is a bot who owns plenty. */
export class Market {
  constructor(companies, id = uuid()) {
    this.id = id;
    this.companies = companies;
    this.house = uuid();
    this.source = String(BigInt(Date.now()) * 1000n + BigInt(process.pid % 1000) + BigInt(++sources) * 1_000_000_000_000_000n);
    this.n = 0;
    this.since = Date.now() - 120_000; // a round that was opened a moment ago, too; what the topic held before is not read
  }
  command(kind, more = {}) {
    return { kind, market: this.id, source: this.source, ...more };
  }
  /** In this order: each gets its number now. */
  send(...commands) {
    return sendCommands(commands.map((command) => ({ ...command, n: ++this.n })));
  }
  /** Of a bot: it owns plenty from now on. */
  deposit(account = this.house) {
    return this.command('deposit', { deposit_id: uuid(), account, cash: 1_000_000_000_000, shares: this.companies.map(() => 1_000_000) });
  }
  open() {
    const rules = { seed_cash: SEED_CASH, tick: 10_000, price_min: 10_000, price_max: 10_000_000, size_rule: false, companies: this.companies };
    return this.send(this.command('open', rules), this.command('start'), this.deposit());
  }
  /** A limit order, or without a price a market order; order_id is made. */
  place(account, side, quantity, price, more = {}) {
    return this.command('place', { order_id: uuid(), account, company: 0, side, type: price ? 'limit' : 'market', price, quantity, bot: account === this.house, ...more });
  }
  cancel({ order_id, account }) {
    return this.command('cancel', { order_id, account });
  }
  close() {
    return this.send(this.command('close'));
  }
  /** Its records on market.events so far, as they are. */
  async records() {
    return (await readBytes('market.events', { from: `s@${this.since}` })).filter(({ key }) => key === this.id);
  }
  /** Its events so far, one after another; doubles left out. */
  async events() {
    const events = (await this.records()).flatMap(({ bytes }) => decodeEvents(bytes).events);
    return [...new Map(events.map((event) => [event.seq, event])).values()].sort((a, b) => a.seq - b.seq);
  }
}

/** The records once more onto market.events, byte for byte, as an owner does who does not know whether they went. */
export function again(records) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'madang-records-'));
  try {
    for (const { key, bytes, headers } of records) {
      const file = path.join(folder, 'record');
      fs.writeFileSync(file, bytes);
      const named = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}=${value}`]);
      execFileSync('kcat', ['-P', '-b', env.KAFKA_BROKERS, '-t', 'market.events', '-k', key, ...named, '-X', 'topic.partitioner=murmur2_random', '-X', 'acks=all', '-D', '\u0001never\u0001', file], { timeout: 120000, stdio: ['ignore', 'ignore', 'inherit'] });
    }
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}
