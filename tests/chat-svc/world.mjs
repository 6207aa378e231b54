// world.mjs - chat-svc alone (tests/support/world.mjs): two instances; people and friendships come as events, as in life.
import { Api } from '../support/http.mjs';
import { eventually } from '../support/wait.mjs';
import { ServiceWorld, oldUuid, uuid } from '../support/world.mjs';

export { all } from '../support/people.mjs';
export { oldUuid, uuid };

export const EVERYBODY = '00000000-0000-7000-8000-000000000001'; // the room of the first migration

let clients = 0;
export const clientId = () => `c-${process.pid}-${++clients}`;

let names = 0;

export class World extends ServiceWorld {
  constructor() {
    super('chat');
  }
  /** `count` instances with these settings. */
  start(settings = {}, count = 2) {
    return this.open({ settings, instances: count });
  }
  environment(instance) {
    instance.wsUrl = `ws://127.0.0.1:${instance.ports.ws}/ws/chat`;
    return { ...super.environment(instance), WS_LISTEN: `127.0.0.1:${instance.ports.ws}` };
  }

  // ---- people ----

  /** Names nobody has; nothing is told to the daemons. `api` talks to the first instance, `other` to the last. */
  stranger(more = {}) {
    const handle = `c${process.pid}.${++names}`;
    const person = { id: oldUuid(), sid: uuid(), handle, nickname: handle, role: 'user', version: 1, ...more };
    person.token = this.auth.token(person);
    person.api = new Api(this.instances[0].url, person.token);
    person.other = new Api(this.instances.at(-1).url, person.token);
    return person;
  }

  /** People whose accounts have arrived. */
  async people(count, more = {}) {
    const people = Array.from({ length: count }, (_, i) => this.stranger(typeof more === 'function' ? more(i) : more));
    this.tellAccounts(people);
    await eventually(15000, async () => (await this.one('SELECT count(*) FROM people WHERE user_id = ANY ($1) AND account_version > 0', [people.map(({ id }) => id)])) === count, 'the accounts are copied');
    return people;
  }
  /** People who are all friends of each other. */
  async friends(count, more = {}) {
    const people = await this.people(count, more);
    const relations = people.flatMap((one, i) => people.slice(i + 1).map((two) => this.relation(one, two)));
    this.tellRelations(relations);
    await this.copied(relations);
    return people;
  }

  // ---- rooms ----

  async dm(one, two) {
    const reply = await one.api.post('/api/chat/rooms', { kind: 'dm', user_id: two.id });
    if (![200, 201].includes(reply.status)) throw new Error(`dm: ${reply.status} ${reply.text}`);
    return reply.json;
  }
  async group(creator, others, title) {
    const reply = await creator.api.post('/api/chat/rooms', { kind: 'group', user_ids: others.map(({ id }) => id), ...(title && { title }) });
    if (reply.status !== 201) throw new Error(`group: ${reply.status} ${reply.text}`);
    return reply.json;
  }
  /** A message that was taken; its JSON. */
  async say(person, room, content = 'hello', more = {}) {
    const reply = await person.api.post(`/api/chat/rooms/${room.id ?? room}/messages`, { client_id: clientId(), content, ...more });
    if (reply.status !== 201) throw new Error(`say: ${reply.status} ${reply.text}`);
    return reply.json;
  }
}
