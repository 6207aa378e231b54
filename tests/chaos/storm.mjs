// storm.mjs - what every chaos program has: its options, the kills, waiting until everything is back, the last line.
import { parseArgs } from 'node:util';
import { newcomer } from '../support/people.mjs';
import { alive, daemons, gateways, isReady, pidOf, storeAnswers } from '../support/stack.mjs';
import { eventually, pause } from '../support/wait.mjs';
import { PARK_MS, seen } from './actor.mjs';
import { makeSchedule } from './schedule.mjs';
import { counts } from './verdicts.mjs';

const STORES = ['postgres', 'redis', 'kafka'];
const READY_WITHIN_MS = 60000;
/** One round at least must be played in so many: phases are short (tests/run.sh), kills cost some of them. */
export const ROUND_SECONDS = 45;

export class Storm {
  /** `program`: how to call it again; `services`: whose daemons are killed by default (null: all). */
  constructor(program, services = null) {
    const { values } = parseArgs({
      options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string' }, targets: { type: 'string' } },
    });
    this.program = program;
    this.seconds = Number(values.seconds);
    this.seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
    if (!(this.seconds > 0) || !Number.isInteger(this.seed)) throw new Error('--seconds and --seed are numbers');
    const mine = daemons().filter(({ name }) => !services || services.some((service) => name.startsWith(`${service}-`)));
    this.targets = values.targets?.split(',') ?? [...mine.map(({ name }) => name), ...STORES.filter(pidOf)];
    this.schedule = makeSchedule(this.seed, this.seconds, this.targets);
    this.doors = gateways();
    this.number = 0;
    console.log(`seed ${this.seed}, ${this.seconds} s, targets ${this.targets.join(' ')}`);
    console.log(`schedule ${this.schedule.map(({ at, target }) => `${(at / 1000).toFixed(1)} ${target}`).join(', ')}`);
  }

  /** People whom every service serves. */
  async people(n) {
    const list = [];
    while (list.length < n)
      list.push(...(await Promise.all(Array.from({ length: Math.min(4, n - list.length) }, () => newcomer({ prefix: 'c' })))));
    for (const person of list)
      await eventually(20000, async () => (await person.api.get('/api/users/me')).status === 200, 'user-svc serves everybody');
    return list;
  }

  /** n of something, each with a seed of its own. */
  async each(n, make) {
    const list = [];
    for (let i = 0; i < n; i++) list.push(await make(i, this.seed + ++this.number));
    return list;
  }

  /** Lets the actors live under the kills. Resolves, once all is quiet, to what was not ready in time (empty: nothing). */
  async rage(actors) {
    let running = true;
    const started = performance.now();
    const lives = actors.map((actor) => actor.live(() => running));
    await this.#kill(started);
    running = false;
    await Promise.all(lives);
    // A handler that waited for a dead store may still do what it was asked: the same time the clients give it.
    const late = await this.#readyWithin();
    await pause(PARK_MS);
    const statuses = [...seen.statuses]
      .sort((a, b) => b[1] - a[1])
      .map(([what, n]) => `${what}: ${n}`)
      .join(', ');
    console.log(`${seen.requests} requests, ${seen.acknowledged} acknowledged, ${seen.unclear} without a certain answer (${statuses})`);
    return late;
  }

  async #kill(started) {
    for (const { at, target } of this.schedule) {
      await pause(Math.max(0, started + at - performance.now()));
      const pid = pidOf(target);
      if (pid && alive(pid)) process.kill(pid, 'SIGKILL');
      console.log(
        `${((performance.now() - started) / 1000).toFixed(1)} s: ${target} ${pid ? `killed (${pid})` : 'was not there'}, ${seen.acknowledged} writes acknowledged, ${seen.unclear} answers uncertain`,
      );
    }
    await pause(Math.max(0, started + this.seconds * 1000 - performance.now()));
  }

  async #readyWithin() {
    const late = [];
    const until = performance.now() + READY_WITHIN_MS;
    const left = () => Math.max(1, until - performance.now());
    for (const store of STORES.filter((name) => this.targets.includes(name)))
      await eventually(left(), () => pidOf(store) && storeAnswers(store), store).catch((error) => late.push(error.message));
    for (const daemon of daemons())
      await eventually(left(), () => pidOf(daemon.name) && isReady(daemon), daemon.name).catch((error) => late.push(error.message));
    return late;
  }

  /** The last line, and the end. */
  end() {
    const { passed, failed } = counts();
    if (failed) console.log(`again: node tests/chaos/${this.program} --seconds ${this.seconds} --seed ${this.seed}`);
    console.log(`${passed} passed, ${failed} failed`);
    process.exit(failed ? 1 : 0);
  }
}
