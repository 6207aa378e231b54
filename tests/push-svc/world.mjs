// world.mjs - push-svc alone (tests/support/world.mjs), with stand-ins for FCM and for a browser's push service.
import { createECDH, randomBytes } from 'node:crypto';
import { Fcm } from '../standins/fcm.mjs';
import { certificate } from '../standins/tls.mjs';
import { WebPush } from '../standins/webpush.mjs';
import { Api } from '../support/http.mjs';
import { eventually } from '../support/wait.mjs';
import { ServiceWorld, uuid } from '../support/world.mjs';

export { uuid };

let names = 0;

export class World extends ServiceWorld {
  constructor() {
    super('push');
  }
  /** `sink`: without credentials. `instances`: how many daemons. */
  async start(settings = {}, { sink = false, instances = 1 } = {}) {
    if (!sink) await this.#standIns();
    return this.open({ settings, instances });
  }

  async #standIns() {
    const tls = certificate(this.folder);
    const vapid = createECDH('prime256v1');
    vapid.generateKeys();
    this.fcm = await Fcm.start(tls);
    this.browsers = await WebPush.start(tls, vapid.getPublicKey('base64url'));
    this.credentials = {
      FCM_CREDENTIALS: this.fcm.credentials, FCM_URL: this.fcm.url, PUSH_CA_FILE: tls.file, PUSH_WEB_HOSTS: '127.0.0.1', PUSH_ALLOW_INNER: 'on',
      VAPID_PRIVATE_KEY: vapid.getPrivateKey('base64url'), VAPID_SUBJECT: 'mailto:push@example.test',
    };
  }

  environment(instance) {
    return {
      ...super.environment(instance),
      // Short, so that what is put off comes back within a test.
      PUSH_BACKOFF_MS: '200', PUSH_QUOTA_BACKOFF_MS: '1000', PUSH_PRESENCE_WAIT_MS: '300', PUSH_SEND_TIMEOUT_MS: '2000', PUSH_CLAIM_SECONDS: '10',
      ...this.credentials,
    };
  }
  async stop() {
    await super.stop().finally(async () => {
      await this.fcm?.stop();
      await this.browsers?.stop();
    });
  }

  /** A metric's value of one instance, or of all together. */
  async metric(line, instances = this.instances) {
    const values = await Promise.all(instances.map((instance) => instance.metric(line)));
    return values.reduce((sum, value) => sum + value, 0);
  }

  // ---- people and devices ----

  person(more = {}) {
    const handle = `p${process.pid}.${++names}`;
    const person = { id: uuid(), sid: uuid(), handle, nickname: handle, ...more };
    person.api = new Api(this.url, this.auth.token(person));
    return person;
  }
  /** The same person in another session. */
  again(person) {
    return this.person({ id: person.id, handle: person.handle, nickname: person.nickname });
  }

  token() {
    return `fcm:${randomBytes(90).toString('base64url')}`;
  }
  /** A device of theirs with a token of FCM; the token. */
  async device(person, { id = 'phone', platform = 'android', token = this.token(), name } = {}) {
    const reply = await person.api.put(`/api/push/devices/${id}`, { platform, token, name });
    if (reply.status !== 200) throw new Error(reply.text);
    return token;
  }
  /** A browser of theirs. */
  async browser(person, id = 'browser') {
    const browser = this.browsers.subscribe();
    const reply = await person.api.put(`/api/push/devices/${id}`, { platform: 'web', subscription: browser.subscription });
    if (reply.status !== 200) throw new Error(reply.text);
    return browser;
  }

  // ---- events ----

  pushEvent(person, more = {}) {
    return this.event('push', { user_id: person.id, title: 'kim', body: 'hello', data: {}, collapse_key: null, ttl_seconds: 3600, dedupe_id: uuid(), source: 'chat', ...more });
  }
  /** Asks for pushes; their dedupe ids. */
  push(...events) {
    this.publish('push.requests', events.map((event) => [event.user_id, event]));
    return events.map((event) => event.dedupe_id);
  }
  async known(table, person, ms = 15000) {
    await eventually(ms, async () => (await this.one(`SELECT count(*) FROM ${table} WHERE user_id = $1`, [person.id])) > 0, `${table} has the event`);
  }
  /** The next version of the account. */
  account(person, more = {}) {
    person.version = (person.version ?? 0) + 1;
    this.tellAccounts([person], { email: '', email_verified: false, verified: false, ...more });
  }
  async presence(person, online) {
    person.n = (person.n ?? 0) + 1;
    this.publish('presence.changes', [[person.id, this.event('presence', { user_id: person.id, online, visible: true, show_last_seen: true, last_seen: null, n: person.n })]]);
    await eventually(15000, async () => (await this.one('SELECT n FROM presence WHERE user_id = $1', [person.id])) === person.n, 'the change of presence is copied');
  }
  async preferences(person, quiet_hours, push_off = []) {
    person.settings = (person.settings ?? 0) + 1;
    this.publish('notify.settings', [[person.id, this.event('notify_settings', { user_id: person.id, quiet_hours, push_off, version: person.settings })]]);
    await eventually(15000, async () => (await this.one('SELECT version FROM preferences WHERE user_id = $1', [person.id])) === person.settings, 'the settings are copied');
  }

  // ---- what became of pushes ----

  /** The sends of a push: [{state, reason, attempts, channel}] by device. */
  sends(dedupeId) {
    return this.sql('SELECT s.state, s.reason, s.attempts, s.channel, s.device FROM sends s JOIN requests r ON r.id = s.request_id WHERE r.dedupe_id = $1 ORDER BY s.id', [dedupeId]);
  }
  /** Waits until all sends of a push are over. */
  async settled(dedupeId, ms = 15000) {
    return eventually(ms, async () => {
      const sends = await this.sends(dedupeId);
      return sends.length > 0 && sends.every(({ state }) => !['queued', 'retry'].includes(state)) && sends;
    }, `push ${dedupeId} is settled`);
  }
  async ended(dedupeId, state, reason, ms = 15000) {
    const sends = await this.settled(dedupeId, ms);
    if (!sends.every((send) => send.state === state && (reason === undefined || send.reason === reason)))
      throw new Error(`wanted ${state} ${reason}: ${JSON.stringify(sends)}`);
    return sends;
  }
}
