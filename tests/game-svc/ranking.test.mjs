// ranking.test.mjs - what a round comes to: places, points, ratings, the archive; told once, whatever is killed. The test plays the market.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { tell } from '../support/market_records.mjs';
import { Api } from '../support/http.mjs';
import { readTopic } from '../support/topics.mjs';
import { eventually } from '../support/wait.mjs';
import { oldUuid, uuid } from '../support/world.mjs';
import { finish, people, play } from './results_kit.mjs';
import { World } from './world.mjs';

const SEED = 10_000_000;
const world = new World();
before(() => world.start({ match: false, settings: { GAME_OPEN_SECONDS: '1', GAME_BOTS: 'off', GAME_BOOK_FACTOR: '1' } }), { timeout: 90000 });
after(() => world.stop(), { timeout: 60000 });

let number = 0; // of the round that is played
const next = (ends) => finish(world, ++number, ends);
const ranked = (round) => world.reached(Number(round.number), 'ranked');
const noticed = (round) => eventually(20000, () => world.one('SELECT noticed_at IS NOT NULL FROM rankings WHERE round_id = $1', [round.id]), 'all have their notices');
const results = (round) => world.sql('SELECT user_id, place, return_bp::int, points, rating::int FROM results WHERE round_id = $1 ORDER BY place, user_id', [round.id]);
const eventsOf = async (round, kind) => (await readTopic('game.events')).map(({ value }) => value).filter((value) => value.market === round.id && value.kind === kind);
const noticesOf = async (round) => (await readTopic('notify.requests')).map(({ value }) => value).filter((value) => value.kind === 'round_result' && value.args.round.id === round.id);

test('[S-47][S-48][S-49] places, equal places, points and tiers; told, kept, and read by everybody who took part', async () => {
  const [ann, bob, eve, dan, eric, watcher, refused] = await people(world, 7);
  const bot = uuid();
  const round = await next([
    { id: ann.id, cash: 12_345_000, orders: 3, fills: 2 }, { id: bob.id, cash: 12_345_000, orders: 1 }, { id: eve.id, cash: 11_000_000 }, { id: dan.id, cash: SEED }, { id: eric.id, cash: 8_765_000 },
    { id: refused.id, cash: SEED, orders: 0 }, { id: bot, cash: 99_000_000_000, bot: true, orders: 5 },
  ]);
  await ranked(round);
  const [first, second] = [ann, bob].sort((a, b) => (a.id < b.id ? -1 : 1));
  assert.deepEqual(await results(round), [
    { user_id: first.id, place: 1, return_bp: 2345, points: 100, rating: 100 }, { user_id: second.id, place: 1, return_bp: 2345, points: 100, rating: 100 },
    { user_id: eve.id, place: 3, return_bp: 1000, points: 30, rating: 30 }, { user_id: dan.id, place: 4, return_bp: 0, points: 0, rating: 0 }, { user_id: eric.id, place: 5, return_bp: -1235, points: 0, rating: 0 },
  ]);

  const [told, ...more] = await eventually(10000, async () => {
    const events = await eventsOf(round, 'ranking');
    return events.length && events;
  }, 'the ranking is told');
  assert.equal(more.length, 0);
  assert.deepEqual([told.number, told.participants], [Number(round.number), 5]);
  assert.deepEqual(told.places.map(({ place, user_id, nickname, return_pct, total_asset }) => [place, user_id, nickname, return_pct, total_asset]), [
    [1, first.id, first.nickname, 23.45, 12_345_000], [1, second.id, second.nickname, 23.45, 12_345_000], [3, eve.id, eve.nickname, 10, 11_000_000], [4, dan.id, dan.nickname, 0, SEED], [5, eric.id, eric.nickname, -12.35, 8_765_000],
  ]);
  const [ratings] = await eventsOf(round, 'ratings');
  assert.deepEqual(ratings.ratings, [{ user_id: first.id, rating: 100, tier: 'silver' }, { user_id: second.id, rating: 100, tier: 'silver' }, { user_id: eve.id, rating: 30, tier: 'bronze' }]);

  await noticed(round);
  const notices = await eventually(10000, async () => {
    const list = await noticesOf(round);
    return list.length === 5 && list;
  }, 'five notices');
  const mine = notices.find(({ to }) => to.user === eric.id);
  assert.deepEqual(mine.args, { round: { id: round.id, number: Number(round.number) }, rank: 5, return_pct: -12.35, points: 0, participants: 5 });
  assert.equal(mine.dedupe_id, `round_result:${round.id}:${eric.id}`);

  const top = (await watcher.api.get('/api/game/rankings?by=return')).json;
  assert.deepEqual(top.round, { id: round.id, number: Number(round.number), participants: 5, closed_at: top.round.closed_at });
  assert.deepEqual(top.items[0], { place: 1, user_id: first.id, nickname: first.nickname, return_pct: 23.45, total_asset: 12_345_000, points: 100, rating: 100, tier: 'silver' });
  assert.equal(top.items.length, 5);
  assert.equal(top.me, null);
  assert.equal((await ann.api.get('/api/game/rankings?limit=2')).json.items.length, 2);
  const byRating = (await eve.api.get('/api/game/rankings?by=rating&limit=100')).json;
  assert.deepEqual(byRating.items.filter(({ user_id }) => [ann.id, bob.id, eve.id].includes(user_id)).map(({ place, rating, tier }) => [place, rating, tier]), [[1, 100, 'silver'], [1, 100, 'silver'], [3, 30, 'bronze']]);
  assert.deepEqual(byRating.me, { rating: 30, tier: 'bronze' });

  const view = (await ann.api.get(`/api/game/rounds/${round.id}`)).json;
  assert.equal(view.ranked, true);
  assert.deepEqual(view.me, {
    place: 1, participants: 5, return_pct: 23.45, total_asset: 12_345_000, points: 100, rating: 100, tier: 'silver', profit: 2_345_000, orders: 3, fills: 2, bought: 800_000, sold: 0,
  });
  assert.deepEqual(view.companies.map(({ price, initial_price }) => price - initial_price), [0, 10_000, 20_000]);
  assert.ok(view.companies.every(({ price, initial_price, change_pct }) => change_pct === Math.round((price - initial_price) / initial_price * 10000) / 100));
  assert.equal((await watcher.api.get(`/api/game/rounds/${round.id}`)).json.me, null);
  assert.equal((await refused.api.get(`/api/game/rounds/${round.id}`)).json.me, null);
  const [entry] = (await ann.api.get('/api/game/rounds?limit=1')).json.items;
  assert.deepEqual([entry.id, entry.participants, entry.winners.length, entry.me.place], [round.id, 5, 3, 1]);
});

test('[S-48] alone, or at a loss, nobody has points; the rating never falls', async () => {
  const [ann, bob] = await people(world, 2);
  const rating = (person) => world.one('SELECT rating::int FROM people WHERE user_id = $1', [person.id]);
  for (const [ends, expected] of [
    [[{ id: ann.id, cash: 20_000_000 }], [0, 0]],
    [[{ id: ann.id, cash: 9_000_000 }, { id: bob.id, cash: 9_500_000 }], [0, 0]],
    [[{ id: ann.id, cash: 20_000_000 }, { id: bob.id, cash: 9_500_000 }], [100, 0]],
    [[{ id: ann.id, cash: 5_000_000 }, { id: bob.id, cash: 15_000_000 }], [100, 100]],
    [[{ id: ann.id, cash: 11_000_000 }, { id: bob.id, cash: 15_000_000 }], [150, 200]],
    [[], [150, 200]],
  ]) {
    const round = await next(ends);
    await ranked(round);
    assert.deepEqual([await rating(ann), await rating(bob)], expected);
    if (ends.length === 0) assert.deepEqual((await eventsOf(round, 'ranking')).map(({ participants, places }) => [participants, places]), [[0, []]]);
  }
  assert.deepEqual((await bob.api.get('/api/game/rankings?by=rating&limit=100')).json.me, { rating: 200, tier: 'gold' });
}, { timeout: 90000 });

test('[S-10][S-49] who withdraws is listed without a name, and not by rating; records that come twice change nothing', async () => {
  const [ann, bob] = await people(world, 2);
  const round = await world.reached(++number, 'closed');
  const records = play(round, await world.companies(round), [{ id: ann.id, cash: 12_000_000 }, { id: bob.id, cash: 11_000_000, orders: 2 }]);
  tell([...records.slice(0, 3), ...records, ...records]);
  await ranked(round);
  assert.equal((await bob.api.get(`/api/game/rounds/${round.id}`)).json.me.orders, 2);
  world.tellAccounts([{ ...ann, version: 2 }], { handle: '', nickname: '', email: '', withdrawn: true });
  await eventually(10000, () => world.one('SELECT withdrawn FROM people WHERE user_id = $1', [ann.id]), 'she has withdrawn');
  const view = (await bob.api.get(`/api/game/rounds/${round.id}`)).json;
  assert.deepEqual(view.places.map(({ place, nickname }) => [place, nickname]), [[1, ''], [2, bob.nickname]]);
  const byRating = (await bob.api.get('/api/game/rankings?by=rating&limit=100')).json.items.map(({ user_id }) => user_id);
  assert.ok(byRating.includes(bob.id) && !byRating.includes(ann.id));
  tell(records);
  const following = await next([]);
  await ranked(following);
  assert.equal((await results(round)).length, 2);
});

test('[S-49][P-07] pages of places and of rounds are whole; who is nobody, and what is no page', async () => {
  const crowd = Array.from({ length: 45 }, (_, i) => ({ id: oldUuid(), cash: SEED + (i % 20) * 10_000 }));
  const round = await next(crowd);
  await ranked(round);
  const [ann] = await people(world, 1);
  const seen = [];
  for (let cursor = ''; cursor !== null;) {
    const { json } = await ann.api.get(`/api/game/rounds/${round.id}?limit=7${cursor && `&cursor=${cursor}`}`);
    seen.push(...json.places);
    cursor = json.next_cursor;
  }
  assert.deepEqual(seen.map(({ user_id }) => user_id), (await results(round)).map(({ user_id }) => user_id));
  const numbers = [];
  for (let cursor = ''; cursor !== null;) {
    const { json } = await ann.api.get(`/api/game/rounds?limit=3${cursor && `&cursor=${cursor}`}`);
    numbers.push(...json.items.map((item) => item.number));
    cursor = json.next_cursor;
  }
  assert.deepEqual(numbers, Array.from({ length: number }, (_, i) => number - i));
  for (const path of ['rankings?by=luck', 'rankings?limit=0', 'rankings?limit=101', 'rounds?cursor=x', 'rounds?limit=a', `rounds/${round.id}?cursor=${Buffer.from('x').toString('base64url')}`])
    assert.equal((await ann.api.get(`/api/game/${path}`)).status, 400, path);
  for (const path of [`rounds/${uuid()}`, 'rounds/none', 'nothing']) assert.equal((await ann.api.get(`/api/game/${path}`)).status, 404, path);
  const nobody = new Api(world.url);
  for (const path of ['rankings', 'rounds', `rounds/${round.id}`]) assert.equal((await nobody.get(`/api/game/${path}`)).status, 401, path);
  for (const path of ['round', 'companies', 'news']) assert.equal((await nobody.get(`/api/game/${path}`)).status, 200, path);
});

test('[S-19][S-12] round, companies and news as everybody reads them; ETag', async () => {
  const nobody = new Api(world.url);
  const row = await world.reached(number + 1, 'setup');
  const round = (await nobody.get('/api/game/round')).json;
  assert.deepEqual([round.id, round.market, round.number, round.seed_cash, round.tick], [row.id, row.id, Number(row.number), SEED, 10_000]);
  assert.ok(['setup', 'open', 'closed'].includes(round.phase));
  assert.ok(Math.abs(Date.parse(round.server_time) - Date.now()) < 5000);
  assert.equal(Date.parse(round.opens_at), row.opens_at.getTime());
  const reply = await nobody.get('/api/game/companies');
  const { round_id, items } = reply.json;
  assert.deepEqual([round_id, items.length], [row.id, 3]);
  assert.ok(items.every(({ price, initial_price, change_pct, halted }) => price === initial_price && change_pct === 0 && halted === false));
  // The market's depth moves the prices: the list falls by change.
  const depth = (company, price, seq) => [company.id, world.event('depth', { market: row.id, company: company.id, index: company.index, seq, phase: 'open', price, initial_price: company.initial_price, volume: 7, high: price, low: company.initial_price, halted: company.index === 0, bids: [], asks: [], trades: [] })];
  const [a, b, c] = [...items].sort((x, y) => x.index - y.index);
  world.publish('market.depth', [depth(a, a.initial_price - 10_000, 5), depth(c, c.initial_price + 10_000, 5)]);
  const moved = await eventually(10000, async () => {
    const list = (await nobody.get('/api/game/companies')).json.items;
    return list.every(({ change_pct, index }) => (change_pct !== 0) === (index !== 1)) && list;
  }, 'prices move');
  assert.deepEqual(moved.map(({ index }) => index), [2, 1, 0]);
  assert.equal(moved[0].change_pct, Math.round(1_000_000 / (c.initial_price / 100)) / 100);
  assert.deepEqual([moved[2].halted, moved[2].volume, b.halted], [true, 7, false]);
  const tagged = await nobody.get(`/api/game/companies`);
  assert.equal((await nobody.get('/api/game/companies', { headers: { 'If-None-Match': tagged.headers.etag } })).status, 304);
  await next([]);
});
