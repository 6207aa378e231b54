// chaos.mjs - kills daemons and stores at random moments under load, and looks afterwards whether anything was lost or happened twice.
//
//   node tests/chaos/chaos.mjs [--seconds 60] [--seed N] [--targets gateway-1,kafka,...]
//
// In front of a stack that runs (make up; PROFILE=bench, because all load comes from one address). The seed and the schedule come first,
// so that a failure can be run again; the verdicts last, with "N passed, N failed".
import { parseArgs } from 'node:util';
import { Api } from '../support/http.mjs';
import { befriend, newcomer, names, signUp } from '../support/people.mjs';
import { alive, allReady, daemons, env, gateways, isReady, pidOf, storeAnswers } from '../support/stack.mjs';
import { eventually, pause } from '../support/wait.mjs';
import { PARK_MS, seen } from './actor.mjs';
import { Couple } from './couples.mjs';
import { Devices } from './devices.mjs';
import { judgeRealtime } from './realtime.mjs';
import { makeSchedule } from './schedule.mjs';
import { Listener, Talk } from './talkers.mjs';
import { counts, judge } from './verdicts.mjs';
import { Editors, Newcomers } from './writers.mjs';

const STORES = ['postgres', 'redis', 'kafka'];
const READY_WITHIN_MS = 60000;
const CLIENTS = { couples: 12, editors: 4, devices: 8, newcomers: 2, talks: 6 };

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string' }, targets: { type: 'string' } },
});
const seconds = Number(values.seconds);
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
if (!(seconds > 0) || !Number.isInteger(seed)) throw new Error('--seconds and --seed are numbers');
const targets = values.targets?.split(',') ?? [...daemons().map(({ name }) => name), ...STORES.filter(pidOf)];
const schedule = makeSchedule(seed, seconds, targets);

console.log(`seed ${seed}, ${seconds} s, targets ${targets.join(' ')}`);
console.log(`schedule ${schedule.map(({ at, target }) => `${(at / 1000).toFixed(1)} ${target}`).join(', ')}`);

/** The same people whatever happens later: nothing is dead yet. */
async function populate() {
  const doors = gateways();
  const people = async (n) => {
    const list = [];
    while (list.length < n)
      list.push(...(await Promise.all(Array.from({ length: Math.min(4, n - list.length) }, () => newcomer({ prefix: 'c' })))));
    for (const person of list)
      await eventually(20000, async () => (await person.api.get('/api/users/me')).status === 200, 'user-svc serves everybody');
    return list;
  };
  let number = 0;
  const each = async (n, make) => {
    const list = [];
    for (let i = 0; i < n; i++) list.push(await make(i, seed + ++number));
    return list;
  };
  const world = {
    couples: await each(CLIENTS.couples, async (i, own) => new Couple(`couple ${i}`, own, doors, await people(5))),
    editors: await each(CLIENTS.editors, async (i, own) => new Editors(`editor ${i}`, own, doors, await people(3))),
    devices: await each(CLIENTS.devices, async (i, own) => new Devices(`device ${i}`, own, doors, await signUp({ prefix: 'c' }))),
    newcomers: await each(CLIENTS.newcomers, (i, own) => new Newcomers(`newcomer ${i}`, own, doors, () => names('c'))),
  };
  world.talks = await each(CLIENTS.talks, async (i, own) => {
    const friends = await people(4);
    for (const other of friends.slice(1)) await befriend(friends[0], other);
    return new Talk(`talk ${i}`, own, doors, friends).begin();
  });
  // The last member of each group only listens.
  world.listeners = await each(CLIENTS.talks, (i, own) => {
    const talk = world.talks[i];
    return new Listener(`listener ${i}`, own, doors, talk.people.pop(), talk);
  });
  // Everybody can be asked: the read copies are there.
  const watcher = world.couples[0].pairs[0].people[0];
  await watcher.logIn();
  const api = new Api(env.GATEWAY_URL, watcher.token);
  for (const couple of world.couples) {
    for (const { people: pair } of couple.pairs) {
      for (const { id } of pair)
        await eventually(20000, async () => id === watcher.id || (await api.get(`/api/users/${id}`)).status === 200, `${id} is known`);
    }
  }
  return world;
}

async function killAll(started) {
  for (const { at, target } of schedule) {
    await pause(Math.max(0, started + at - performance.now()));
    const pid = pidOf(target);
    if (pid && alive(pid)) process.kill(pid, 'SIGKILL');
    console.log(
      `${((performance.now() - started) / 1000).toFixed(1)} s: ${target} ${pid ? `killed (${pid})` : 'was not there'}, ${seen.acknowledged} writes acknowledged, ${seen.unclear} answers uncertain`,
    );
  }
  await pause(Math.max(0, started + seconds * 1000 - performance.now()));
}

/** Empty when everything is ready in time. */
async function readyWithin() {
  const late = [];
  const until = performance.now() + READY_WITHIN_MS;
  const left = () => Math.max(1, until - performance.now());
  for (const store of STORES.filter((name) => targets.includes(name)))
    await eventually(left(), () => pidOf(store) && storeAnswers(store), store).catch((error) => late.push(error.message));
  for (const daemon of daemons())
    await eventually(left(), () => pidOf(daemon.name) && isReady(daemon), daemon.name).catch((error) => late.push(error.message));
  return late;
}

await allReady();
const world = await populate();
const actors = Object.values(world).flat();
let running = true;
const started = performance.now();
const lives = actors.map((actor) => actor.live(() => running));
await killAll(started);
running = false;
await Promise.all(lives);
// A handler that waited for a dead store may still do what it was asked: the same time the clients give it.
const late = await readyWithin();
await pause(PARK_MS);

const statuses = [...seen.statuses]
  .sort((a, b) => b[1] - a[1])
  .map(([what, n]) => `${what}: ${n}`)
  .join(', ');
console.log(`${seen.requests} requests, ${seen.acknowledged} acknowledged, ${seen.unclear} without a certain answer (${statuses})`);
await judge({ base: env.GATEWAY_URL, doors: gateways(), readyWithin: () => late, ...world });
await judgeRealtime({ base: env.GATEWAY_URL, ...world });
const { passed, failed } = counts();
if (failed) console.log(`again: node tests/chaos/chaos.mjs --seconds ${seconds} --seed ${seed}`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
