// results_kit.mjs - people who trade in a round of game-svc, with a real match-svc, to an end that is known beforehand.
import { Api } from '../support/http.mjs';
import { Market, SEED_CASH } from '../support/market_play.mjs';
import { eventually } from '../support/wait.mjs';
import { oldUuid, uuid } from '../support/world.mjs';

export { SEED_CASH };
const UP_WON = 50_000; // what a share of the first company gains, and one of the second loses, from purchase to close
const PRICES = 5; // ticks of 10,000 won

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

/** What a plan comes to. */
export const cashOf = ({ up = 0, down = 0 }) => SEED_CASH + (up - down) * UP_WON;

const ENOUGH_MS = 15000; // of trading, for what a test does in it

/** The first round from number `least` on that trades long enough yet. */
const openRound = (world, least) => eventually(60000, async () => {
  const [round] = await world.sql("SELECT *, closes_at > clock_timestamp() + make_interval(secs => $2::float / 1000) AS enough FROM rounds WHERE number >= $1 ORDER BY number DESC LIMIT 1", [least, ENOUGH_MS]);
  return round?.phase === 'open' && round.enough && round;
}, `a round from ${least} on trades`, 20);

/** Waits until a round from number `least` on trades, and plays it. Each of `plans`: {id, up, down: shares of the first and second company; idle: orders that never meet one; refused: none is accepted}.
 *  Everybody buys at the first prices; then the house moves both: all bots of the round must be off. Returns the round's row, with its market. */
export async function trade(world, least, plans) {
  const round = await openRound(world, least);
  const companies = (await world.companies(round)).map(({ id, initial_price: price }) => ({ id, initial_price: Number(price) }));
  const market = new Market(companies, round.id);
  const other = uuid(); // a second house: none trades with itself
  const [first, second] = companies.map(({ initial_price: price }) => price);
  await eventually(15000, async () => (await market.events()).some(({ kind }) => kind === 'started'), `round ${round.number} trades`, 20);
  const offers = [market.place(market.house, 'sell', 500_000, first), market.place(market.house, 'sell', 500_000, second, { company: 1 })];
  const bot = { bot: true, tif: 'ioc' };
  await market.send(
    market.deposit(), market.deposit(other), ...offers,
    ...plans.flatMap(({ id, up, down, idle = 0, refused }) => [
      ...(up ? [market.place(id, 'buy', up, first)] : []), ...(down ? [market.place(id, 'buy', down, second, { company: 1 })] : []),
      ...Array.from({ length: idle }, () => market.place(id, 'buy', 1, 10_000)), ...(refused ? [market.place(id, 'buy', 1_000_000, 10_000_000)] : []),
    ]),
    ...offers.map((offer) => market.cancel(offer)),
    market.place(other, 'buy', 1_000_000, first + PRICES * 10_000, bot), market.place(other, 'sell', 1_000_000, second - PRICES * 10_000, { company: 1, ...bot }),
  );
  return { ...round, companies, market };
}
