// chaos.mjs - kills daemons and stores at random moments under load, and looks afterwards whether anything was lost or happened twice.
//
//   node tests/chaos/chaos.mjs [--seconds 60] [--seed N] [--targets gateway-1,kafka,...]
//
// In front of a stack that runs (make up; PROFILE=bench, because all load comes from one address). The seed and the schedule come first,
// so that a failure can be run again; the verdicts last, with "N passed, N failed".
import { Api } from '../support/http.mjs';
import { befriend, names, signUp } from '../support/people.mjs';
import { allReady, env } from '../support/stack.mjs';
import { eventually } from '../support/wait.mjs';
import { Couple } from './couples.mjs';
import { Devices } from './devices.mjs';
import { judgeRealtime } from './realtime.mjs';
import { ROUND_SECONDS, Storm } from './storm.mjs';
import { Listener, Talk } from './talkers.mjs';
import { Market, Trader } from './traders.mjs';
import { judgeTrading } from './trading_verdicts.mjs';
import { judge } from './verdicts.mjs';
import { Editors, Newcomers } from './writers.mjs';

const CLIENTS = { couples: 12, editors: 4, devices: 8, newcomers: 2, talks: 6, traders: 100 };

const storm = new Storm('chaos.mjs');
const { doors } = storm;

/** The same people whatever happens later: nothing is dead yet. */
async function populate() {
  const world = {
    couples: await storm.each(CLIENTS.couples, async (i, own) => new Couple(`couple ${i}`, own, doors, await storm.people(5))),
    editors: await storm.each(CLIENTS.editors, async (i, own) => new Editors(`editor ${i}`, own, doors, await storm.people(3))),
    devices: await storm.each(CLIENTS.devices, async (i, own) => new Devices(`device ${i}`, own, doors, await signUp({ prefix: 'c' }))),
    newcomers: await storm.each(CLIENTS.newcomers, (i, own) => new Newcomers(`newcomer ${i}`, own, doors, () => names('c'))),
  };
  world.talks = await storm.each(CLIENTS.talks, async (i, own) => {
    const friends = await storm.people(4);
    for (const other of friends.slice(1)) await befriend(friends[0], other);
    return new Talk(`talk ${i}`, own, doors, friends).begin();
  });
  // The last member of each group only listens.
  world.listeners = await storm.each(CLIENTS.talks, (i, own) => {
    const talk = world.talks[i];
    return new Listener(`listener ${i}`, own, doors, talk.people.pop(), talk);
  });
  world.market = new Market(doors);
  const crowd = await storm.people(CLIENTS.traders);
  world.traders = await storm.each(CLIENTS.traders, (i, own) => new Trader(`trader ${i}`, own, doors, crowd[i], world.market));
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

await allReady();
const world = await populate();
const late = await storm.rage(Object.values(world).flat());
const base = env.GATEWAY_URL;
await judge({ base, doors, readyWithin: () => late, ...world });
await judgeRealtime({ base, ...world });
await judgeTrading({ base, ...world, roundsWanted: Math.ceil(storm.seconds / ROUND_SECONDS) });
storm.end();
