// ranking.test.mjs - what a round comes to: places, points, ratings, the archive. People trade in a real market.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Api } from '../support/http.mjs';
import { again } from '../support/market_play.mjs';
import { readTopic } from '../support/topics.mjs';
import { eventually } from '../support/wait.mjs';
import { oldUuid, uuid } from '../support/world.mjs';
import { SEED_CASH, cashOf, people, trade } from './results_kit.mjs';
import { World } from './world.mjs';

const world = new World();
before(() => world.start({ settings: { GAME_OPEN_SECONDS: '22', GAME_BREAK_SECONDS: '5', GAME_BOTS: 'off', GAME_RESULT_WAIT_SECONDS: '20' } }), { timeout: 270000 });
after(() => world.stop(), { timeout: 180000 });

let number = 0; // of the last round that was played
/** Plays a round to its ranking. */
async function play(plans) {
  const round = await trade(world, number + 1, plans);
  number = Number(round.number);
  await world.reached(number, 'ranked');
  return round;
}
const noticed = (round) => eventually(20000, () => world.one('SELECT noticed_at IS NOT NULL FROM rankings WHERE round_id = $1', [round.id]), 'all have their notices');
const results = (round) => world.sql('SELECT user_id, place, return_bp::int, points, rating::int FROM results WHERE round_id = $1 ORDER BY place, user_id', [round.id]);
const eventsOf = async (round, kind) => (await readTopic('game.events')).map(({ value }) => value).filter((value) => value.market === round.id && value.kind === kind);
const noticesOf = async (round) => (await readTopic('notify.requests')).map(({ value }) => value).filter((value) => value.kind === 'round_result' && value.args.round.id === round.id);
const ratingOf = (person) => world.one('SELECT rating::int FROM people WHERE user_id = $1', [person.id]);

test('[S-47][S-48][S-49] places, equal places, points and tiers; told, kept, and read by everybody who took part', async () => {
  const [ann, bob, eve, dan, eric, watcher, refused] = await people(world, 7);
  const round = await play([
    { id: ann.id, up: 10, idle: 2 }, { id: bob.id, up: 10 }, { id: eve.id, up: 5, down: 1 }, { id: dan.id, idle: 1 }, { id: eric.id, down: 7 }, { id: refused.id, refused: true },
  ]);
  // Before the next round is ranked:
  const top = (await watcher.api.get('/api/game/rankings?by=return')).json;
  const [entry] = (await ann.api.get('/api/game/rounds?limit=1')).json.items;
  const [first, second] = [ann, bob].sort((a, b) => (a.id < b.id ? -1 : 1));
  assert.deepEqual(await results(round), [
    { user_id: first.id, place: 1, return_bp: 500, points: 100, rating: 100 }, { user_id: second.id, place: 1, return_bp: 500, points: 100, rating: 100 },
    { user_id: eve.id, place: 3, return_bp: 200, points: 30, rating: 30 }, { user_id: dan.id, place: 4, return_bp: 0, points: 0, rating: 0 }, { user_id: eric.id, place: 5, return_bp: -350, points: 0, rating: 0 },
  ]);

  const [told, ...more] = await eventually(10000, async () => {
    const events = await eventsOf(round, 'ranking');
    return events.length && events;
  }, 'the ranking is told');
  assert.equal(more.length, 0);
  assert.deepEqual([told.number, told.participants], [Number(round.number), 5]);
  assert.deepEqual(told.places.map(({ place, user_id, nickname, return_pct, total_asset }) => [place, user_id, nickname, return_pct, total_asset]), [
    [1, first.id, first.nickname, 5, cashOf({ up: 10 })], [1, second.id, second.nickname, 5, cashOf({ up: 10 })], [3, eve.id, eve.nickname, 2, cashOf({ up: 4 })], [4, dan.id, dan.nickname, 0, SEED_CASH],
    [5, eric.id, eric.nickname, -3.5, cashOf({ down: 7 })],
  ]);
  const [ratings] = await eventually(10000, async () => {
    const events = await eventsOf(round, 'ratings');
    return events.length && events;
  }, 'so are the ratings');
  assert.deepEqual(ratings.ratings, [{ user_id: first.id, rating: 100, tier: 'silver' }, { user_id: second.id, rating: 100, tier: 'silver' }, { user_id: eve.id, rating: 30, tier: 'bronze' }]);

  await noticed(round);
  const notices = await eventually(10000, async () => {
    const list = await noticesOf(round);
    return list.length === 5 && list;
  }, 'five notices');
  const mine = notices.find(({ to }) => to.user === eric.id);
  assert.deepEqual(mine.args, { round: { id: round.id, number: Number(round.number) }, rank: 5, return_pct: -3.5, points: 0, participants: 5 });
  assert.equal(mine.dedupe_id, `round_result:${round.id}:${eric.id}`);

  assert.deepEqual(top.round, { id: round.id, number: Number(round.number), participants: 5, closed_at: top.round.closed_at });
  assert.deepEqual(top.items[0], { place: 1, user_id: first.id, nickname: first.nickname, return_pct: 5, total_asset: cashOf({ up: 10 }), points: 100, rating: 100, tier: 'silver' });
  assert.equal(top.items.length, 5);
  assert.equal(top.me, null);
  assert.equal((await ann.api.get('/api/game/rankings?limit=2')).json.items.length, 2);
  const byRating = (await eve.api.get('/api/game/rankings?by=rating&limit=100')).json;
  assert.deepEqual(byRating.items.map(({ place, rating, tier }) => [place, rating, tier]), [[1, 100, 'silver'], [1, 100, 'silver'], [3, 30, 'bronze']]);
  assert.deepEqual(byRating.me, { rating: 30, tier: 'bronze' });

  const view = (await ann.api.get(`/api/game/rounds/${round.id}`)).json;
  assert.equal(view.ranked, true);
  const { fills, ...me } = view.me;
  assert.deepEqual(me, {
    place: 1, participants: 5, return_pct: 5, total_asset: cashOf({ up: 10 }), points: 100, rating: 100, tier: 'silver', profit: 500_000, orders: 3, bought: 10 * round.companies[0].initial_price, sold: 0,
  });
  const trades = (await round.market.events()).filter(({ kind, taker }) => kind === 'trade' && taker === ann.id);
  assert.equal(fills, trades.length);
  assert.deepEqual(view.companies.slice(0, 2).map(({ price, initial_price }) => price - initial_price), [50_000, -50_000]);
  // In whole numbers, |hundredths of a percent - exact| <= 1/2: 50,000 on 320,000 is the tie 15.625, where doubles say no.
  for (const { price, initial_price, change_pct } of view.companies) {
    const off = Math.abs(Math.round(change_pct * 100) * initial_price - (price - initial_price) * 10_000);
    assert.ok(2 * off <= initial_price, `${initial_price} -> ${price} is not ${change_pct} %`);
  }
  assert.equal((await watcher.api.get(`/api/game/rounds/${round.id}`)).json.me, null);
  assert.equal((await refused.api.get(`/api/game/rounds/${round.id}`)).json.me, null);
  assert.deepEqual([entry.id, entry.participants, entry.winners.length, entry.me.place], [round.id, 5, 3, 1]);
  // The final accounts of the log, ranked by another program, give the same.
  const events = await round.market.events();
  const took = new Set(events.filter(({ kind, bot }) => kind === 'accepted' && !bot).map(({ account }) => account));
  const ends = events.filter(({ kind }) => kind === 'accounts').flatMap(({ accounts }) => accounts).filter(({ account, bot }) => !bot && took.has(account));
  assert.deepEqual(Object.fromEntries(ends.map(({ account, cash }) => [account, 1 + ends.filter((one) => one.cash > cash).length])), Object.fromEntries((await results(round)).map(({ user_id, place }) => [user_id, place])));
}, { timeout: 240000 });

test('[S-48][S-49][S-10][P-07] ratings add up and never fall; who withdraws has no name, records that come twice change nothing; pages of places and of rounds are whole; who is nobody, and what is no page', async () => {
  const [ann] = await people(world, 1);
  const [silver] = (await ann.api.get('/api/game/rankings?by=rating')).json.items;
  const crowd = Array.from({ length: 45 }, (_, i) => ({ id: oldUuid(), up: i % 15, down: 1, idle: 1 }));
  const round = await play([...crowd, { id: silver.user_id, up: 19 }]);
  assert.deepEqual(await ratingOf({ id: silver.user_id }), 200);
  const lost = await play([{ id: silver.user_id, down: 3 }, { id: ann.id, up: 1 }]);
  assert.equal((await ann.api.get('/api/game/rankings')).json.round.id, lost.id); // before the next round is ranked
  assert.deepEqual([await ratingOf({ id: silver.user_id }), await ratingOf(ann)], [200, 100]);
  const [best] = (await ann.api.get('/api/game/rankings?by=rating&limit=1')).json.items;
  assert.deepEqual([best.user_id, best.rating, best.tier], [silver.user_id, 200, 'gold']);
  assert.deepEqual((await results(lost)).map(({ place, points }) => [place, points]), [[1, 100], [2, 0]]); // no points at a loss
  again(await round.market.records());
  world.tellAccounts([{ ...ann, version: 2 }], { handle: '', nickname: '', email: '', withdrawn: true });
  await eventually(10000, () => world.one('SELECT withdrawn FROM people WHERE user_id = $1', [ann.id]), 'she has withdrawn');
  const after = (await ann.api.get(`/api/game/rounds/${lost.id}`)).json; // her token is good for a while yet
  assert.deepEqual(after.places.map(({ place, nickname }) => [place, nickname]), [[1, ''], [2, silver.nickname]]);
  assert.equal(after.me.orders, 1);
  const byRating = (await ann.api.get('/api/game/rankings?by=rating&limit=100')).json.items.map(({ user_id }) => user_id);
  assert.ok(byRating.includes(silver.user_id) && !byRating.includes(ann.id));
  const seen = [];
  for (let cursor = ''; cursor !== null;) {
    const { json } = await ann.api.get(`/api/game/rounds/${round.id}?limit=7${cursor && `&cursor=${cursor}`}`);
    seen.push(...json.places);
    cursor = json.next_cursor;
  }
  assert.equal(seen.length, 46);
  assert.deepEqual(seen.map(({ user_id }) => user_id), (await results(round)).map(({ user_id }) => user_id));
  const numbers = [];
  for (let cursor = ''; cursor !== null;) {
    const { json } = await ann.api.get(`/api/game/rounds?limit=2${cursor && `&cursor=${cursor}`}`);
    numbers.push(...json.items.map((item) => item.number));
    cursor = json.next_cursor;
  }
  assert.ok(numbers[0] >= number);
  assert.deepEqual(numbers, Array.from({ length: numbers[0] }, (_, i) => numbers[0] - i));
  for (const path of ['rankings?by=luck', 'rankings?limit=0', 'rankings?limit=101', 'rounds?cursor=x', 'rounds?limit=a', `rounds/${round.id}?cursor=${Buffer.from('x').toString('base64url')}`])
    assert.equal((await ann.api.get(`/api/game/${path}`)).status, 400, path);
  for (const path of [`rounds/${uuid()}`, 'rounds/none', 'nothing']) assert.equal((await ann.api.get(`/api/game/${path}`)).status, 404, path);
  const nobody = new Api(world.url);
  for (const path of ['rankings', 'rounds', `rounds/${round.id}`]) assert.equal((await nobody.get(`/api/game/${path}`)).status, 401, path);
  for (const path of ['round', 'companies', 'news']) assert.equal((await nobody.get(`/api/game/${path}`)).status, 200, path);
}, { timeout: 240000 });

test('[S-19][S-12][S-48] round and companies as everybody reads them, prices live, ETag; alone nobody has points', async () => {
  const nobody = new Api(world.url);
  const alone = { id: oldUuid(), up: 20 };
  const row = await eventually(30000, async () => {
    const [found] = await world.sql("SELECT *, closes_at > clock_timestamp() + interval '17 s' AS fresh FROM rounds WHERE number > $1 AND phase = 'open'", [number]);
    return found?.fresh && found;
  }, 'a round that has just opened', 20);
  const round = (await nobody.get('/api/game/round')).json;
  assert.deepEqual([round.id, round.market, round.number, round.seed_cash, round.tick], [row.id, row.id, Number(row.number), SEED_CASH, 10_000]);
  assert.ok(Math.abs(Date.parse(round.server_time) - Date.now()) < 10_000);
  assert.equal(Date.parse(round.opens_at), row.opens_at.getTime());
  const { round_id, items } = (await nobody.get('/api/game/companies')).json;
  assert.deepEqual([round_id, items.length], [row.id, 3]);
  assert.ok(items.every(({ price, initial_price, change_pct, halted, high, low }) => price === initial_price && change_pct === 0 && halted === false && high === price && low === price));
  const played = await trade(world, number + 1, [alone]);
  number = Number(played.number);
  assert.equal(played.id, row.id);
  const moved = await eventually(10000, async () => {
    const list = (await nobody.get('/api/game/companies')).json;
    return list.round_id === row.id && list.items.every(({ change_pct, index }) => (change_pct !== 0) === (index !== 2)) && list.items;
  }, 'prices move');
  assert.deepEqual(moved.map(({ index }) => index), [0, 2, 1]); // the highest change first
  assert.deepEqual(moved.map(({ price, initial_price }) => price - initial_price), [50_000, 0, -50_000]);
  assert.ok(moved[0].volume > 0 && moved[0].high === moved[0].price && moved[0].low === played.companies[0].initial_price);
  await world.reached(number, 'ranked');
  const [told] = await eventually(10000, async () => {
    const events = await eventsOf(played, 'ranking');
    return events.length && events;
  }, 'it is told');
  assert.deepEqual([told.participants, told.places.length], [1, 1]);
  assert.deepEqual((await results(played)).map(({ place, return_bp, points, rating }) => [place, return_bp, points, rating]), [[1, 1000, 0, 0]]);
  assert.equal((await eventsOf(played, 'ratings')).length, 0);
  const tagged = await nobody.get('/api/game/news');
  const same = await nobody.get('/api/game/news', { headers: { 'If-None-Match': tagged.headers.etag } });
  assert.ok(same.status === 304 || same.headers.etag !== tagged.headers.etag);
}, { timeout: 240000 });
