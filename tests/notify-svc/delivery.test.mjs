// What leaves to the outside: once where it can be, again where it must be, dead letters where nothing helps; and never in the way of an inbox.
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { eventually } from '../support/wait.mjs';
import { Postbox } from './postbox.mjs';
import { Stream } from './sse.mjs';
import { World, uuid } from './world.mjs';

const world = new World();
const post = new Postbox();
before(async () => {
  const url = await post.start();
  await world.start({ instances: 2, settings: { SMTP_URL: url, SMTP_TLS: 'off', SMTP_TIMEOUT_MS: '20000', NOTIFY_ATTEMPTS_MAX: '4', NOTIFY_BACKOFF_MS: '20' } });
});
after(() => {
  post.stop();
  return world.stop();
});
beforeEach(() => (post.mode = 'take'));

const address = () => `m${uuid()}@example.test`;
const code = (email, more = {}) => ({ v: 1, id: uuid(), at: new Date().toISOString(), kind: 'code', to: { email }, channels: ['email'], args: { code: '246813', purpose: 'verify_email' }, dedupe_id: uuid(), locale: 'en', ...more });
const row = async (request) => (await world.sql('SELECT * FROM deliveries WHERE dedupe_id = $1 ORDER BY id', [request.dedupe_id]))[0];
const state = (request, wanted) => eventually(20000, async () => (await row(request))?.state === wanted && row(request), `the delivery is ${wanted}`);
const send = (...requests) => world.publish('notify.requests', requests.map((request) => [request.to.email ?? request.to.user ?? 'x', request]));

test('[D-51][P-07] a code leaves as one mail however often it is told, and its text is forgotten', async () => {
  const to = address(), request = code(to);
  send(request, request, { ...request, id: uuid() });
  const done = await state(request, 'sent');
  assert.deepEqual([done.title, done.body, done.attempts, done.reason], ['', '', 1, '']);
  const next = code(to);
  send(next);
  await state(next, 'sent');
  const mails = post.of(to);
  assert.equal(mails.length, 2);
  assert.match(mails[0].text, /Subject: Your Madang code: 246813/);
  for (const instance of world.instances) assert.ok(!instance.log.includes('246813') && !instance.log.includes(to), 'neither code nor address is logged');
});

test('[P-07][D-51] an address that nobody has shown to be his gets the code that shows it, and nothing else', async () => {
  const kim = world.person(), email = address();
  await world.account(kim, { email, email_verified: false });
  const warning = () => ({ v: 1, id: uuid(), at: new Date().toISOString(), kind: 'session_reused', to: { user: kim.id }, channels: ['email'], args: {}, dedupe_id: uuid(), locale: 'en' });
  const early = warning(), proof = code(email, { to: { user: kim.id } });
  send(early, proof);
  await state(proof, 'sent');
  assert.equal((await state(early, 'dropped')).reason, 'no_address');
  await world.account(kim, { email, email_verified: true });
  const late = warning();
  send(late);
  await state(late, 'sent');
  assert.deepEqual(post.of(email).map(({ text }) => /^Subject: (.*?)\r?$/m.exec(text)[1]).sort(), ['A log-in was ended', 'Your Madang code: 246813']);
});

test('[D-51][K-45] two hundred mails by two instances: each is sent once', async () => {
  const requests = Array.from({ length: 200 }, () => code(address()));
  send(...requests.slice(0, 1));
  world.publish('notify.requests', requests.slice(1).map((request) => ['bulk', request]));
  await eventually(40000, async () => (await world.one("SELECT count(*) FROM deliveries WHERE state = 'sent' AND dedupe_id = ANY ($1)", [requests.map(({ dedupe_id }) => dedupe_id)])) === 200, 'all are sent');
  for (const { to } of requests) assert.equal(post.of(to.email).length, 1);
});

test('[K-45][D-48] a mail server that hangs delays no inbox, no stream, no other channel', async () => {
  const kim = world.person();
  const stream = await Stream.open(world.instances[0], { token: kim.token });
  await stream.hello();
  post.mode = 'hang';
  const requests = Array.from({ length: 12 }, () => code(address()));
  world.publish('notify.requests', requests.map((request) => [kim.id, request]));
  await eventually(15000, () => post.mails.some(({ to }) => to === requests[0].to.email), 'mails hang');
  await world.fill(kim, 5);
  await stream.until('all five at once', ({ seqs }) => seqs.length === 5, 5000); // a mail hangs for 20 s
  const sms = code('', { to: { phone: '+821012345678' }, channels: ['sms'] });
  send(sms);
  await state(sms, 'sent');
  assert.ok((await world.one("SELECT count(*) FROM deliveries WHERE state = 'waiting'")) > 0, 'while mails still hang');
  stream.close();
  post.mode = 'take';
  for (const socket of post.sockets) socket.destroy();
  for (const request of requests) await state(request, 'sent');
});

test('[D-48][K-46] what fails is tried again, later each time, and is the same mail at each try', async () => {
  const to = address(), request = code(to);
  post.first = ['later', 'cut']; // the second takes the mail and breaks before it says so
  send(request);
  const done = await state(request, 'sent');
  assert.equal(done.attempts, 3);
  const ids = post.of(to).map(({ id }) => id);
  assert.ok(ids.length === 2 && ids[0] && ids[0] === ids[1], `at least once, one Message-ID: ${ids}`);
});

test('[D-48] attempts have an end: a dead letter, counted, that an operator can requeue', async () => {
  const counted = async () => (await Promise.all(world.instances.map((instance) => instance.metric('madang_notify_deliveries_total{channel="email",outcome="dead"}')))).reduce((a, b) => a + b);
  const before = await counted();
  const to = address(), kim = world.person({ email: to });
  await world.account(kim);
  post.mode = 'later';
  const request = world.request(kim, { channels: ['email'], locale: 'en' });
  send(request);
  const dead = await state(request, 'dead');
  assert.equal(dead.attempts, 4);
  assert.match(dead.reason, /^attempts/);
  await eventually(15000, async () => (await counted()) - before === 1, 'it is counted');
  post.mode = 'take';
  // As README.md has it.
  await world.sql("UPDATE deliveries SET state = 'waiting', attempts = 0, done_at = NULL, next_try_at = now(), expires_at = now() + interval '1 day' WHERE channel = 'email' AND state = 'dead' AND NOT secret");
  await state(request, 'sent');
  assert.match(post.of(to)[0].text, /Friend request from Lee/);
});

test('[D-48] a refusal for good is dead at once; a code that came too late is not sent', async () => {
  post.mode = 'never';
  const refused = code(address());
  send(refused);
  assert.equal((await state(refused, 'dead')).attempts, 1);
  post.mode = 'take';
  const late = code(address(), { at: new Date(Date.now() - 181_000).toISOString() });
  send(late);
  assert.equal((await state(late, 'dead')).reason, 'expired');
  assert.equal(post.of(late.to.email).length, 0);
});

test('[D-51] an address that is not known yet is waited for; who has none is left out', async () => {
  const kim = world.person({ email: address() }), lee = world.person({ email: '' });
  const args = { device_name: 'Phone', ip: '192.0.2.1' };
  const early = world.request(kim, { kind: 'session_reused', args, locale: 'en' }), none = world.request(lee, { kind: 'session_reused', args: { device_name: '', ip: '' }, locale: 'en' });
  await world.account(lee);
  send(early, none);
  assert.deepEqual([(await state(none, 'sent')).channel], ['push']);
  await eventually(15000, async () => (await world.sql("SELECT state, reason FROM deliveries WHERE dedupe_id = $1 AND channel = 'email'", [none.dedupe_id]))[0]?.reason === 'no_address', 'left out');
  await eventually(15000, async () => (await world.one("SELECT reason FROM deliveries WHERE dedupe_id = $1 AND channel = 'email'", [early.dedupe_id])) === 'no_address', 'waited for');
  await world.account(kim);
  await eventually(20000, () => post.of(kim.email).length === 1, 'sent');
  assert.match(post.of(kim.email)[0].text, /Subject: A log-in was ended/);
  assert.equal(await world.lastSeq(kim), 1);
  const { items } = (await lee.api.get('/api/notifications')).json;
  assert.match(items[0].body, /^The log-in of a device \(an unknown address\) was used twice/, 'whatever is known of the device');
});

test('[K-45] kill -9 between the sending and its mark: sent again when the claim runs out, as the same mail', async () => {
  const to = address(), request = code(to);
  post.mode = 'hang';
  send(request);
  await eventually(15000, () => post.of(to).length === 1, 'the server has it');
  await Promise.all(world.instances.map((instance) => instance.kill()));
  post.mode = 'take';
  await Promise.all(world.instances.map((instance) => instance.start()));
  assert.equal((await row(request)).state, 'waiting');
  await world.sql('UPDATE deliveries SET next_try_at = now() WHERE dedupe_id = $1', [request.dedupe_id]); // as if the minute of the claim were over
  await state(request, 'sent');
  const ids = post.of(to).map(({ id }) => id);
  assert.ok(ids.length === 2 && ids[0] === ids[1], `${ids}`);
});
