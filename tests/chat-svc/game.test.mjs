// game.test.mjs - the trading game in the chat: announcements and company rooms, the countdown, private fills and orders.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually } from '../support/wait.mjs';
import { again } from '../support/market_play.mjs';
import { ServiceWorld } from '../support/world.mjs';
import { Round } from './market_kit.mjs';
import { ERRORS, EVENTS, connectRaw, room } from './stomp_kit.mjs';
import { EVERYBODY, World, clientId, uuid } from './world.mjs';

const world = new World();
const matching = new ServiceWorld('match');
before(() => Promise.all([world.start(), matching.open()]), { timeout: 270000 });
after(() => Promise.all([world.stop(), matching.stop()]), { timeout: 180000 });
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
  const phases = await eventually(10000, async () => {
    const lines = (await linesOf(ann, EVERYBODY)).filter(({ said: line }) => line.market === round.id).reverse();
    return lines.some(({ said: line }) => line.phase === 'closed') && lines;
  }, 'the end is said to everybody');
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
  const stored = await eventually(10000, async () => {
    const lines = (await linesOf(ann, EVERYBODY)).filter(({ said }) => said.market === round.id);
    return lines.length >= 5 && lines;
  }, 'all is stored');
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

// ---- private: fills and orders; a real match-svc answers ----

const ofGame = (raw) => raw.frames.filter(({ json, headers }) => headers.destination === EVENTS && ['fill', 'order'].includes(json?.type)).map(({ json }) => json);
const seqs = (raw) => ofGame(raw).map(({ type, seq }) => [type, seq]);

test('[S-34][S-45][S-46] fills and orders reach those whom they concern, on every socket of theirs, in order, and nobody else', async () => {
  const [ann, bob, eve] = await world.people(3);
  const round = new Round(world);
  const [one, two] = [await open(first(), ann, [EVENTS, 'e']), await open(second(), ann, [EVENTS, 'e'])];
  const [b, e] = [await open(second(), bob, [EVENTS, 'e']), await open(first(), eve, [EVENTS, 'e'])];
  const market = await round.market(); // opened 1, started 2, deposited 3, the house's offer 4
  const company = { company: 1 };
  const rests = market.place(ann.id, 'buy', 5, 190_000, { ...company, client_order_id: 'mine-1' });
  await market.send(
    market.place(bob.id, 'buy', 3, undefined, company), // accepted 5, trade 6, done 7
    rests, // accepted 8
    market.place(bob.id, 'sell', 3, undefined, company), // accepted 9, trade 10, done 11
    market.cancel(rests), // done 12
    market.cancel(rests), // rejected 13: an answer, nothing new
    market.place(ann.id, 'buy', 1000, 200_000, company), // rejected 14
  );
  for (const raw of [one, two]) {
    await raw.body(({ type, order: said }) => type === 'order' && said.reason === 'insufficient_cash');
    assert.deepEqual(seqs(raw), [['order', 8], ['fill', 10], ['order', 12], ['order', 14]]);
    const [accepted, fill, done, rejected] = ofGame(raw);
    assert.deepEqual(accepted.order, {
      id: rests.order_id, client_order_id: 'mine-1', company_id: round.companies[1].id, side: 'buy', type: 'limit', time_in_force: 'gtc', post_only: false, price: 190_000, quantity: 5, remaining: 5, filled: 0, status: 'open',
    });
    assert.deepEqual(fill.fill, { id: `${round.companies[1].id}:2`, number: 2, order_id: rests.order_id, company_id: round.companies[1].id, side: 'buy', price: 190_000, quantity: 3, remaining: 2, maker: true });
    assert.deepEqual([done.order.status, done.order.filled, done.order.average_price, done.order.reason], ['cancelled', 3, 190_000, 'cancelled']);
    assert.equal(rejected.order.status, 'rejected');
    assert.ok([accepted, fill, done, rejected].every((told) => told.market === round.id && Date.parse(told.at) > 0));
  }
  await eventually(8000, () => ofGame(b).length === 4, 'all of bob');
  assert.deepEqual(seqs(b), [['fill', 6], ['order', 7], ['fill', 10], ['order', 11]]); // over within its own command: told once, at its end
  assert.deepEqual(ofGame(b).map(({ fill, order: said }) => fill?.side ?? said.status), ['buy', 'filled', 'sell', 'filled']);
  assert.equal(ofGame(b)[0].fill.maker, false);
  assert.equal(ofGame(e).length, 0);
  await market.close();
});

test('[I2][S-45] doubled records tell nothing twice, and an instance that came later knows the companies', async () => {
  const [ann] = await world.people(1);
  const round = new Round(world);
  const market = await round.market();
  round.tell(round.phase('setup'));
  await eventually(10000, () => world.one('SELECT count(*) = 3 FROM market_companies WHERE market = $1', [round.id]), 'the companies are known');
  await eventually(10000, async () => (await market.records()).length === 4, 'the market is open');
  const third = await world.another(); // it has not heard OPENED
  const [a, c] = [await open(first(), ann, [EVENTS, 'e']), await open(third, ann, [EVENTS, 'e'])];
  const buys = [1, 2, 3, 4].map(() => market.place(ann.id, 'buy', 1, undefined, { company: 1 })); // accepted, trade, done: 5 to 16
  await market.send(...buys.slice(0, 2));
  await a.body(({ seq }) => seq === 10);
  const records = await market.records();
  again([...records, ...records.slice(-2)]);
  await market.send(...buys.slice(2));
  again(records.slice(-1));
  for (const raw of [a, c]) {
    await raw.body(({ seq }) => seq === 16);
    assert.deepEqual(seqs(raw), [['fill', 6], ['order', 7], ['fill', 9], ['order', 10], ['fill', 12], ['order', 13], ['fill', 15], ['order', 16]]);
    assert.ok(ofGame(raw).every(({ fill, order: said }) => (fill ?? said).company_id === round.companies[1].id));
  }
  await third.stop();
  await market.close();
});

test('[S-45][S-46] nobody speaks on such queues, whatever is tried; a closed or unsubscribed socket gets nothing', async () => {
  const [ann, eve] = await world.people(2);
  const round = new Round(world);
  const a = await open(first(), ann, [EVENTS, 'e']);
  const e = await open(first(), eve, [ERRORS, 'err']);
  const [bob] = await world.people(1);
  const b = await open(first(), bob, [EVENTS, 'e']);
  const body = JSON.stringify({ client_id: clientId(), type: 'fill', content: 'you are rich', kind: 'system' });
  for (const destination of [EVENTS, `/user/${ann.id}/queue/events`, '/app/queue/events', '/topic/rooms.' + EVERYBODY]) {
    e.send('SEND', { destination, receipt: `r-${destination}` }, body);
    await e.body(({ receipt }) => receipt === `r-${destination}`);
  }
  e.send('SEND', { destination: `/app/rooms.${EVERYBODY}.messages`, receipt: 'sys' }, JSON.stringify({ client_id: clientId(), kind: 'system', content: '{"type":"round"}' }));
  await e.body(({ receipt }) => receipt === 'sys');
  e.send('SUBSCRIBE', { id: 'x', destination: `/user/${ann.id}/queue/events`, receipt: 'sx' });
  await e.body(({ receipt }) => receipt === 'sx');
  const market = await round.market();
  a.send('UNSUBSCRIBE', { id: 'e' });
  await a.subscribe(room(EVERYBODY), 'all'); // in order after it
  const buy = (person) => market.place(person.id, 'buy', 1, undefined, { company: 1 }); // accepted, trade, done
  await market.send(buy(ann), buy(bob));
  await b.body(({ seq }) => seq === 10); // what came before it on this instance has found nobody
  await a.subscribe(EVENTS, 'again');
  await market.send(buy(ann));
  await a.body(({ seq }) => seq === 13);
  assert.deepEqual(seqs(a), [['fill', 12], ['order', 13]]);
  assert.equal(ofGame(e).length, 0);
  assert.equal(a.frames.some(({ body: text }) => text.includes('you are rich')), false);
  await market.close();
});

test('[S-46][I9] records that concern nobody here are passed over by their head', async () => {
  const [ann] = await world.people(1);
  const a = await open(first(), ann, [EVENTS, 'e']);
  const round = new Round(world);
  const what = async () => Object.fromEntries(await Promise.all(['told', 'nobody_here'].map(async (name) => [name, await first().metric(`madang_chat_market_records_total{what="${name}"}`)])));
  const market = await round.market();
  const buy = (id) => market.place(id, 'buy', 1, undefined, { company: 1 });
  await market.send(buy(ann.id));
  await a.body(({ seq }) => seq === 7); // on this instance, as far as this partition: what other markets left there is behind us
  const before = await what();
  await market.send(...[1, 2, 3].map(() => buy(uuid())), buy(ann.id));
  await a.body(({ seq }) => seq === 19);
  await eventually(10000, async () => (await what()).nobody_here >= before.nobody_here + 3, 'they were passed over');
  assert.ok((await what()).told <= before.told + 2, 'of them none was told'); // the two of ann, whenever they are counted
  await market.close();
});

test('[S-46][S-45] two hundred sockets of forty people: each fill reaches its two, on all their sockets, and no other', async () => {
  const people = await world.people(40);
  const round = new Round(world);
  const raws = await Promise.all(people.flatMap((person) => Array.from({ length: 5 }, (_, j) => open(j % 2 ? first() : second(), person, [EVENTS, 'e']).then((raw) => ({ raw, person })))));
  const market = await round.market();
  const company = { company: 1 };
  // Everybody buys one; then each sells it to another.
  await market.send(...people.map(({ id }) => market.place(id, 'buy', 1, undefined, company)), ...people.flatMap(({ id }, i) => [market.place(people[(i * 7 + 3) % 40].id, 'buy', 1, 150_000, company), market.place(id, 'sell', 1, undefined, company)]));
  const trades = await eventually(20000, async () => {
    const all = (await market.events()).filter(({ kind }) => kind === 'trade');
    return all.length === 80 && all;
  }, 'they have traded');
  await Promise.all(raws.map(async ({ raw, person }) => {
    const expected = trades.filter(({ maker, taker }) => maker === person.id || taker === person.id).map(({ seq }) => seq);
    const fills = () => ofGame(raw).filter(({ type }) => type === 'fill').map(({ seq }) => seq);
    await eventually(20000, () => fills().length >= expected.length, `the fills of ${person.handle}`);
    assert.deepEqual(fills(), expected);
  }));
  await market.close();
}, { timeout: 180000 });

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
