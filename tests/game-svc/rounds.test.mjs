// Whole rounds by the real daemon and a real match-svc: what is said, what leaves, in which order; and what the market makes of it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually } from '../support/wait.mjs';
import { World } from './world.mjs';

const world = new World();
before(() => world.start());
after(() => world.stop());

const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const of = (kind) => (value) => value.kind === kind;
const MAKER = '00000000-0000-7000-8000-00000000b000';

let round, commands, events;
const whole = async () => {
  if (round) return;
  round = await world.reached(1, 'ranked');
  commands = await world.commands(round.id, (all) => all.some(of('close')));
  events = (await world.told('market.events', round.id, (records) => records.some(({ events }) => events.some(of('accounts'))))).flatMap(({ events }) => events);
};

test('[S-12][S-13][S-15][S-16] the first round begins at once; phases, times and companies are told, and the next one follows', async () => {
  await whole();
  const told = await world.gameEvents(round.id, (all) => all.some(of('ranking')));
  const phases = told.filter(of('round'));
  assert.deepEqual(phases.map(({ phase }) => phase), ['setup', 'open', 'closed']);
  for (const event of phases) {
    assert.equal(event.number, 1);
    assert.equal(event.seed_cash, 10_000_000);
    assert.deepEqual(event.companies.map(({ index }) => index), [0, 1, 2]);
    assert.deepEqual(event.companies.map(({ business }) => business), ['electronics', 'cars', 'chemicals']);
    assert.ok(event.companies.every(({ id, name, name_en, initial_price }) => id && name && name_en && initial_price % 20_000 === 0 && initial_price >= 100_000 && initial_price <= 500_000));
  }
  const spans = phases.map((event) => [Date.parse(event.closes_at) - Date.parse(event.opens_at), Date.parse(event.next_at) - Date.parse(event.closes_at)]);
  for (const span of spans) assert.deepEqual(span, [4000, 1000]);
  const next = await world.reached(2, 'setup');
  assert.ok(next.setup_at >= round.next_at);
  assert.notEqual(next.id, round.id);
  assert.equal((await world.gameEvents(next.id, (all) => all.some(of('round'))))[0].phase, 'setup');
});

test('[S-13][S-15] the time left is told and falls, in trading and in the pause', async () => {
  await whole();
  const told = (await world.gameEvents(round.id)).filter(of('countdown'));
  const open = told.filter(({ phase }) => phase === 'open').map(({ seconds_left }) => seconds_left);
  assert.ok(open.length >= 1 && open.length <= 3 && open.every((left) => left >= 1 && left <= 3), String(open));
  assert.deepEqual(open, [...open].sort((a, b) => b - a));
});

test('[S-12][S-17][S-37] commands leave once each, numbered without holes, in the order of the round: open, deposits, book, start, ..., close', async () => {
  await whole();
  assert.deepEqual(commands.map(({ n }) => Number(n)), range(1, commands.length));
  assert.equal(new Set(commands.map(({ source }) => source)).size, 1);
  const kinds = commands.map(({ kind }) => kind);
  assert.equal(kinds[0], 'open');
  assert.deepEqual(kinds.slice(1, 5), ['deposit', 'deposit', 'deposit', 'deposit']);
  assert.ok(kinds.slice(5, kinds.indexOf('start')).every((kind) => kind === 'place'));
  assert.equal(kinds.at(-1), 'close');
  assert.deepEqual(['open', 'start', 'close'].map((kind) => kinds.filter((other) => other === kind).length), [1, 1, 1]);
});

test('[S-21] the opening book stands at every tick of k/2..3k/2, all of it accepted and none of it traded', async () => {
  await whole();
  const companies = await world.companies(round);
  const placed = commands.slice(0, commands.findIndex(of('start'))).filter(of('place'));
  for (const company of companies) {
    const k = company.initial_price / 10_000;
    const book = placed.filter((order) => order.company === company.index);
    assert.deepEqual(book.map(({ price }) => price / 10_000), range(k / 2, k + k / 2));
    for (const { side, price, quantity, account, bot, post_only } of book) {
      assert.equal(side, price < company.initial_price ? 'buy' : 'sell');
      assert.ok(quantity >= 1 && quantity <= Math.round(1000 / k));
      assert.deepEqual([account, bot, post_only], [MAKER, true, true]);
    }
  }
  const start = events.findIndex(of('started'));
  assert.equal(events.slice(0, start).filter(of('accepted')).length, placed.length);
  assert.equal(events.slice(0, start).filter(of('trade')).length, 0);
});

test('[S-22][S-35] no order of a bot is refused, ends by meeting its own account, or crosses by refill', async () => {
  await whole();
  assert.deepEqual(events.filter(of('rejected')), []);
  assert.deepEqual(events.filter(({ reason }) => reason === 'self_trade'), []);
  for (const { maker, taker } of events.filter(of('trade'))) assert.notEqual(maker, taker);
  const refills = commands.slice(commands.findIndex(of('start'))).filter(({ kind, type }) => kind === 'place' && type === 'limit');
  assert.ok(refills.every(({ account, post_only, quantity }) => account === MAKER && post_only && quantity >= 10 && quantity <= 18 && quantity % 2 === 0));
});

test('[S-23][S-24] each news line is told in two languages, and the bots follow it after the delay, six times, with market orders', async () => {
  await whole();
  const told = (await world.gameEvents(round.id)).filter(of('news'));
  assert.ok(told.length >= 2 && told.length <= 3, `${told.length} news`);
  const stored = await world.sql('SELECT n.*, c.index FROM news n JOIN companies c ON c.id = company_id WHERE n.round_id = $1 ORDER BY number', [round.id]);
  assert.deepEqual(told.map(({ company, line, good }) => [company, line, good]), stored.map(({ company_id, line, weight }) => [company_id, line, weight > 0]));
  for (const { text, company_name } of told) assert.ok(text.ko.startsWith(`${company_name}: `) && / \w/.test(text.en));
  const follow = commands.filter(({ kind, type }) => kind === 'place' && type === 'market');
  assert.ok(follow.every(({ account, bot }) => bot && account !== MAKER));
  assert.ok(follow.length >= 6 && follow.length <= 6 * told.length, `${follow.length} orders`);
  for (const { index } of stored.slice(0, 1)) assert.ok(follow.slice(0, 6).every(({ company }) => company === index));
});

test('[S-15][S-17][S-50] final accounts and last prices are stored from the close in the log, and cash is conserved', async () => {
  await whole();
  const closed = events.find(of('closed'));
  assert.deepEqual((await world.companies(round)).map(({ last_price }) => last_price), closed.last_prices);
  const accounts = events.filter(of('accounts')).flatMap((event) => event.accounts);
  const stored = await world.sql('SELECT user_id, cash, bot FROM participants WHERE round_id = $1 ORDER BY user_id', [round.id]);
  assert.deepEqual(stored.map(({ user_id, cash }) => [user_id, cash]), accounts.map(({ account, cash }) => [account, cash]));
  assert.ok(stored.every(({ bot }) => bot));
  const deposits = commands.filter(of('deposit'));
  const given = deposits.reduce((sum, { cash, shares }) => sum + cash + shares.reduce((value, count, i) => value + count * closed.last_prices[i], 0), 0);
  assert.equal(stored.reduce((sum, { cash }) => sum + cash, 0), given);
});

test('[S-14] the metrics tell of steps, commands, news and rounds', async () => {
  await whole();
  const [instance] = world.instances;
  await eventually(10000, async () => (await instance.metric('madang_game_rounds_total')) >= 2, 'two rounds were set up');
  assert.ok((await instance.metric('madang_game_commands_total')) >= commands.length);
  assert.ok((await instance.metric('madang_game_news_total')) >= 2);
  assert.ok((await instance.metric('madang_game_steps_total{step="close"}')) >= 1);
  assert.ok((await instance.metric('madang_game_step_lateness_seconds_count{step="start"}')) >= 1);
  assert.equal(await instance.metric('madang_game_event_gaps_total'), 0);
});
