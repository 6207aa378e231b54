// results_kit.mjs - a test plays the market of a round: who took part, and with how much it ends.
import { record, tell } from '../support/market_records.mjs';
import { Api } from '../support/http.mjs';
import { eventually } from '../support/wait.mjs';
import { oldUuid, uuid } from '../support/world.mjs';

export const BOT = { bot: true };
const EVENTS_A_RECORD = 1000;

let names = 0;
/** People whose accounts have arrived. */
export async function people(world, count, more = {}) {
  const all = Array.from({ length: count }, () => {
    const handle = `g${process.pid}.${++names}`;
    const person = { id: oldUuid(), sid: uuid(), handle, nickname: handle, role: 'user', version: 1, ...more };
    person.token = world.auth.token(person);
    person.api = new Api(world.url, person.token);
    return person;
  });
  world.tellAccounts(all);
  await eventually(20000, async () => (await world.one('SELECT count(*)::int FROM people WHERE user_id = ANY ($1) AND version > 0', [all.map(({ id }) => id)])) === count, 'the accounts are copied');
  return all;
}

/** The market's events from OPENED to its final accounts. `ends`: [{id, cash, orders = 1, fills = 0, bot}], orders 0: an account without an accepted order. */
export function play(round, companies, ends) {
  let seq = 0;
  const records = [];
  const add = (events, users = []) => {
    records.push(record(round.id, seq + 1, events, users));
    seq += events.length;
  };
  const order = (account, bot, more = {}) => ({ id: uuid(), account, side: 'buy', price: 200_000, quantity: 1, bot, ...more });
  const placed = ends.flatMap(({ id, bot, orders = 1 }) => Array.from({ length: orders }, () => ({ kind: 'accepted', order: order(id, bot) })));
  const refused = ends.filter(({ orders = 1 }) => !orders).map(({ id }) => ({ kind: 'rejected', order: order(id, false), reason: 'insufficient_cash' }));
  let number = 0;
  const trades = ends.flatMap(({ id, fills = 0 }) => Array.from({ length: fills }, () => ({
    kind: 'trade', takerSide: 'buy', number: ++number, price: 200_000, quantity: 2, makerOrder: uuid(), takerOrder: uuid(), maker: BOT_ID, taker: id,
  })));
  add([{ kind: 'opened', companies }]);
  add([{ kind: 'started' }]);
  const all = [...placed, ...refused, ...trades];
  for (let at = 0; at < all.length; at += EVENTS_A_RECORD) add(all.slice(at, at + EVENTS_A_RECORD));
  const accounts = ends.map(({ id, bot, cash }) => ({ id, bot, cash })).sort((a, b) => (a.id < b.id ? -1 : 1));
  const chunks = Array.from({ length: Math.ceil(accounts.length / 1000) }, (_, i) => ({ kind: 'accounts', accounts: accounts.slice(i * 1000, i * 1000 + 1000) }));
  add([{ kind: 'closed', prices: companies.map(({ initial_price: price }, i) => Number(price) + i * 10_000) }, ...chunks]);
  return records;
}
const BOT_ID = uuid();

/** Waits until round `number` is closed, then plays its market to the end. */
export async function finish(world, number, ends) {
  const round = await world.reached(number, 'closed');
  const companies = await world.companies(round);
  tell(play(round, companies, ends));
  return { ...round, companies };
}
