// The owner of markets as a daemon: killed, stopped, doubled; what it tells is what the log says, whoever told it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { decodeCommand } from '../support/market.mjs';
import { readBytes } from '../support/topics.mjs';
import { eventually } from '../support/wait.mjs';
import { Markets, Owners, uuid } from './owner_kit.mjs';

const world = new Owners();
before(() => world.open({ instances: 2 }));
after(() => world.stop());

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
const count = async (markets) => sum([...(await markets.told()).values()].map(({ events }) => events.length));
/** Each market has one owner. */
const shared = (markets, ms = 30000) => eventually(ms, async () => sum(await world.held()) === markets.ids.length, `${markets.ids.length} markets are open in all`);

test('[S-54] a record of events carries what its command carried, and whom it concerns', async () => {
  const markets = new Markets(1);
  const [market] = markets.markets;
  await markets.open();
  const order = (account, bot, side) => markets.command('place', market, { order_id: uuid(), account, bot, company: 0, side, price: 500, quantity: 2 });
  await markets.send([order(market.bot, true, 'sell')], { corr: 'order-svc-9:1' });
  await markets.send([order(market.people[0], false, 'buy')], { corr: 'order-svc-9:2', traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' });
  await markets.close();
  const { records } = (await markets.told()).get(market.id);
  assert.deepEqual(records.slice(0, 5).map(({ events }) => events.map(({ kind }) => kind)), [['opened'], ['deposited'], ['started'], ['accepted'], ['accepted', 'trade', 'done', 'done']]);
  assert.deepEqual(records[3].headers, { corr: 'order-svc-9:1' });
  assert.deepEqual(records[4].headers, { corr: 'order-svc-9:2', users: market.people[0], traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' });
  const { events } = records[4];
  assert.deepEqual([events[1].price, events[1].quantity, events[1].maker, events[1].taker], [500, 2, market.bot, market.people[0]]);
  assert.equal(await markets.check(world), 0);
});

test('[I1][I2] kill -9 in the middle of a stream of commands: nothing is lost, doubled or told otherwise', async (t) => {
  const markets = new Markets(6);
  await markets.open();
  await shared(markets);
  for (const victim of world.instances) {
    const told = await count(markets);
    const stream = Promise.all(Array.from({ length: 8 }, () => markets.play(250)));
    await eventually(20000, async () => (await count(markets)) > told, 'events come', 1);
    const start = performance.now();
    await victim.kill();
    await victim.start();
    t.diagnostic(`kill -9 to ready again: ${Math.round(performance.now() - start)} ms`);
    await stream;
  }
  const commands = markets.some(100);
  await markets.send(commands);
  await markets.send(commands); // a producer that did not hear the answer
  await markets.close();
  await markets.check(world);
});

test('[I1][I2] partitions move by stop, kill -9 and start: each market has one owner, and its round goes on', async (t) => {
  const COUNT = 20; // on partitions of both instances, whatever their ids are
  const markets = new Markets(COUNT);
  await markets.open();
  await eventually(30000, async () => {
    const held = await world.held();
    return sum(held) === COUNT && held.every((n) => n > 0);
  }, 'both own some');
  const [first, second] = world.instances;
  await markets.play(800);
  await second.stop();
  await eventually(20000, async () => (await world.held())[0] === COUNT, 'the first one has all');
  assert.equal(sum([...(await markets.told()).values()].map(({ doubles }) => doubles)), 0, 'handed over without a double');
  await markets.play(400);
  await second.start();
  await shared(markets);
  const stream = markets.play(400);
  await first.kill(); // and nobody starts it again for now
  const start = performance.now();
  await eventually(40000, async () => (await world.held())[1] === COUNT, 'the other one has all');
  t.diagnostic(`kill -9 to the other instance, without a restart: ${Math.round(performance.now() - start)} ms`);
  await stream;
  await first.start();
  await shared(markets);
  await markets.close();
  await markets.check(world);
  assert.equal(sum(await world.held('stopped')), 0);
});

test('[I1][I10] a snapshot that was damaged is refused when the process comes back, and --replay says so', async () => {
  const markets = new Markets(1);
  const [id] = markets.ids;
  await markets.open();
  await markets.play(700);
  await eventually(20000, async () => (await world.one('SELECT count(*)::int FROM snapshots WHERE market_id = $1', [id])) >= 1, 'a snapshot is stored');
  await markets.play(700);
  await eventually(20000, async () => (await world.one('SELECT count(*)::int FROM snapshots WHERE market_id = $1', [id])) >= 2, 'and another');
  const damage = 'UPDATE snapshots SET bytes = set_byte(bytes, 100, get_byte(bytes, 100) # 1) WHERE market_id = $1 AND command_offset = (SELECT max(command_offset) FROM snapshots WHERE market_id = $1)';
  const { partition } = (await world.sql('SELECT partition FROM markets WHERE id = $1', [id]))[0];
  await Promise.all(world.instances.map((instance) => instance.kill()));
  await world.sql(damage, [id]);
  const wrong = await world.tool('--replay', id);
  assert.equal(wrong.status, 1);
  assert.match(wrong.out, /refused: the row's checksum differs[^]*DIFFERENT\n$/);
  await Promise.all(world.instances.map((instance) => instance.start()));
  await eventually(20000, async () => sum(await Promise.all(world.instances.map((instance) => instance.metric('madang_match_snapshots_total{result="refused"}')))) >= 1, 'it is refused');
  await markets.close();
  assert.deepEqual((await markets.told()).get(id).faults, []);
  await world.sql('DELETE FROM snapshots WHERE market_id = $1', [id]);
  await markets.check(world);
  const rows = (await world.tool('--dump', 'market.commands', String(partition))).out.trim().split('\n').map(JSON.parse);
  const records = (await readBytes('market.commands')).filter((record) => record.partition === partition);
  assert.deepEqual(rows.filter(({ command }) => command?.market === id).map(({ command }) => ({ client_order_id: undefined, ...command })),
    records.filter(({ key }) => key === id).map(({ bytes }) => decodeCommand(bytes)).map(({ client_order_id, ...command }) => ({ client_order_id: client_order_id || undefined, ...command })));
});

test('[I10] the tools say what is wrong', async () => {
  const none = await world.tool('--replay', uuid());
  assert.equal(none.status, 1);
  assert.match(none.err, /was ever opened/);
  assert.equal((await world.tool('--replay', 'x')).status, 1);
  assert.equal((await world.tool('--replay')).status, 2);
  assert.equal((await world.tool('--dump', 'accounts', '0')).status, 2);
  assert.equal((await world.tool('--dump', 'market.events', 'one')).status, 2);
});
