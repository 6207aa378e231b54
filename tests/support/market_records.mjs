// market_records.mjs - records of market.events as match-svc writes them (common/market.h, version 1), where a test plays the market itself.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { env } from './stack.mjs';

const KINDS = { opened: 1, started: 2, accepted: 4, rejected: 6, trade: 7, amended: 8, done: 9, closed: 12, accounts: 13 };
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
  started: () => [],
  closed: ({ prices }) => [u8(prices.length), ...prices.map(i64)],
  accounts: ({ accounts }) => [u32(accounts.length), ...[...accounts].sort((a, b) => (a.id < b.id ? -1 : 1)).flatMap(({ id, bot, cash }) => [id16(id), u8(bot ? 1 : 0), i64(cash)])],
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
