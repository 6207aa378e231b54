// world.mjs - user-svc alone (tests/support/world.mjs): people whose accounts have arrived.
import { Api } from '../support/http.mjs';
import { eventually } from '../support/wait.mjs';
import { ServiceWorld, oldUuid } from '../support/world.mjs';

export { all } from '../support/people.mjs';
export { oldUuid, uuid } from '../support/world.mjs';

let names = 0;

export class World extends ServiceWorld {
  constructor() {
    super('user', 'users');
  }
  start(settings = {}) {
    return this.open({ settings });
  }
  environment(instance) {
    return { ...super.environment(instance), PICTURE_GRACE_SECONDS: '0' };
  }

  /** The daemon anew, with other settings. */
  async restart(settings = {}) {
    await this.instances[0].stop();
    this.settings = settings;
    await this.instances[0].start();
  }

  // ---- people ----

  /** Names nobody has; nothing is told to the daemon. With `api` of a token. */
  stranger(more = {}) {
    const handle = `u${process.pid}.${++names}`;
    const person = { id: oldUuid(), handle, nickname: handle, email: `${handle}@example.test`, role: 'user', locale: 'ko', version: 1, ...more };
    person.token = this.auth.token(person);
    person.api = new Api(this.url, person.token);
    return person;
  }

  /** People whose events have arrived. */
  async people(count, more = {}) {
    const people = Array.from({ length: count }, (_, i) => this.stranger(typeof more === 'function' ? more(i) : more));
    this.tellAccounts(people);
    await eventually(15000, async () => (await this.one('SELECT count(*) FROM people WHERE user_id = ANY ($1) AND account_version > 0', [people.map((person) => person.id)])) === count, 'the accounts are copied');
    return people;
  }

  /** A change of an account, once it is copied. */
  async change(person, more) {
    person.version = more.version ?? person.version + 1;
    this.tellAccounts([person], more);
    await eventually(15000, async () => (await this.one('SELECT account_version FROM people WHERE user_id = $1', [person.id])) >= person.version, 'the change is copied');
  }
  withdraw(person) {
    return this.change(person, { withdrawn: true, handle: '', nickname: '', email: '' });
  }

  async befriend(a, b) {
    const asked = await a.api.put(`/api/friends/requests/${b.id}`);
    const agreed = await b.api.post(`/api/friends/requests/${a.id}/accept`);
    if (asked.status !== 201 || agreed.status !== 200) throw new Error(`befriend: ${asked.text} ${agreed.text}`);
  }
}
