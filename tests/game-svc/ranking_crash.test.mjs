// ranking_crash.test.mjs - kill -9 while a round of thousands is ranked, told and noticed: it goes on where it was, and nothing is done twice.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { readTopic } from '../support/topics.mjs';
import { eventually } from '../support/wait.mjs';
import { oldUuid } from '../support/world.mjs';
import { cashOf, trade } from './results_kit.mjs';
import { World } from './world.mjs';

const PEOPLE = 4000;
const world = new World();
before(() => world.start({ instances: 2, settings: { GAME_OPEN_SECONDS: '20', GAME_BREAK_SECONDS: '120', GAME_BOTS: 'off' } }), { timeout: 270000 });
after(() => world.stop(), { timeout: 180000 });

test('[S-50][S-15][I1] killed in every piece of the ranking, it is done once: results, ratings, ranking, one notice for each', async () => {
  const ends = Array.from({ length: PEOPLE }, (_, i) => ({ id: oldUuid(), ...(i < 3 ? { up: 20 - i } : { up: 1 + (i % 9), down: i % 4 }) }));
  const round = await trade(world, 1, ends);
  const seen = () => world.sql('SELECT (SELECT count(*)::int FROM participants WHERE round_id = $1) AS people, (SELECT accounts_at IS NOT NULL FROM progress WHERE round_id = $1) AS accounts, (SELECT noticed_to::text FROM rankings WHERE round_id = $1) AS noticed, (SELECT noticed_at IS NOT NULL FROM rankings WHERE round_id = $1) AS done', [round.id]).then(([row]) => JSON.stringify(row));
  const [one, two] = world.instances;
  let kills = 0;
  const kill = async (instance) => {
    await instance.kill();
    kills++;
    return instance.start();
  };
  // Each time that something has moved one of the two dies, while the other goes on or takes over.
  await world.reached(1, 'closed');
  let before = await seen();
  for (let i = 0; i < 8 && !JSON.parse(before).done; i++) {
    const last = before;
    before = await eventually(30000, async () => {
      const now = await seen();
      return now !== last && now;
    }, 'it goes on');
    await (i % 3 === 2 ? Promise.all([kill(one), kill(two)]) : kill(i % 2 ? one : two));
  }
  assert.ok(kills >= 2, `${kills} kills`);
  await eventually(60000, async () => JSON.parse(await seen()).done === true, 'all have their notices');

  const sorted = [...ends].sort((a, b) => cashOf(b) - cashOf(a));
  assert.equal(await world.one('SELECT count(*)::int FROM results WHERE round_id = $1', [round.id]), PEOPLE);
  assert.equal(await world.one('SELECT participants FROM rankings WHERE round_id = $1', [round.id]), PEOPLE);
  assert.deepEqual((await world.sql('SELECT user_id, points, place FROM results WHERE round_id = $1 AND points > 0 ORDER BY place', [round.id])).map(({ user_id, points, place }) => [user_id, points, place]),
    [[sorted[0].id, 100, 1], [sorted[1].id, 50, 2], [sorted[2].id, 30, 3]]);
  assert.deepEqual((await world.sql('SELECT rating::int FROM people WHERE user_id = ANY ($1) AND rating > 0 ORDER BY rating', [ends.map(({ id }) => id)])).map(({ rating }) => rating), [30, 50, 100]);

  await eventually(20000, async () => (await world.one('SELECT count(*)::int FROM outbox')) === 0, 'all has left');
  const told = (await readTopic('game.events')).map(({ value }) => value).filter(({ market }) => market === round.id);
  for (const kind of ['ranking', 'ratings']) assert.equal(new Set(told.filter((value) => value.kind === kind).map(({ id }) => id)).size, 1, kind);
  const notices = (await readTopic('notify.requests')).map(({ value }) => value).filter((value) => value.kind === 'round_result' && value.args.round.id === round.id);
  assert.equal(new Set(notices.map(({ id }) => id)).size, PEOPLE); // the relay may say one twice, with the same id
  assert.equal(new Set(notices.map(({ to }) => to.user)).size, PEOPLE);
  assert.equal(await world.one('SELECT count(*)::int FROM steps WHERE round_id = $1 AND kind = $2', [round.id, 'rank']), 0);
}, { timeout: 400000 });
