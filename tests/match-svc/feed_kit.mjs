// feed_kit.mjs - match-svc alone with viewers of /ws/market and markets that are driven by commands in the log.
import WebSocket from 'ws';
import { request } from '../support/http.mjs';
import { sendCommands } from '../support/topics.mjs';
import { eventually } from '../support/wait.mjs';
import { ServiceWorld, uuid } from '../support/world.mjs';

export { uuid };

export class Feeds extends ServiceWorld {
  viewers = [];
  constructor() {
    super('match');
  }
  start(settings = {}, count = 2) {
    return this.open({ settings, instances: count });
  }
  environment(instance) {
    instance.wsUrl = `ws://127.0.0.1:${instance.ports.ws}/ws/market`;
    return { ...super.environment(instance), WS_LISTEN: `127.0.0.1:${instance.ports.ws}` };
  }
  /** A viewer whose socket is open. */
  async viewer(instance = this.instances[0], options = {}) {
    const viewer = new Viewer(instance.wsUrl, options);
    this.viewers.push(viewer);
    await viewer.opened;
    return viewer;
  }
  async stop() {
    for (const viewer of this.viewers) viewer.socket.terminate();
    await super.stop();
  }
}

export const get = (instance, path, headers = {}) => request('GET', `${instance.url}${path}`, { headers });

// ---- a viewer ----

/** Follows the protocol as a client should: a snapshot is the state, a delta changes it; `faults` is what does not fit. */
export class Viewer {
  frames = [];
  faults = [];
  states = new Map(); // "channel company" -> {seq, bids, asks} | {seq, trades} | {seq, ...figures}
  constructor(url, options = {}) {
    this.socket = new WebSocket(url, [], { perMessageDeflate: false, ...options });
    this.opened = new Promise((resolve, reject) => {
      this.socket.on('open', resolve);
      this.socket.on('error', reject);
    });
    this.opened.catch(() => {});
    this.socket.on('message', (data, binary) => this.hear(data.toString(), binary));
    this.closed = new Promise((resolve) => this.socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() })));
    this.closed.then((how) => (this.end = how));
  }
  hear(text, binary) {
    const frame = JSON.parse(text);
    this.frames.push({ ...frame, heard: performance.now() });
    if (binary) this.faults.push('a binary frame');
    if (frame.type === 'snapshot' || frame.type === 'delta') this.follow(frame);
  }
  follow(frame) {
    const key = `${frame.channel} ${frame.company}`;
    const before = this.states.get(key);
    if (frame.type === 'delta' && !before) this.faults.push(`${key}: a delta before a snapshot`);
    else this.states.set(key, this[frame.channel](key, before, frame));
  }
  book(key, before, { type, seq, prev_seq, bids, asks }) {
    if (type === 'snapshot') return { seq, bids, asks };
    if (prev_seq !== before.seq || seq <= prev_seq) this.faults.push(`${key}: a delta from ${prev_seq} to ${seq} on ${before.seq}`);
    return { seq, bids: patched(before.bids, bids, (a, b) => b - a), asks: patched(before.asks, asks, (a, b) => a - b) };
  }
  trades(key, before, { type, seq, trades }) {
    const numbers = trades.map((trade) => trade.seq);
    const all = type === 'snapshot' ? trades : [...before.trades, ...trades];
    if ((numbers.at(-1) ?? 0) !== seq) this.faults.push(`${key}: seq ${seq} of trades ${numbers}`);
    if (!all.every((trade, i) => i === 0 || trade.seq === all[i - 1].seq + 1)) this.faults.push(`${key}: numbers ${all.map((trade) => trade.seq)}`);
    return { seq, trades: all };
  }
  ticker(key, before, { type, channel, company, seq, ...figures }) {
    if (before && seq < before.seq) this.faults.push(`${key}: back from ${before.seq} to ${seq}`);
    return { seq, ...figures };
  }
  state(channel, company) {
    return this.states.get(`${channel} ${company}`);
  }
  say(what) {
    this.socket.send(typeof what === 'string' || Buffer.isBuffer(what) ? what : JSON.stringify(what));
  }
  /** Resolves when the snapshot is here. */
  async subscribe(channel, company, ms = 8000) {
    const from = this.frames.length;
    this.say({ op: 'subscribe', channel, company });
    return this.until((frame) => frame.type === 'snapshot' && frame.channel === channel && frame.company === company, `the snapshot of ${channel}`, from, ms);
  }
  /** The first frame from number `from` on that fits. */
  until(fits, what, from = 0, ms = 8000) {
    return eventually(ms, () => this.frames.slice(from).find(fits), what);
  }
}

function patched(side, changes, order) {
  const levels = new Map(side);
  for (const [price, quantity] of changes) quantity > 0 ? levels.set(price, quantity) : levels.delete(price);
  return [...levels].sort(([a], [b]) => order(a, b));
}

// ---- a market ----

export const TICK = 10_000;
let sources = 0;

/** One running round as its commands: everybody here is a bot with plenty of money and shares. */
export class Market {
  constructor({ companies = 1, price = 500_000 } = {}) {
    this.id = uuid();
    this.source = String(BigInt(Date.now()) * 1000n + BigInt(++sources));
    this.n = 0;
    this.companies = Array.from({ length: companies }, () => ({ id: uuid(), initial_price: price }));
    this.maker = uuid();
    this.taker = uuid();
  }
  get company() {
    return this.companies[0].id;
  }
  command(kind, more = {}) {
    return { kind, market: this.id, source: this.source, n: ++this.n, ...more };
  }
  send(...commands) {
    return sendCommands(commands.map(({ kind, ...more }) => this.command(kind, more)));
  }
  deposit(account) {
    return { kind: 'deposit', deposit_id: uuid(), account, cash: 1_000_000_000_000, shares: this.companies.map(() => 1_000_000) };
  }
  open() {
    return this.send(
      { kind: 'open', seed_cash: 10_000_000, tick: TICK, price_min: TICK, price_max: 10_000_000, size_rule: false, companies: this.companies },
      this.deposit(this.maker), this.deposit(this.taker), { kind: 'start' },
    );
  }
  order(side, price, quantity, more = {}) {
    return { kind: 'place', order_id: uuid(), account: this.maker, company: 0, side, type: price ? 'limit' : 'market', tif: 'gtc', price, quantity, bot: true, ...more };
  }
  /** What takes from the maker's orders. */
  take(side, quantity, more = {}) {
    return this.order(side, 0, quantity, { account: this.taker, ...more });
  }
}

/** Waits until an instance answers with this book. */
export const showsBook = (instance, company, fits, what = 'the book') =>
  eventually(15000, async () => {
    const { status, json } = await get(instance, `/api/market/${company}/book?depth=64`);
    return status === 200 && fits(json) && json;
  }, what);
