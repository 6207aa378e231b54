// What providers answer and what is made of it: FCM's error table, access tokens, quotas, GOAWAY, silence; push services' statuses.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as answers from '../standins/fcm.mjs';
import { eventually } from '../support/wait.mjs';
import { World } from './world.mjs';

const world = new World();
before(() => world.start({ PUSH_SEND_TIMEOUT_MS: '8000', PUSH_CLAIM_SECONDS: '20' }));
after(() => world.stop());

const devices = async (person) => (await person.api.get('/api/push/devices')).json.items.length;

/** Asks for a push to one fresh device whose first sends get these answers. */
async function pushTo(...first) {
  const person = world.person();
  const token = await world.device(person);
  world.fcm.answers.set(token, first);
  const [id] = world.push(world.pushEvent(person));
  return { person, token, id };
}
const gap = ({ token }) => {
  const [first, second] = world.fcm.of(token);
  return second.at - first.at;
};

test('[P-39] dead tokens: unregistered, not a token, of another project: the device goes', async () => {
  for (const [answer, reason] of [[answers.unregistered, 'unregistered'], [answers.invalidToken, 'invalid_token'], [answers.senderMismatch, 'sender_id_mismatch'], [answers.failure(404, 'NOT_FOUND'), 'unregistered']]) {
    const sent = await pushTo(answer);
    await world.ended(sent.id, 'dead_token', reason);
    assert.equal(await devices(sent.person), 0);
    assert.equal(world.fcm.of(sent.token).length, 1);
  }
});

test('[P-38] a token that was replaced while a send to the old one was on its way stays when the old one turns out dead', async () => {
  const person = world.person();
  const old = await world.device(person);
  world.fcm.answers.set(old, [answers.unregistered]);
  const release = world.fcm.hold();
  const [id] = world.push(world.pushEvent(person));
  await eventually(10000, () => world.fcm.of(old).length === 1, 'it is on its way');
  const fresh = await world.device(person);
  release();
  await world.ended(id, 'dead_token');
  assert.equal(await devices(person), 1);
  const [next] = world.push(world.pushEvent(person));
  await world.ended(next, 'delivered');
  assert.equal(world.fcm.delivered(fresh).length, 1);
});

test('[P-39] a message that is wrong is a dead letter; the device stays', async () => {
  const sent = await pushTo(answers.badRequest('message.data[0].value', 'TYPE_STRING'));
  await world.ended(sent.id, 'rejected', 'invalid_argument');
  assert.equal(await devices(sent.person), 1);
  const odd = await pushTo({ status: 302, headers: { location: 'https://elsewhere.test/' }, body: '' });
  await world.ended(odd.id, 'rejected', 'unknown_answer');
});

test('[P-39] third-party trouble keeps the token, alarms, and is tried again', async () => {
  const sent = await pushTo(answers.thirdPartyAuth);
  await world.ended(sent.id, 'delivered');
  assert.equal(await devices(sent.person), 1);
  assert.ok(gap(sent) >= 1000, 'as for a quota');
  assert.ok((await world.metric('madang_push_reasons_total{result="retry",reason="third_party_auth"}')) >= 1);
  assert.match(world.instances[0].log, /push_needs_a_look/);
});

test('[P-39] unavailable and internal: again after Retry-After, or with a growing delay', async () => {
  const asked = await pushTo(answers.unavailable({ retryAfter: 1 }));
  await world.ended(asked.id, 'delivered');
  assert.ok(gap(asked) >= 1000);
  const twice = await pushTo(answers.internal, answers.unavailable());
  const [send] = await world.ended(twice.id, 'delivered');
  assert.equal(send.attempts, 3);
  const [a, b, c] = world.fcm.of(twice.token).map(({ at }) => at);
  assert.ok(b - a >= 200 && c - b >= 400, `${b - a} ${c - b}`);
});

test('[P-40] a device quota slows this device only', async () => {
  const person = world.person();
  const token = await world.device(person);
  world.fcm.answers.set(token, [answers.quota({ of: 'device', retryAfter: 6 })]);
  const [first] = world.push(world.pushEvent(person));
  await eventually(10000, async () => (await world.sends(first))[0]?.state === 'retry', 'it waits');
  const [second] = world.push(world.pushEvent(person));
  const other = await pushTo();
  await world.ended(other.id, 'delivered');
  await world.ended(first, 'delivered');
  await world.ended(second, 'delivered');
  const [one, ...rest] = world.fcm.of(token);
  assert.ok(rest.every(({ at }) => at - one.at >= 5900), 'nothing to the device meanwhile');
  assert.ok(world.fcm.of(other.token)[0].at < rest[0].at);
});

test('[P-40] a project quota stops all sends for as long as it says, then all go out', async () => {
  const first = await pushTo(answers.quota({ retryAfter: 6 }));
  await eventually(10000, async () => (await world.sends(first.id))[0]?.state === 'retry', 'it waits');
  const others = await Promise.all(Array.from({ length: 5 }, () => pushTo()));
  for (const sent of [first, ...others]) await world.ended(sent.id, 'delivered');
  const start = world.fcm.of(first.token)[0].at;
  for (const { token } of others) assert.ok(world.fcm.of(token)[0].at - start >= 5900);
  // Without Retry-After: the least delay of a quota.
  const silent = await pushTo(answers.quota());
  await world.ended(silent.id, 'delivered');
  assert.ok(gap(silent) >= 1000);
});

test('[P-39] the access token: fetched once for many, again when it is refused, and once more only', async () => {
  const before = world.fcm.grants.length;
  world.fcm.forgetTokens();
  world.fcm.delay = 50;
  const person = world.person();
  for (let i = 0; i < 15; i++) await world.device(person, { id: `d${i}` });
  const [id] = world.push(world.pushEvent(person));
  const sends = await world.ended(id, 'delivered');
  world.fcm.delay = 0;
  assert.equal(sends.length, 15);
  assert.ok(sends.every(({ attempts }) => attempts === 1), 'a new token is no new try');
  assert.equal(world.fcm.grants.length, before + 1, 'fifteen refusals, one fetch');
});

test('[P-39] GOAWAY, a reset stream, a cut connection and silence: tried again, and delivered', async () => {
  const goes = await pushTo();
  await world.ended(goes.id, 'delivered');
  world.fcm.goAway();
  const next = await pushTo();
  await world.ended(next.id, 'delivered');
  world.fcm.cut();
  const after = await pushTo();
  await world.ended(after.id, 'delivered');
  const broken = await pushTo(answers.reset);
  await world.ended(broken.id, 'delivered');
  const silent = await pushTo(answers.silence);
  const [send] = await world.ended(silent.id, 'delivered', undefined, 30000);
  assert.equal(send.attempts, 2);
});

test('[P-39] all sends share one connection with many streams', async () => {
  const warm = await pushTo();
  await world.ended(warm.id, 'delivered');
  const connections = world.fcm.connections;
  world.fcm.mostInFlight = 0;
  world.fcm.delay = 200;
  const people = [];
  for (let i = 0; i < 4; i++) {
    const person = world.person();
    for (let n = 0; n < 15; n++) await world.device(person, { id: `d${n}` });
    people.push(person);
  }
  const ids = world.push(...people.map((person) => world.pushEvent(person)));
  for (const id of ids) await world.ended(id, 'delivered');
  world.fcm.delay = 0;
  assert.equal(world.fcm.connections, connections, 'no other connection');
  assert.ok(world.fcm.mostInFlight > 15, `${world.fcm.mostInFlight} streams at once`);
});

test('[P-39] a retry that comes after a newer push with the same collapse key is dropped, not shown over it', async () => {
  const person = world.person();
  const token = await world.device(person);
  world.fcm.answers.set(token, [answers.unavailable({ retryAfter: 6 })]);
  const [older] = world.push(world.pushEvent(person, { body: 'one', collapse_key: 'room:1' }));
  await eventually(10000, async () => (await world.sends(older))[0]?.state === 'retry', 'it waits');
  const [newer] = world.push(world.pushEvent(person, { body: 'two', collapse_key: 'room:1' }));
  await world.ended(newer, 'delivered');
  await world.ended(older, 'dropped', 'superseded');
  assert.deepEqual(world.fcm.delivered(token).map(({ message }) => message.notification.body), ['two']);
});

// ---- push services ----

async function browse(...first) {
  const person = world.person();
  const browser = await world.browser(person);
  browser.answers.push(...first);
  const [id] = world.push(world.pushEvent(person));
  return { person, browser, id };
}

test('[P-39] web push: gone subscriptions are removed; too large and refused keys are dead letters', async () => {
  for (const status of [404, 410]) {
    const sent = await browse({ status });
    await world.ended(sent.id, 'dead_token', 'gone');
    assert.equal(await devices(sent.person), 0);
  }
  for (const [status, reason] of [[413, 'too_large'], [400, 'invalid_argument'], [403, 'vapid_refused']]) {
    const sent = await browse({ status });
    await world.ended(sent.id, 'rejected', reason);
    assert.equal(await devices(sent.person), 1);
  }
});

test('[P-39] web push: 429 waits as asked, 500 is tried again', async () => {
  const slow = await browse({ status: 429, headers: { 'retry-after': '1' } });
  const broken = await browse({ status: 500 });
  await world.ended(slow.id, 'delivered');
  await world.ended(broken.id, 'delivered');
  assert.equal(world.browsers.of(slow.browser).length, 2);
});

test('[P-38] endpoints that lead elsewhere are refused when they are put', async () => {
  const kim = world.person();
  const { subscription } = world.browsers.subscribe();
  const inner = ['https://10.0.0.1/x', 'https://169.254.169.254/latest', 'https://[::1]/x', 'https://localhost/x', 'https://push.example.test/x', 'https://127.0.0.1.example.test/'];
  for (const endpoint of inner) {
    const reply = await kim.api.put('/api/push/devices/x', { platform: 'web', subscription: { ...subscription, endpoint } });
    assert.deepEqual([reply.status, reply.problem], [422, 'endpoint_refused'], endpoint);
  }
});

test('[P-39] a token endpoint that fails for a while delays sends and loses none', async () => {
  let failures = 3;
  world.fcm.grantAnswer = () => (failures-- > 0 ? { status: failures === 1 ? 400 : 503, body: { error: 'invalid_grant' } } : undefined);
  world.fcm.forgetTokens();
  const sent = await pushTo();
  await world.ended(sent.id, 'delivered', undefined, 30000);
  world.fcm.grantAnswer = undefined;
  assert.ok(failures < 0);
});

test('[P-39] nothing was sent that a provider would not take', () => {
  assert.deepEqual(world.fcm.refusals, []);
  assert.deepEqual(world.browsers.refusals, []);
});
