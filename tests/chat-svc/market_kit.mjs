// market_kit.mjs - records of market.events as match-svc writes them (common/market.h, version 1), and of game.events.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { env } from '../support/stack.mjs';
import { uuid } from './world.mjs';

const KINDS = { opened: 1, started: 2, accepted: 4, rejected: 6, trade: 7, amended: 8, done: 9, closed: 12 };
const COMMANDS = { place: 4, amend: 5, cancel: 6 };
const REASONS = ['none', 'market_closed', 'halted', 'unknown_company', 'bad_tick', 'bad_price', 'bad_quantity', 'insufficient_cash', 'insufficient_shares', 'too_large', 'would_cross', 'not_found', 'order_done', 'filled', 'cancelled', 'unfilled', 'self_trade', 'round_closed', 'overflow'];

const u8 = (value) => Buffer.from([value]);
const u32 = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const i64 = (value) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(value));
  return bytes;
};
const id16 = (text) => Buffer.from(text.replaceAll('-', ''), 'hex');

const orderBytes = (o) => Buffer.concat([
  id16(o.id), id16(o.account), u8(o.company ?? 0), u8(o.side === 'sell' ? 1 : 0), u8(o.type === 'market' ? 1 : 0), u8(0), u8(0), u8(o.bot ? 1 : 0), i64(o.price ?? 0), i64(o.quantity),
  u8((o.client ?? '').length), Buffer.from(o.client ?? ''),
]);
const BODIES = {
  opened: ({ companies }) => [i64(10_000_000), i64(10_000), i64(10_000), i64(10_000_000), u8(0), u8(companies.length), ...companies.flatMap((company) => [id16(company.id), i64(200_000)])],
  trade: (t) => [
    u8(t.company ?? 0), u8(t.takerSide === 'sell' ? 1 : 0), i64(t.number), i64(t.price), i64(t.quantity), id16(t.makerOrder), id16(t.takerOrder), id16(t.maker), id16(t.taker),
    i64(t.makerRemaining ?? 0), i64(t.takerRemaining ?? 0),
  ],
};
const orderEvent = (e) => [orderBytes(e.order), i64(e.order.quantity - (e.filled ?? 0)), i64(e.filled ?? 0), i64(e.paid ?? 0), u8(COMMANDS[e.command ?? 'place']), u8(REASONS.indexOf(e.reason ?? 'none')), u8(0), i64(0)];

/** One record: the events of one command. `users`: whom it concerns. */
export function record(market, seq, events, users = []) {
  const bodies = events.flatMap(({ kind, ...more }) => [u8(KINDS[kind]), ...(BODIES[kind] ?? orderEvent)(more)]);
  const payload = Buffer.concat([u8(1), id16(market), i64(seq), i64(Date.now()), i64(seq), u32(events.length), ...bodies]);
  return { key: market, payload, users };
}

/** Records onto market.events, in order; they are there when it returns. */
export function tell(records) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'madang-records-'));
  try {
    records.forEach(({ key, payload, users }, i) => {
      const file = path.join(folder, String(i));
      fs.writeFileSync(file, payload);
      const header = users.length ? ['-H', `users=${users.join(',')}`] : [];
      execFileSync('kcat', ['-P', '-b', env.KAFKA_BROKERS, '-t', 'market.events', '-k', key, ...header, '-X', 'topic.partitioner=murmur2_random', '-X', 'acks=all', '-D', '\u0001never\u0001', file], { timeout: 20000, stdio: ['ignore', 'ignore', 'inherit'] });
    });
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

/** A round as game-svc tells it. */
export class Round {
  constructor(world, number = 1 + Math.floor(Math.random() * 1e6)) {
    this.world = world;
    this.number = number;
    this.id = uuid();
    this.companies = ['Hanul Electronics', 'Dal Motors', 'Byeol Chemicals'].map((name, index) => ({ id: uuid(), index, name, initial_price: 200_000 }));
  }
  event(kind, more) {
    return this.world.event(kind, { market: this.id, ...more });
  }
  phase(phase, inMs = 60_000) {
    const at = Date.now();
    const after = (ms) => new Date(at + ms).toISOString();
    const times = { setup: { opens_at: after(inMs), closes_at: null, next_at: null }, open: { opens_at: after(0), closes_at: after(inMs), next_at: after(2 * inMs) }, closed: { opens_at: after(-9e5), closes_at: after(0), next_at: after(inMs) } };
    return { ...this.event('round', { number: this.number, phase, ...times[phase], seed_cash: 10_000_000, companies: this.companies }), at: after(0) };
  }
  news(company = this.companies[0], en = 'record sales') {
    return this.event('news', { company: company.id, company_name: company.name, line: 'record_sales', text: { en: `${company.name}: ${en}`, ko: `${company.name}: 사상 최대 매출` }, good: true });
  }
  countdown(seconds_left = 45) {
    return this.event('countdown', { phase: 'open', seconds_left });
  }
  ranking(places, participants = places.length) {
    return this.event('ranking', { number: this.number, participants, places });
  }
  tell(...events) {
    this.world.publish('game.events', events.map((event) => [this.id, event]));
  }
}
