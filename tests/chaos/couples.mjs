// couples.mjs - clients that ask, accept, cancel, unfriend, block and unblock. Each owns a few pairs of people and is alone with them, so
// it knows after every answer how a pair stands; a repeat of an operation changes nothing more.
import { Actor, PARK_MS, Person } from './actor.mjs';

const nothing = () => ({ friend: false, from: null, blocks: [false, false] });
const blocked = (state) => state.blocks[0] || state.blocks[1];

/** Each: what a person `x` (0 or 1) does to the other; how the pair stands afterwards; which answers are right, alone and as a repeat. */
const OPERATIONS = {
  ask: {
    call: (other) => ['PUT', `/api/friends/requests/${other}`],
    expect(state, x) {
      if (blocked(state)) return { answers: [403], repeats: [403] };
      if (state.friend) return { answers: [409], repeats: [409] };
      if (state.from === 1 - x) return { answers: [200], repeats: [409], next: { ...nothing(), friend: true } };
      if (state.from === x) return { answers: [200], repeats: [200] };
      return { answers: [201], repeats: [200], next: { ...nothing(), from: x } };
    },
  },
  cancel: {
    call: (other) => ['DELETE', `/api/friends/requests/${other}`],
    expect: (state, x) => (state.from === x ? { answers: [204], repeats: [404], next: nothing() } : { answers: [404], repeats: [404] }),
  },
  accept: {
    call: (other) => ['POST', `/api/friends/requests/${other}/accept`],
    expect: (state, x) =>
      state.from === 1 - x ? { answers: [200], repeats: [404], next: { ...nothing(), friend: true } } : { answers: [404], repeats: [404] },
  },
  unfriend: {
    call: (other) => ['DELETE', `/api/friends/${other}`],
    expect: (state) => (state.friend ? { answers: [204], repeats: [404], next: nothing() } : { answers: [404], repeats: [404] }),
  },
  block: {
    call: (other) => ['PUT', `/api/blocks/${other}`],
    expect: (state, x) => ({
      answers: [200, 201, 204],
      repeats: [200, 201, 204],
      next: { ...nothing(), blocks: state.blocks.map((is, i) => is || i === x) },
    }),
  },
  unblock: {
    call: (other) => ['DELETE', `/api/blocks/${other}`],
    expect: (state, x) => ({
      answers: state.blocks[x] ? [204] : [204, 404],
      repeats: [204, 404],
      next: { ...state, blocks: state.blocks.map((is, i) => is && i !== x) },
    }),
  },
};
// Blocks end everything, so they come seldom and go soon.
const WISHES = [
  'ask',
  'ask',
  'ask',
  'ask',
  'cancel',
  'accept',
  'accept',
  'accept',
  'unfriend',
  'unfriend',
  'block',
  'unblock',
  'unblock',
  'unblock',
];

export class Couple extends Actor {
  constructor(name, seed, doors, people, pairsPerClient = 4) {
    super(name, seed, doors);
    const centre = new Person(this, people[0]);
    this.pairs = people
      .slice(1, 1 + pairsPerClient)
      .map((other) => ({ people: [centre, new Person(this, other)], state: nothing(), parked: 0, asked: [0, 0] }));
  }

  async step() {
    const free = this.pairs.filter((pair) => pair.parked < performance.now());
    if (free.length === 0) return new Promise((resolve) => setTimeout(resolve, 50));
    const pair = this.pick(free);
    const x = this.chance() < 0.5 ? 0 : 1;
    const wish = this.pick(WISHES);
    const { call, expect } = OPERATIONS[wish];
    const { answers, repeats, next } = expect(pair.state, x);
    const [method, path] = call(pair.people[1 - x].id);
    const { reply, unclear } = await pair.people[x].sure(method, path);
    if (wish === 'ask') pair.asked[x] += 1 + unclear;
    // The gateway itself repeats PUT and DELETE when it loses a service.
    const right = unclear || method !== 'POST' ? [...answers, ...repeats] : answers;
    if (!right.includes(reply.status)) {
      this.surprise(
        `${wish} by ${x} in ${JSON.stringify(pair.state)} after ${unclear} open attempts: ${reply.status} ${reply.text.slice(0, 200)}`,
      );
    }
    if (next) pair.state = next;
    if (unclear) pair.parked = performance.now() + PARK_MS;
    return undefined;
  }
}
