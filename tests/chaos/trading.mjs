// trading.mjs - the trading game alone: a hundred people trade over several rounds, and what carries the game dies at random moments.
//
//   node tests/chaos/trading.mjs [--seconds 60] [--seed N] [--targets match-svc-1,kafka,...]
//
// In front of a stack that runs with short phases (make up; PROFILE=bench, GAME_SETUP_SECONDS=2 GAME_OPEN_SECONDS=20 GAME_BREAK_SECONDS=4). Like chaos.mjs, with
// nobody but traders: more of its kills hit the game.
import { allReady, env } from '../support/stack.mjs';
import { seen } from './actor.mjs';
import { ROUND_SECONDS, Storm } from './storm.mjs';
import { Market, Trader } from './traders.mjs';
import { judgeTrading } from './trading_verdicts.mjs';
import { verdict } from './verdicts.mjs';

const TRADERS = 100;

await allReady();
const storm = new Storm('trading.mjs', ['gateway', 'match-svc', 'order-svc', 'game-svc']);
const market = new Market(storm.doors);
const people = await storm.people(TRADERS);
const traders = await storm.each(TRADERS, (i, own) => new Trader(`trader ${i}`, own, storm.doors, people[i], market));
const late = await storm.rage([market, ...traders]);
await verdict('every store and daemon is ready again', () => late);
await verdict('no client waited three minutes for a certain answer', () => seen.stuck);
await verdict('every certain answer was a right one', () => seen.surprises);
await verdict('[D-53] no reply was 500: a dead store is 503, a lost upstream 502', () => [...new Set(seen.internal)]);
await judgeTrading({ base: env.GATEWAY_URL, traders, market, roundsWanted: Math.ceil(storm.seconds / ROUND_SECONDS) });
storm.end();
