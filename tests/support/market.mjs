// market.mjs - the binary forms of market.commands and market.events (common/market.h), written and read in JavaScript: for tests that send commands, look at events, or hold every record against docs/asyncapi.yaml.
// Ids are UUID text. Numbers are Numbers while they are safe integers, and decimal text beyond; source and hash are always decimal text. All of it is JSON.
// decodeCommand and decodeEvents throw on what the C decoders refuse for its shape: version, kinds, enums, lengths, bytes left over.

export const COMMAND_KINDS = [null, 'open', 'start', 'deposit', 'place', 'amend', 'cancel', 'cancel_all', 'halt', 'close'];
const COMMAND_NAMES = ['none', ...COMMAND_KINDS.slice(1)]; // of an event: which command it comes from
export const EVENT_KINDS = [
  null, 'opened', 'started', 'deposited', 'accepted', 'repeated', 'rejected', 'trade', 'amended', 'done', 'halted', 'cancelled_all', 'closed', 'accounts', 'hash',
];
export const SIDES = ['buy', 'sell'];
export const TYPES = ['limit', 'market'];
export const TIFS = ['gtc', 'ioc', 'fok'];
export const REASONS = [
  'none', 'market_closed', 'halted', 'unknown_company', 'bad_tick', 'bad_price', 'bad_quantity', 'insufficient_cash', 'insufficient_shares', 'too_large', 'would_cross', 'not_found', 'order_done', 'filled',
  'cancelled', 'unfilled', 'self_trade', 'round_closed', 'overflow',
];
const VERSION = 1;
const COMPANIES_MAX = 16;
const CLIENT_ID_MAX = 64;
const RECORD_MAX = 512 * 1024;

// ---- bytes ----

class Writer {
  parts = [];
  u8(value) { this.parts.push(Buffer.from([value])); }
  u64(value) { const part = Buffer.alloc(8); part.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value))); this.parts.push(part); }
  i64(value) { this.u64(BigInt(value)); }
  bool(value) { this.u8(value ? 1 : 0); }
  enum(value, names) {
    const index = names.indexOf(value);
    if (index < 0) throw new Error(`market: "${value}" is none of ${names.filter(Boolean).join(', ')}`);
    this.u8(index);
  }
  uuid(text) {
    const part = Buffer.from(text.replaceAll('-', ''), 'hex');
    if (part.length !== 16) throw new Error(`market: "${text}" is no UUID`);
    this.parts.push(part);
  }
  text(value) { const part = Buffer.from(value, 'utf8'); this.u8(part.length); this.parts.push(part); }
  bytes() { return Buffer.concat(this.parts); }
}

class Reader {
  constructor(bytes) {
    if (bytes.length > RECORD_MAX) throw new Error(`market: a record of ${bytes.length} bytes`);
    this.buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.at = 0;
  }
  take(size) {
    if (this.at + size > this.buffer.length) throw new Error(`market: the record ends at byte ${this.buffer.length}, ${this.at + size} wanted`);
    this.at += size;
    return this.at - size;
  }
  u8() { return this.buffer.readUInt8(this.take(1)); }
  u32() { return this.buffer.readUInt32LE(this.take(4)); }
  u64() { return String(this.buffer.readBigUInt64LE(this.take(8))); }
  i64() {
    const value = this.buffer.readBigInt64LE(this.take(8));
    return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : String(value);
  }
  count() {
    const value = this.i64();
    if (value < 0) throw new Error(`market: ${value} where nothing is negative`);
    return value;
  }
  bool() {
    const value = this.u8();
    if (value > 1) throw new Error(`market: ${value} for yes or no`);
    return value === 1;
  }
  enum(names) {
    const name = names[this.u8()];
    if (!name) throw new Error(`market: a kind that is none of ${names.filter(Boolean).join(', ')}`);
    return name;
  }
  uuid() {
    const at = this.take(16);
    const hex = this.buffer.toString('hex', at, at + 16);
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
  }
  text() {
    const length = this.u8();
    if (length > CLIENT_ID_MAX) throw new Error(`market: a client_order_id of ${length} bytes`);
    const at = this.take(length);
    return this.buffer.toString('utf8', at, at + length);
  }
  end() {
    if (this.at !== this.buffer.length) throw new Error(`market: ${this.buffer.length - this.at} bytes too many`);
  }
}

// ---- what several kinds share ----

function putShares(out, shares) {
  out.u8(shares.length);
  for (const quantity of shares) out.i64(quantity);
}

function takeShares(from) {
  const count = from.u8();
  if (count > COMPANIES_MAX) throw new Error(`market: ${count} companies`);
  return Array.from({ length: count }, () => from.count());
}

function putOrder(out, order) {
  out.uuid(order.order_id);
  out.uuid(order.account);
  out.u8(order.company);
  out.enum(order.side, SIDES);
  out.enum(order.type ?? 'limit', TYPES);
  out.enum(order.tif ?? 'gtc', TIFS);
  out.bool(order.post_only);
  out.bool(order.bot);
  out.i64(order.price ?? 0);
  out.i64(order.quantity);
  out.text(order.client_order_id ?? '');
}

const takeOrder = from => ({
  order_id: from.uuid(), account: from.uuid(), company: from.u8(), side: from.enum(SIDES), type: from.enum(TYPES), tif: from.enum(TIFS), post_only: from.bool(), bot: from.bool(), price: from.i64(), quantity: from.i64(),
  client_order_id: from.text(),
});

function putRules(out, rules) {
  for (const name of ['seed_cash', 'tick', 'price_min', 'price_max']) out.i64(rules[name]);
  out.bool(rules.size_rule);
  out.u8(rules.companies.length);
  for (const company of rules.companies) {
    out.uuid(company.id);
    out.i64(company.initial_price);
  }
}

function takeRules(from) {
  const rules = { seed_cash: from.count(), tick: from.i64(), price_min: from.i64(), price_max: from.i64(), size_rule: from.bool() };
  const count = from.u8();
  if (count < 1 || count > COMPANIES_MAX) throw new Error(`market: ${count} companies`);
  rules.companies = Array.from({ length: count }, () => ({ id: from.uuid(), initial_price: from.i64() }));
  return rules;
}

function putDeposit(out, deposit) {
  out.uuid(deposit.deposit_id);
  out.uuid(deposit.account);
  out.i64(deposit.cash);
  putShares(out, deposit.shares);
}

const takeDeposit = from => ({ deposit_id: from.uuid(), account: from.uuid(), cash: from.count(), shares: takeShares(from) });

// ---- commands: {kind, market, source, n, ...what the kind has} ----

const COMMAND_PUT = {
  open: putRules,
  start() {},
  deposit: putDeposit,
  place: putOrder,
  amend(out, order) {
    out.uuid(order.order_id);
    out.uuid(order.account);
    out.i64(order.price ?? 0); // 0: unchanged
    out.i64(order.quantity ?? 0);
  },
  cancel(out, order) {
    out.uuid(order.order_id);
    out.uuid(order.account);
  },
  cancel_all(out, command) { out.uuid(command.account); },
  halt(out, command) {
    out.u8(command.company);
    out.bool(command.on);
  },
  close() {},
};

const COMMAND_TAKE = {
  open: takeRules,
  start: () => ({}),
  deposit: takeDeposit,
  place: takeOrder,
  amend: from => ({ order_id: from.uuid(), account: from.uuid(), price: from.i64(), quantity: from.i64() }),
  cancel: from => ({ order_id: from.uuid(), account: from.uuid() }),
  cancel_all: from => ({ account: from.uuid() }),
  halt: from => ({ company: from.u8(), on: from.bool() }),
  close: () => ({}),
};

export function encodeCommand(command) {
  const out = new Writer();
  out.u8(VERSION);
  out.enum(command.kind, COMMAND_KINDS);
  out.uuid(command.market);
  out.u64(command.source);
  out.u64(command.n);
  COMMAND_PUT[command.kind](out, command);
  return out.bytes();
}

export function decodeCommand(bytes) {
  const from = new Reader(bytes);
  if (from.u8() !== VERSION) throw new Error('market: another version');
  const kind = from.enum(COMMAND_KINDS);
  const command = { kind, market: from.uuid(), source: from.u64(), n: Number(from.u64()), ...COMMAND_TAKE[kind](from) };
  from.end();
  return command;
}

// ---- events: {market, command_offset, at_ms, first_seq, events: [{seq, kind, ...}]} ----

const takeOrderEvent = from => ({
  ...takeOrder(from), remaining: from.i64(), filled: from.count(), paid: from.count(), command: from.enum(COMMAND_NAMES), reason: from.enum(REASONS), kept_priority: from.bool(), limit: from.count(),
});

const EVENT_TAKE = {
  opened: takeRules,
  started: () => ({}),
  deposited: takeDeposit,
  accepted: takeOrderEvent,
  repeated: takeOrderEvent,
  rejected: takeOrderEvent,
  trade: from => ({
    company: from.u8(), taker_side: from.enum(SIDES), number: from.count(), price: from.count(), quantity: from.count(), maker_order: from.uuid(), taker_order: from.uuid(), maker: from.uuid(), taker: from.uuid(),
    maker_remaining: from.count(), taker_remaining: from.count(),
  }),
  amended: takeOrderEvent,
  done: takeOrderEvent,
  halted: from => ({ company: from.u8(), on: from.bool() }),
  cancelled_all: from => ({ account: from.uuid(), count: from.count() }),
  closed: from => ({ last_prices: takeShares(from) }),
  accounts: from => ({ accounts: Array.from({ length: from.u32() }, () => ({ account: from.uuid(), bot: from.bool(), cash: from.count() })) }),
  hash: from => ({ commands: from.i64(), hash: from.u64() }),
};

export function decodeEvents(bytes) {
  const from = new Reader(bytes);
  if (from.u8() !== VERSION) throw new Error('market: another version');
  const record = { market: from.uuid(), command_offset: from.count(), at_ms: from.count(), first_seq: from.count() };
  const count = from.u32();
  record.events = Array.from({ length: count }, (_, i) => {
    const kind = from.enum(EVENT_KINDS);
    return { seq: record.first_seq + i, kind, ...EVENT_TAKE[kind](from) };
  });
  from.end();
  return record;
}
