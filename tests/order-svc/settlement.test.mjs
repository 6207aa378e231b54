// Settlement as a whole: real engine, two instances of order-svc, kill -9 in the middle, the audit as an operator runs it.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { buildDir, env } from '../support/stack.mjs';
import { eventually } from '../support/wait.mjs';
import { all, range, uuid, World } from './world.mjs';

const world = new World();
before(() => world.start());
after(() => world.stop());

/** order-svc --audit or another of its tools: {status, words}. */
function tool(name, market) {
  return new Promise((resolve) => {
    const options = { env: { PATH: process.env.PATH, ORDER_DB_URL: world.role, KAFKA_BROKERS: env.KAFKA_BROKERS }, timeout: 60000 };
    execFile(path.join(buildDir, 'bin/order-svc'), [name, market], options, (error, out, words) => resolve({ status: error ? error.code : 0, words: out + words }));
  });
}

const audit = (market) => tool('--audit', market);

/** Everybody's cash and shares by the API of one instance. */
async function portfolios(people, which) {
  return Promise.all(people.map(async (person) => {
    const { cash, holdings } = (await person[which].get('/api/portfolio')).json;
    return [person.id, cash, holdings.map(({ company, quantity }) => [company.id ?? company, quantity]).sort()];
  }));
}

/** Sends orders one after another until `going()` says no; gives those that were answered with a verdict. */
async function trade(round, person, going) {
  const answered = [];
  for (let i = 0; going(); i++) {
    const api = i % 2 ? person.api : person.other;
    const wish = round.order(i % 3 ? 'buy' : 'sell', 18 + ((i * 7) % 5), 1 + (i % 3));
    const reply = await api.post('/api/orders', wish, { timeout: 15000 }).catch(() => undefined);
    if (reply?.status === 201) answered.push(reply.json);
  }
  return answered;
}

test('[S-37][S-38][I1][I3] kill -9 of either instance in the middle of trading: every order that was answered is settled once, and the audit is clean', async () => {
  const round = await world.round();
  const people = world.people(6);
  await round.offer(...range(15, 19).map((ticks) => ['buy', ticks, 200]), ...range(20, 25).map((ticks) => ['sell', ticks, 200]));
  let trading = true;
  const traders = people.map((person) => trade(round, person, () => trading));
  for (const victim of world.instances) {
    const before = Number(await world.one('SELECT seq FROM markets WHERE id = $1', [round.id]));
    await eventually(30000, async () => Number(await world.one('SELECT seq FROM markets WHERE id = $1', [round.id])) > before + 30, 'it settles', 1);
    await victim.kill();
    await victim.start();
  }
  trading = false;
  const answered = (await Promise.all(traders)).flat();
  assert.ok(answered.length > 20, `${answered.length} were answered`);
  await round.close();
  const rows = new Map((await world.sql('SELECT id, status, filled::int, quantity::int FROM orders WHERE market_id = $1', [round.id])).map((row) => [row.id, row]));
  for (const order of answered) {
    const row = rows.get(order.id);
    assert.ok(row && ['filled', 'cancelled'].includes(row.status), `${order.id} ${row?.status}`);
    assert.ok(row.filled >= order.filled, 'what was told is not taken back');
  }
  const { status, words } = await audit(round.id);
  assert.equal(status, 0, words);
  assert.match(words, /closed, .* 0 differences/);
  assert.deepEqual(await portfolios(people, 'api'), await portfolios(people, 'other'));
  assert.equal(await world.one('SELECT differences::int FROM markets WHERE id = $1', [round.id]), 0);
});

test('[S-17][S-38] orders on their way when the round closes: taken before the close or refused, nothing in between', async () => {
  const round = await world.round();
  const people = world.people(4);
  await round.offer(['sell', 20, 500], ['buy', 19, 500]);
  let trading = true;
  const traders = people.map((person) => trade(round, person, () => trading));
  await eventually(20000, async () => Number(await world.one('SELECT count(*)::int FROM orders WHERE market_id = $1 AND NOT bot', [round.id])) > 10, 'some are settled', 1);
  await round.close();
  trading = false;
  await Promise.all(traders);
  const closed = Number(await world.one("SELECT min(seq) FROM orders WHERE market_id = $1 AND reason = 'round_closed'", [round.id]));
  assert.equal(await world.one('SELECT count(*)::int FROM trades WHERE market_id = $1 AND seq > $2', [round.id, closed]), 0, 'no trade after the close');
  assert.equal(await world.one("SELECT count(*)::int FROM orders WHERE market_id = $1 AND status = 'open'", [round.id]), 0);
  const { status, words } = await audit(round.id);
  assert.equal(status, 0, words);
});

test('[S-38][S-55] the audit as a tool: 0 while the round goes on, 1 with the differences in words, 2 without a market', async () => {
  const round = await world.round();
  const [ann] = world.people(1);
  await round.offer(['sell', 20, 10]);
  await round.place(ann, 'buy', 20, 3);
  await ann.api.get('/api/portfolio'); // settled
  const open = await audit(round.id);
  assert.deepEqual([open.status, /, open, /.test(open.words)], [0, true], open.words);
  await world.sql('UPDATE accounts SET cash = cash + 5 WHERE market_id = $1 AND user_id = $2', [round.id, ann.id]);
  const wrong = await audit(round.id);
  assert.equal(wrong.status, 1, wrong.words);
  assert.match(wrong.words, new RegExp(`account ${ann.id}: cash is 9400005, by the log 9400000`));
  await world.sql('UPDATE accounts SET cash = cash - 5 WHERE market_id = $1 AND user_id = $2', [round.id, ann.id]);
  assert.equal((await audit(round.id)).status, 0);
  for (const market of [uuid(), 'nothing', '']) assert.equal((await audit(market)).status, 2);
});

test('[S-38] each round is audited by itself some time after its close', async () => {
  const round = await world.round();
  const [ann] = world.people(1);
  await round.offer(['sell', 20, 10]);
  await round.place(ann, 'buy', 20, 3);
  await round.close();
  // as if it had closed a minute ago: it waits for the ranking otherwise
  await world.sql("UPDATE markets SET closed_at = closed_at - interval '1 minute' WHERE id = $1", [round.id]);
  await eventually(40000, async () => (await world.one('SELECT audit_differences::int FROM markets WHERE id = $1', [round.id])) === 0, 'it is audited');
  const same = () => Promise.all(world.instances.map((instance) => instance.metric('madang_order_audits_total{result="same"}')));
  await eventually(10000, async () => (await same()).some((count) => count >= 1), 'it is counted');
});

test('[S-10] who withdraws has no open orders a moment later', async () => {
  const round = await world.round();
  const [ann, bob] = world.people(2);
  for (const ticks of [5, 6, 7]) await round.place(ann, 'buy', ticks, 1);
  const kept = await round.place(bob, 'buy', 5, 1);
  world.tellAccounts([{ ...ann, version: 2 }], { withdrawn: true, nickname: '', handle: '' });
  await eventually(20000, async () => (await world.one("SELECT count(*)::int FROM orders WHERE user_id = $1 AND status = 'cancelled'", [ann.id])) === 3, 'they are settled and cancelled');
  assert.equal((await bob.api.get(`/api/orders/${kept.id}`)).json.status, 'open');
  const orders = await all(ann.api, '/api/orders');
  assert.deepEqual(orders.map(({ status, reason }) => [status, reason]), range(1, 3).map(() => ['cancelled', 'cancelled']));
  assert.equal((await audit(round.id)).status, 0);
});

test('[S-38][S-54][I1] a round whose rows are wrong is settled again from its log; the schema is behind the log until then', async () => {
  const round = await world.round();
  const [ann] = world.people(1);
  await round.offer(['sell', 20, 50]);
  await round.place(ann, 'buy', 20, 3);
  await ann.api.get('/api/portfolio');
  await world.sql('UPDATE accounts SET cash = cash + 5 WHERE market_id = $1; '.replace('$1', `'${round.id}'`));
  assert.equal((await audit(round.id)).status, 1);
  const forgotten = await tool('--resettle', round.id);
  assert.deepEqual([forgotten.status, /rows forgotten/.test(forgotten.words)], [0, true], forgotten.words);
  for (const instance of world.instances) {
    await instance.stop();
    await instance.start();
  }
  await round.reached('open');
  const more = await round.offer(['sell', 21, 5]); // settled only when all before it is
  assert.equal(await world.one('SELECT status FROM orders WHERE id = $1', [more[0]]), 'open');
  assert.equal((await ann.api.get('/api/portfolio')).json.cash, 10_000_000 - 3 * 200_000);
  // once more, without a restart: the partition's next record shows that the schema is behind
  assert.equal((await tool('--resettle', round.id)).status, 0);
  await round.offer(['sell', 22, 5]);
  const { status, words } = await audit(round.id);
  assert.equal(status, 0, words);
  for (const market of [uuid(), 'x']) assert.equal((await tool('--resettle', market)).status, 2);
});
