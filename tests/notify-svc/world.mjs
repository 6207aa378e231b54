// world.mjs - notify-svc alone (tests/support/world.mjs): people with sessions, and what is told to them.
import { Api } from '../support/http.mjs';
import { eventually } from '../support/wait.mjs';
import { ServiceWorld, uuid } from '../support/world.mjs';

export { uuid };

let names = 0;

export class World extends ServiceWorld {
  constructor() {
    super('notify');
  }
  /** {instances, settings, redisUrl} */
  start(options) {
    return this.open(options);
  }

  // ---- people and events ----

  /** Somebody with a session; nothing is told to the daemons. `api` asks the first instance. */
  person(more = {}) {
    const handle = `n${process.pid}.${++names}`;
    const person = { id: uuid(), sid: uuid(), handle, nickname: handle, email: `${handle}@example.test`, phone: '', locale: 'en', version: 1, ...more };
    person.token = this.auth.token(person);
    person.at = (instance) => new Api(instance.url, person.token);
    person.api = person.at(this.instances[0]);
    return person;
  }
  session(person) {
    return { ...person, sid: uuid(), token: undefined };
  }

  /** A record of notify.requests. */
  request(person, more = {}) {
    return this.event('friend_request', { to: { user: person.id }, args: { from: { id: uuid(), nickname: 'Lee' } }, dedupe_id: uuid(), ...more });
  }
  /** Tells a person things: the records are on the topic when it returns. */
  tell(person, ...requests) {
    this.publish('notify.requests', requests.map((request) => [person.id, request]));
  }
  /** n friend requests that are in the inbox when it resolves; their records. */
  async fill(person, n, more = (i) => ({ args: { from: { id: uuid(), nickname: `Nr${i}` } } })) {
    const before = await this.lastSeq(person);
    const requests = Array.from({ length: n }, (_, i) => this.request(person, more(i)));
    this.tell(person, ...requests);
    await eventually(20000, async () => (await this.lastSeq(person)) === before + n, `${n} notices are stored`);
    return requests;
  }
  async lastSeq(person) {
    return (await this.one('SELECT last_seq FROM inboxes WHERE user_id = $1', [person.id])) ?? 0;
  }

  /** The next version of the account, once it is copied. */
  async account(person, more = {}) {
    this.tellAccounts([person], { role: 'user', ...more });
    const version = person.version++;
    await eventually(15000, async () => (await this.one('SELECT version FROM accounts WHERE user_id = $1', [person.id])) >= version, 'the account is copied');
  }
}
