// world.mjs - presence-svc alone (tests/support/world.mjs): signals are sent as chat-svc and notify-svc send them.
import { Api } from '../support/http.mjs';
import { eventually } from '../support/wait.mjs';
import { ServiceWorld, uuid } from '../support/world.mjs';

export { uuid };

/** Short times: a lease of 3 s, a moment of 1 s. */
export const LEASE = 3, DOWN = 1;

export class World extends ServiceWorld {
  constructor() {
    super('presence');
  }
  start(instances = 1, settings = {}) {
    return this.open({ instances, settings });
  }
  environment(instance) {
    return { ...super.environment(instance), PRESENCE_LEASE_SECONDS: String(LEASE), PRESENCE_DOWN_SECONDS: String(DOWN) };
  }

  // ---- people and what is told of them ----

  person(role = 'user') {
    const id = uuid();
    const token = this.auth.token({ id, role });
    return { id, token, apis: this.instances.map(({ url }) => new Api(url, token)), get api() { return this.apis[0]; } };
  }
  apiOf(person, instance) {
    return new Api(instance.url, person.token);
  }

  /** A connection of a person, as a chat instance tells of it. */
  connection(person, lease = LEASE) {
    return { id: uuid(), person, n: 0, lease };
  }
  signal(connection, kind) {
    connection.n++;
    return [connection.person.id, this.event(kind, { user_id: connection.person.id, connection: connection.id, n: connection.n, lease_seconds: connection.lease })];
  }
  signals(connections, kind) {
    this.publish('presence.signals', connections.map((connection) => this.signal(connection, kind)));
  }
  up(person, lease) {
    const connection = this.connection(person, lease);
    this.signals([connection], 'up');
    return connection;
  }

  async withdraw(person) {
    this.tellAccounts([person], { handle: '', nickname: '', email: '', email_verified: false, locale: '', verified: false, withdrawn: true, version: 2 });
    await eventually(15000, async () => (await this.sql('SELECT withdrawn FROM people WHERE user_id = $1', [person.id]))[0]?.withdrawn, 'the withdrawal is copied');
  }

  /** What `viewer` sees of `person`: an item, or undefined. */
  async seen(viewer, person, instance = this.instances.find(({ runs }) => runs)) {
    const reply = await this.apiOf(viewer, instance).get(`/api/presence?ids=${person.id}`);
    if (reply.status !== 200) throw new Error(`${reply.status} ${reply.text}`);
    return reply.json.items[0];
  }
  async until(viewer, person, online, ms = 15000) {
    return eventually(ms, async () => ((await this.seen(viewer, person))?.online === online ? this.seen(viewer, person) : false), `${online ? 'online' : 'offline'} is seen`);
  }
}
