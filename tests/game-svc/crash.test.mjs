// Two instances share the rounds; either may be killed in any phase: each step is done once, and the rounds go on.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually } from '../support/wait.mjs';
import { World } from './world.mjs';

const world = new World();
before(() => world.start({ instances: 2, settings: { GAME_OPEN_SECONDS: '2' } }));
after(() => world.stop());

const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

/** What a receiver takes: a relay that dies between sending and deleting leaves doubles, which bear the same number or id. */
function taken(records, key) {
  const seen = new Set();
  return records.filter((record) => !seen.has(record[key]) && seen.add(record[key]));
}

/** Everything of a finished round is there once. */
async function check(number) {
  const round = await world.reached(number, 'ranked', 60000);
  const commands = taken(await world.commands(round.id, (all) => all.some(({ kind }) => kind === 'close')), 'n');
  assert.deepEqual(commands.map(({ n }) => Number(n)), range(1, commands.length), `round ${number}: in order, without holes`);
  assert.deepEqual(['open', 'start', 'close'].map((kind) => commands.filter((command) => command.kind === kind).length), [1, 1, 1]);
  assert.equal(commands.at(-1).kind, 'close');
  assert.equal(round.next_n, commands.length + 1);
  const told = taken(await world.gameEvents(round.id, (all) => all.some(({ kind }) => kind === 'ranking')), 'id');
  assert.deepEqual(told.filter(({ kind }) => kind === 'round').map(({ phase }) => phase), ['setup', 'open', 'closed']);
  assert.equal(told.filter(({ kind }) => kind === 'ranking').length, 1);
  const news = await world.sql('SELECT number FROM news WHERE round_id = $1 ORDER BY number', [round.id]);
  assert.deepEqual(news.map((row) => row.number), range(1, news.length));
  assert.equal(told.filter(({ kind }) => kind === 'news').length, news.length);
  const events = (await world.told('market.events', round.id)).flatMap((record) => record.events);
  assert.deepEqual(taken(events, 'seq').map(({ seq }) => seq), range(1, Math.max(...events.map(({ seq }) => seq))));
  assert.deepEqual(['opened', 'started', 'closed'].map((kind) => taken(events, 'seq').filter((event) => event.kind === kind).length), [1, 1, 1]);
}

/** The running round, once it is in this phase. */
const running = (phase) => eventually(40000, async () => (await world.sql('SELECT * FROM rounds WHERE phase = $1 AND ($1 <> $2 OR ranked_at IS NULL OR next_at > now()) ORDER BY number DESC LIMIT 1', [phase, 'closed']))[0], `a round is ${phase}`, 10);

/** A round in this phase when what `kill` ends was ended: a slow machine may miss one, and takes the next. */
async function caught(phase, kill, start) {
  for (let tries = 1; ; tries++) {
    const { number, id } = await running(phase);
    await kill(id, number);
    const round = await world.round(number);
    if (round.phase === phase) return round;
    assert.ok(tries < 10, `ten rounds were over before the kill`);
    await start();
  }
}
const all = {
  kill: () => Promise.all(world.instances.map((instance) => instance.kill())),
  start: () => Promise.all(world.instances.map((instance) => instance.start())),
};

test('[S-18][S-37] kill -9 of an instance while a round is open: the other goes on alone, nothing is done twice', async () => {
  const { number } = await running('open');
  await world.instances[0].kill();
  await world.reached(number, 'ranked', 60000);
  await world.reached(number + 1, 'setup', 60000);
  await world.instances[0].start();
  await check(number);
});

for (const [phase, victim] of [['setup', 1], ['closed', 0]])
  test(`[S-18][S-37] kill -9 of an instance while a round is ${phase}, and back at once: nothing is lost or done twice`, async () => {
    const { number } = await running(phase);
    await world.instances[victim].kill();
    await world.instances[victim].start();
    await check(number);
  });

test('[S-18] kill -9 of both in the middle of trading: the round is resumed, closed late, and settled', async () => {
  const { number } = await caught('open', all.kill, all.start);
  await eventually(20000, async () => (await world.sql('SELECT closes_at < now() AS over FROM rounds WHERE number = $1', [number]))[0].over, 'its time is over');
  assert.equal((await world.round(number)).phase, 'open');
  await all.start();
  await check(number);
});

test('[S-18] kill -9 of both before the opening: trading begins late and keeps its length', async () => {
  const planned = await caught('setup', all.kill, all.start);
  const { number } = planned;
  await eventually(20000, async () => (await world.sql("SELECT opens_at < now() - interval '1500 ms' AS late FROM rounds WHERE number = $1", [number]))[0].late, 'it is late');
  await all.start();
  const round = await world.reached(number, 'closed', 40000);
  assert.equal(round.closes_at - round.opens_at, 2000);
  assert.ok(round.opens_at > planned.opens_at);
  await check(number);
});

test('[S-16] a stop in good order ends an instance between two steps; the rounds go on', async () => {
  const { number } = await running('open');
  assert.equal(await world.instances[0].stop(), 0);
  await check(number);
  await world.instances[0].start();
});

test("[S-22][S-17][S-38] the market's owner is away in the middle of trading: the bots do not flood what lags, the close waits in the log, and the round is settled when it is back", async () => {
  const [owner] = world.match.instances;
  const { number } = await caught('open', async (id, number) => {
    await eventually(10000, async () => (await world.sql('SELECT 1 FROM news WHERE round_id = $1', [id])).length > 0 || (await world.round(number)).phase === 'closed', 'there are news', 10);
    await owner.kill();
  }, () => owner.start());
  const sent = async () => (await world.round(number)).next_n;
  const before = await sent();
  const { phase } = await world.reached(number, 'closed');
  assert.equal(phase, 'closed');
  const after = await sent();
  assert.ok(after - before <= 60 + 40, `${after - before} commands to a market that does not answer`); // 60 unanswered ones, and what one refill and CLOSE are
  assert.equal((await world.round(number)).ranked_at, null);
  await owner.start();
  await check(number);
});
