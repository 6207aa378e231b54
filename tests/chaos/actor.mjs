// actor.mjs - what every client of the chaos run is made of: an operation is repeated until its outcome is certain.
//
// While a daemon or a store is dead, an answer may be lost after the write was done. Then the client repeats what may be repeated, and
// leaves the thing alone for PARK_MS: a handler that still waits for a dead store may do the first attempt's work late.
import { request } from '../support/http.mjs';
import { pause, random } from '../support/wait.mjs';

export const PARK_MS = 8000;
// Only ends what hangs: a broker that is killed takes most of a minute to come back while everything else takes the processors.
export const STUCK_MS = 180000;
// As docs/errors.md asks of clients: not before Retry-After, and less and less often while there is no answer. Who repeats at once keeps the machine
// from bringing back what everybody waits for.
const AGAIN_MS = 100, AGAIN_MOST_MS = 2000;

/** What all clients saw together. */
export const seen = { requests: 0, acknowledged: 0, unclear: 0, statuses: new Map(), internal: [], stuck: [], surprises: [] };

export class Actor {
  constructor(name, seed, doors) {
    this.name = name;
    this.chance = random(seed);
    this.doors = doors;
    this.turn = 0;
    this.notBefore = 0; // what the last answer asked for, in ms
  }

  pick(list) {
    return list[Math.floor(this.chance() * list.length)];
  }

  surprise(text) {
    seen.surprises.push(`${this.name}: ${text}`);
  }

  /** One attempt through any gateway. Undefined: no answer, or one that leaves the outcome open. */
  async attempt(method, path, options) {
    seen.requests++;
    this.notBefore = 0;
    let reply;
    try {
      reply = await request(method, this.doors[this.turn++ % this.doors.length] + path, { timeout: 30000, ...options });
    } catch (error) {
      count(error.code ?? 'no reply');
      return undefined;
    }
    count(reply.status);
    this.notBefore = 1000 * Number(reply.headers['retry-after'] ?? 0);
    if (reply.status === 500) seen.internal.push(`${method} ${path.replace(/[0-9a-f-]{36}/g, '*')}: ${reply.text.slice(0, 200)}`);
    if (reply.status >= 500 || reply.status === 429 || reply.problem === 'still_running') return undefined;
    if (reply.status < 300 && method !== 'GET') seen.acknowledged++;
    return reply;
  }

  /** Repeats until the answer is certain: {reply, unclear: attempts whose outcome is open, took: ms since the first attempt}. */
  async sure(method, path, options) {
    const began = performance.now();
    for (let unclear = 0; ; unclear++) {
      const reply = await this.attempt(method, path, options);
      const took = performance.now() - began;
      if (reply) return { reply, unclear, took };
      seen.unclear++;
      if (took > STUCK_MS) {
        seen.stuck.push(`${this.name}: ${method} ${path}`);
        throw new Error('stuck');
      }
      const least = Math.max(this.notBefore, Math.min(AGAIN_MS * 2 ** Math.min(unclear, 10), AGAIN_MOST_MS));
      await pause(least * (1 + this.chance()));
    }
  }

  /** Does step after step until the run is over; a stuck one ends. */
  async live(running) {
    try {
      while (running()) await this.step();
    } catch (error) {
      if (error.message !== 'stuck') this.surprise(error.stack);
    }
  }
}

function count(what) {
  seen.statuses.set(what, (seen.statuses.get(what) ?? 0) + 1);
}

/** A user who logs in again when the token is too old for the request. */
export class Person {
  constructor(actor, { email, password, id, handle, nickname }) {
    Object.assign(this, { actor, email, password, id, handle, nickname });
    this.token = undefined;
  }

  async logIn() {
    const { reply } = await this.actor.sure('POST', '/api/auth/login', { body: { login: this.email, password: this.password } });
    if (reply.status !== 200) throw new Error(`log-in of ${this.email}: ${reply.status} ${reply.text}`);
    this.token = reply.json.access_token;
  }

  async sure(method, path, body) {
    if (!this.token) await this.logIn();
    let sum = 0;
    for (;;) {
      const { reply, unclear, took } = await this.actor.sure(method, path, { body, token: this.token });
      sum += unclear;
      if (reply.problem !== 'token_expired') return { reply, unclear: sum, took };
      await this.logIn();
    }
  }
}
