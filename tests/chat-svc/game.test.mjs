// game.test.mjs - the trading game in the chat: announcements and company rooms, the countdown, private fills and orders.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually } from '../support/wait.mjs';
import { Round, record, tell } from './market_kit.mjs';
import { ERRORS, EVENTS, connectRaw, room } from './stomp_kit.mjs';
import { EVERYBODY, World, clientId, uuid } from './world.mjs';

const world = new World();
before(() => world.start(), { timeout: 90000 });
after(() => world.stop(), { timeout: 60000 });
const [first, second] = [() => world.instances[0], () => world.instances[1]];
const sockets = [];
after(() => sockets.forEach((raw) => raw.close()));
const open = async (instance, person, ...subscriptions) => {
  const raw = await connectRaw(instance, person);
  sockets.push(raw);
  for (const [destination, id] of subscriptions) await raw.subscribe(destination, id);
  return raw;
};
const linesOf = async (person, where) => (await person.api.get(`/api/chat/rooms/${where}/messages?limit=100`)).json.items.map((message) => ({ ...message, said: JSON.parse(message.kind === 'system' ? message.content : '{}') }));
const roomOf = (person, company) => person.api.get(`/api/chat/rooms/${company.id}`);

test('[S-12][S-13][S-15][S-44] a round makes its company rooms, everybody speaks there, and its end closes them', async () => {
  const [ann, bob] = await world.people(2);
  const round = new Round(world);
  round.tell(round.phase('setup', 60_000), round.phase('open', 300_000));
  for (const company of round.companies) {
    const made = await eventually(10000, async () => {
      const reply = await roomOf(ann, company);
      return reply.status === 200 && reply.json;
    }, `the room of ${company.name}`);
    assert.deepEqual([made.kind, made.title], ['company', company.name]);
  }
  const said = await ann.api.post(`/api/chat/rooms/${round.companies[0].id}/messages`, { client_id: clientId(), content: 'buy!' });
  assert.equal(said.status, 201);
  const listed = (await bob.api.get('/api/chat/rooms?kind=company&limit=100')).json.items.map(({ id }) => id);
  for (const company of round.companies) assert.ok(listed.includes(company.id));
  round.tell(round.phase('closed', 360_000));
  await eventually(10000, async () => (await bob.api.post(`/api/chat/rooms/${round.companies[0].id}/messages`, { client_id: clientId(), content: 'late' })).status === 409, 'the room is closed');
  assert.equal((await linesOf(bob, round.companies[0].id)).some(({ content }) => content === 'buy!'), true); // what was said can still be read
  const phases = (await linesOf(ann, EVERYBODY)).filter(({ said: line }) => line.market === round.id).reverse();
  assert.deepEqual(phases.map(({ said: line }) => [line.type, line.phase]), [['round', 'setup'], ['round', 'open'], ['round', 'closed']]);
  assert.deepEqual(phases.map(({ said: line }) => line.text.en), [
    `Round ${round.number} is being set up. Trading starts in 1 minute.`, `Round ${round.number}: trading is open. It closes in 5 minutes.`,
    `Round ${round.number} is over. The next one comes in 6 minutes.`,
  ]);
  assert.ok(phases.every(({ kind, sender, said: line }) => kind === 'system' && !sender && /라운드/.test(line.text.ko)));
});

test('[S-23][S-45] news and ranking are said once, whatever comes twice, on both instances, in order', async () => {
  const [ann, bob] = await world.people(2);
  const round = new Round(world);
  const [company] = round.companies;
  round.tell(round.phase('setup'));
  await eventually(10000, async () => (await roomOf(ann, company)).status === 200, 'the room');
  const a = await open(first(), ann, [room(EVERYBODY), 'all'], [room(company.id), 'company']);
  const b = await open(second(), bob, [room(EVERYBODY), 'all']);
  const news = [round.news(company, 'one'), round.news(company, 'two')];
  const places = [{ place: 1, user_id: ann.id, nickname: ann.nickname, return_pct: 12.3, total_asset: 11_230_000 }, { place: 1, user_id: bob.id, nickname: bob.nickname, return_pct: 12.3, total_asset: 11_230_000 }];
  const ranking = round.ranking(places);
  round.tell(news[0], news[0], news[1], news[0], ranking, ranking, news[1], round.phase('closed'));
  const mine = (raw, id) => raw.messages(id).map(({ content }) => JSON.parse(content)).filter(({ market }) => market === round.id);
  for (const raw of [a, b]) {
    await eventually(10000, () => mine(raw, 'all').at(-1)?.phase === 'closed', 'the end is said');
    assert.deepEqual(mine(raw, 'all').map(({ type }) => type).slice(-4), ['news', 'news', 'ranking', 'round']);
  }
  await eventually(10000, () => mine(a, 'company').length === 2, 'the company\'s room says its news');
  assert.deepEqual(mine(a, 'company').map(({ text }) => text.en), [`${company.name}: one`, `${company.name}: two`]);
  const told = mine(b, 'all').find(({ type }) => type === 'ranking');
  assert.deepEqual(told.places.map(({ place, user_id, return_pct }) => [place, user_id, return_pct]), [[1, ann.id, 12.3], [1, bob.id, 12.3]]);
  assert.equal(told.text.en, `Round ${round.number}: 1. ${ann.nickname} 12.3%, 1. ${bob.nickname} 12.3%`);
  const stored = (await linesOf(ann, EVERYBODY)).filter(({ said }) => said.market === round.id);
  assert.equal(new Set(stored.map(({ id }) => id)).size, stored.length);
  assert.deepEqual(stored.map(({ said: { type } }) => type), ['round', 'ranking', 'news', 'news', 'round']);
});

test('[S-13] the countdown is told to who looks, and not kept; nobody took part: no ranking is said', async () => {
  const [ann] = await world.people(1);
  const round = new Round(world);
  const raw = await open(second(), ann, [room(EVERYBODY), 'all']);
  round.tell(round.countdown(45), round.ranking([], 0), round.phase('closed'));
  const body = await raw.body(({ type, market }) => type === 'countdown' && market === round.id);
  assert.deepEqual([body.phase, body.seconds_left, body.room_id], ['open', 45, EVERYBODY]);
  await eventually(10000, async () => (await linesOf(ann, EVERYBODY)).some(({ said }) => said.market === round.id && said.phase === 'closed'), 'the end is said');
  assert.deepEqual((await linesOf(ann, EVERYBODY)).filter(({ said }) => said.market === round.id).map(({ said }) => said.type), ['round']);
});

test('[S-45][S-46] an event that is none goes to the dead letters, and the next ones are said', async () => {
  const [ann] = await world.people(1);
  const round = new Round(world);
  round.tell(round.event('round', { phase: 'never', companies: [] }), { hello: 1 }, round.event('news', { company: 'x' }), round.event('weather', {}), round.phase('closed'));
  await eventually(30000, async () => (await linesOf(ann, EVERYBODY)).some(({ said }) => said.market === round.id && said.phase === 'closed'), 'the end is said');
});

// ---- private: fills and orders ----

const order = (account, more = {}) => ({ id: uuid(), account: account.id, side: 'buy', price: 200_000, quantity: 5, ...more });
const OPENED = (round, seq = 1) => record(round.id, seq, [{ kind: 'opened', companies: round.companies }]);
const ofGame = (raw) => raw.frames.filter(({ json, headers }) => headers.destination === EVENTS && ['fill', 'order'].includes(json?.type)).map(({ json }) => json);

test('[S-34][S-45][S-46] fills and orders reach those whom they concern, on every socket of theirs, in order, and nobody else', async () => {
  const [ann, bob, eve] = await world.people(3);
  const round = new Round(world);
  const [one, two] = [await open(first(), ann, [EVENTS, 'e']), await open(second(), ann, [EVENTS, 'e'])];
  const [b, e] = [await open(second(), bob, [EVENTS, 'e']), await open(first(), eve, [EVENTS, 'e'])];
  const rests = order(ann, { client: 'mine-1', company: 1 });
  const takes = order(bob, { side: 'sell', type: 'market', price: 0, quantity: 3, company: 1 });
  tell([
    OPENED(round),
    record(round.id, 2, [{ kind: 'accepted', order: rests }], [ann.id]),
    record(round.id, 3, [
      { kind: 'accepted', order: takes },
      { kind: 'trade', company: 1, takerSide: 'sell', number: 1, price: 200_000, quantity: 3, makerOrder: rests.id, takerOrder: takes.id, maker: ann.id, taker: bob.id, makerRemaining: 2 },
      { kind: 'done', order: takes, filled: 3, paid: 600_000, reason: 'filled' },
    ], [ann.id, bob.id]),
    record(round.id, 6, [{ kind: 'done', order: rests, filled: 3, paid: 600_000, reason: 'cancelled', command: 'cancel' }], [ann.id]),
    record(round.id, 7, [{ kind: 'rejected', order: rests, reason: 'order_done', command: 'cancel' }], [ann.id]),
    record(round.id, 8, [{ kind: 'rejected', order: order(ann), reason: 'insufficient_cash' }], [ann.id]),
  ]);
  for (const raw of [one, two]) {
    await raw.body(({ type, order: said }) => type === 'order' && said.reason === 'insufficient_cash');
    const [accepted, fill, done, rejected, ...more] = ofGame(raw);
    assert.equal(more.length, 0);
    assert.deepEqual([accepted.seq, fill.seq, done.seq, rejected.seq], [2, 4, 6, 8]);
    assert.deepEqual({ ...accepted.order }, {
      id: rests.id, client_order_id: 'mine-1', company_id: round.companies[1].id, side: 'buy', type: 'limit', time_in_force: 'gtc', post_only: false, price: 200_000, quantity: 5, remaining: 5, filled: 0, status: 'open',
    });
    assert.deepEqual(fill.fill, { number: 1, order_id: rests.id, company_id: round.companies[1].id, side: 'buy', price: 200_000, quantity: 3, remaining: 2, maker: true });
    assert.deepEqual([done.order.status, done.order.filled, done.order.average_price, done.order.reason], ['cancelled', 3, 200_000, 'cancelled']);
    assert.equal(rejected.order.status, 'rejected');
    assert.ok([accepted, fill, done, rejected].every(({ market, at }) => market === round.id && Date.parse(at) > 0));
  }
  await b.body(({ type, order: said }) => type === 'order' && said.status === 'filled');
  assert.deepEqual(ofGame(b).map(({ type, seq }) => [type, seq]), [['fill', 4], ['order', 5]]); // over within its own command: told once, at its end
  assert.deepEqual([ofGame(b)[0].fill.side, ofGame(b)[0].fill.maker], ['sell', false]);
  assert.equal(ofGame(e).length, 0);
});

test('[I2][S-45] a doubled record tells nothing twice, and an instance that came later knows the companies', async () => {
  const [ann] = await world.people(1);
  const round = new Round(world);
  round.tell(round.phase('setup'));
  await eventually(10000, () => world.one('SELECT count(*) = 3 FROM market_companies WHERE market = $1', [round.id]), 'the companies are known');
  const third = await world.another(); // it has not heard OPENED
  const [a, c] = [await open(first(), ann, [EVENTS, 'e']), await open(third, ann, [EVENTS, 'e'])];
  const fill = (seq) => record(round.id, seq, [{ kind: 'trade', company: 2, takerSide: 'buy', number: seq, price: 100_000, quantity: 1, makerOrder: uuid(), takerOrder: uuid(), maker: uuid(), taker: ann.id }], [ann.id]);
  const all = [2, 3, 4, 5].map(fill);
  tell([all[0], all[1], all[0], all[1], all[2], all[2], all[3]]);
  for (const raw of [a, c]) {
    await raw.body(({ type, seq }) => type === 'fill' && seq === 5);
    assert.deepEqual(ofGame(raw).map(({ seq }) => seq), [2, 3, 4, 5]);
    assert.ok(ofGame(raw).every((one) => one.fill.company_id === round.companies[2].id));
  }
  await third.stop();
});

test('[S-45][S-46] nobody speaks on such queues, whatever is tried; a closed or unsubscribed socket gets nothing', async () => {
  const [ann, eve] = await world.people(2);
  const round = new Round(world);
  const a = await open(first(), ann, [EVENTS, 'e']);
  const e = await open(first(), eve, [ERRORS, 'err']);
  const body = JSON.stringify({ client_id: clientId(), type: 'fill', content: 'you are rich', kind: 'system' });
  for (const destination of [EVENTS, `/user/${ann.id}/queue/events`, '/app/queue/events', '/topic/rooms.' + EVERYBODY]) {
    e.send('SEND', { destination, receipt: `r-${destination}` }, body);
    await e.body(({ receipt }) => receipt === `r-${destination}`);
  }
  e.send('SEND', { destination: `/app/rooms.${EVERYBODY}.messages`, receipt: 'sys' }, JSON.stringify({ client_id: clientId(), kind: 'system', content: '{"type":"round"}' }));
  await e.body(({ receipt }) => receipt === 'sys');
  e.send('SUBSCRIBE', { id: 'x', destination: `/user/${ann.id}/queue/events`, receipt: 'sx' });
  await e.body(({ receipt }) => receipt === 'sx');
  a.send('UNSUBSCRIBE', { id: 'e' });
  await a.subscribe(room(EVERYBODY), 'all'); // in order after it
  const fill = (seq) => record(round.id, seq, [{ kind: 'trade', takerSide: 'buy', number: seq, price: 100_000, quantity: 1, makerOrder: uuid(), takerOrder: uuid(), maker: uuid(), taker: ann.id }], [ann.id]);
  const passed = () => first().metric('madang_chat_market_records_total{what="nobody_here"}');
  const before = await passed();
  tell([OPENED(round), fill(2)]);
  await eventually(10000, async () => (await passed()) > before, 'nobody was here for it');
  await a.subscribe(EVENTS, 'again');
  tell([fill(3)]);
  await a.body(({ type, seq }) => type === 'fill' && seq === 3);
  assert.deepEqual(ofGame(a).map(({ seq }) => seq), [3]);
  assert.equal(ofGame(e).length, 0);
  assert.equal(a.frames.some(({ body: text }) => text.includes('you are rich')), false);
});

test('[S-46][I9] records that concern nobody here are passed over by their head', async () => {
  const [ann] = await world.people(1);
  await open(first(), ann, [EVENTS, 'e']);
  const round = new Round(world);
  const before = await first().metric('madang_chat_market_records_total{what="nobody_here"}');
  tell([OPENED(round), ...[2, 3, 4].map((seq) => record(round.id, seq, [{ kind: 'trade', takerSide: 'buy', number: seq, price: 1e5, quantity: 1, makerOrder: uuid(), takerOrder: uuid(), maker: uuid(), taker: uuid() }], [uuid(), uuid()]))]);
  await eventually(10000, async () => (await first().metric('madang_chat_market_records_total{what="nobody_here"}')) >= before + 3, 'they were passed over');
});

test('[S-46][S-45] two hundred sockets of forty people: each fill reaches its two, on all their sockets, and no other', async () => {
  const people = await world.people(40);
  const round = new Round(world);
  const raws = await Promise.all(people.flatMap((person, i) => Array.from({ length: 5 }, (_, j) => open(j % 2 ? first() : second(), person, [EVENTS, 'e']).then((raw) => ({ raw, i })))));
  const pairs = people.map((_, i) => [i, (i * 7 + 1) % 40]).filter(([a, b]) => a !== b);
  tell([OPENED(round)]);
  const events = pairs.map(([a, b], i) => ({ kind: 'trade', takerSide: 'buy', number: i + 1, price: 100_000, quantity: 1, makerOrder: uuid(), takerOrder: uuid(), maker: people[a].id, taker: people[b].id }));
  tell([record(round.id, 2, events, [...new Set(pairs.flat())].map((i) => people[i].id))]);
  await Promise.all(raws.map(async ({ raw, i }) => {
    const expected = pairs.flatMap(([a, b], n) => (a === i || b === i ? [n + 2] : []));
    await eventually(20000, () => ofGame(raw).length >= expected.length, `the fills of ${i}`);
    assert.deepEqual(ofGame(raw).map(({ seq }) => seq), expected);
  }));
}, { timeout: 60000 });

test('[S-44] what is left of old rounds goes: closed rooms after a day, with their words', async () => {
  const [ann] = await world.people(1);
  const round = new Round(world);
  round.tell(round.phase('setup'), round.news(round.companies[0]), round.phase('closed'));
  const ids = round.companies.map(({ id }) => id);
  await eventually(10000, async () => (await world.one('SELECT count(*)::int FROM rooms WHERE id = ANY ($1) AND closed_at IS NOT NULL', [ids])) === 3, 'closed');
  await world.sql("UPDATE rooms SET closed_at = now() - interval '25 hours' WHERE id = ANY ($1)", [ids.slice(0, 2)]);
  const fresh = await world.another(); // sweeps when it begins
  await eventually(30000, async () => (await world.one('SELECT count(*)::int FROM rooms WHERE id = ANY ($1)', [ids])) === 1, 'swept');
  assert.equal(await world.one('SELECT count(*)::int FROM messages WHERE room_id = ANY ($1)', [ids.slice(0, 2)]), 0);
  assert.equal((await roomOf(ann, round.companies[0])).status, 404);
  assert.equal((await roomOf(ann, round.companies[2])).status, 200);
  await fresh.stop();
});
