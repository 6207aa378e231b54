// Who gets a push and who does not: devices, doubles, presence, settings, quiet hours, time to live; and what a push says.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { unavailable, unregistered } from '../standins/fcm.mjs';
import { eventually } from '../support/wait.mjs';
import { readTopic } from '../support/topics.mjs';
import { uuid, World } from './world.mjs';

const world = new World();
before(() => world.start({ PUSH_PRESENCE_WAIT_MS: '60000' }));
after(() => world.stop());

/** The second look at who seemed to be online, at once. */
async function lookAgain(id) {
  await eventually(15000, async () => (await world.sends(id)).length > 0, 'it waits for a second look');
  await world.sql('UPDATE sends s SET next_at = now() FROM requests r WHERE r.id = s.request_id AND r.dedupe_id = $1 AND s.done_at IS NULL', [id]);
}

const room = () => `room:${uuid()}`;

test('[P-38][P-39] every device of the user gets it: phone, tablet and browser', async () => {
  const kim = world.person();
  const android = await world.device(kim, { id: 'phone' });
  const ios = await world.device(kim, { id: 'tablet', platform: 'ios' });
  const web = await world.device(kim, { id: 'web', platform: 'web' });
  const browser = await world.browser(kim);
  const key = room();
  const [id] = world.push(world.pushEvent(kim, { title: '이민수', body: '안녕 "친구" 😀', data: { room_id: 'r1', seq: '7' }, collapse_key: key }));
  const sends = await world.ended(id, 'delivered');
  assert.deepEqual(sends.map(({ channel, attempts }) => [channel, attempts]).sort(), [['fcm', 1], ['fcm', 1], ['fcm', 1], ['web', 1]]);

  const message = world.fcm.of(android)[0].message;
  assert.deepEqual(message.notification, { title: '이민수', body: '안녕 "친구" 😀' });
  assert.deepEqual(message.data, { room_id: 'r1', seq: '7', push_id: id });
  assert.equal(message.android.priority, 'HIGH');
  assert.equal(message.android.collapse_key, key);
  assert.equal(message.android.notification.tag, key);
  assert.match(message.android.ttl, /^3(600|5\d\d)s$/);
  assert.equal(message.apns, undefined);

  const apple = world.fcm.of(ios)[0].message;
  assert.equal(apple.apns.headers['apns-collapse-id'], key);
  assert.equal(apple.apns.headers['apns-priority'], '10');
  assert.ok(Math.abs(Number(apple.apns.headers['apns-expiration']) - (Date.now() / 1000 + 3600)) < 60);
  assert.equal(apple.android, undefined);
  assert.equal(world.fcm.of(web)[0].message.webpush.headers.Urgency, 'high');

  const [shown] = world.browsers.of(browser);
  assert.deepEqual(shown.json, { title: '이민수', tag: key, data: { room_id: 'r1', seq: '7', push_id: id }, body: '안녕 "친구" 😀' });
  assert.equal(shown.headers.urgency, 'high');
  assert.match(shown.headers.topic, /^[\w-]{32}$/);
  assert.match(shown.headers.ttl, /^3(600|5\d\d)$/);
});

test('[P-39] one bad token does not spoil the others, and a user without devices is nothing', async () => {
  const [kim, nobody] = [world.person(), world.person()];
  const [bad, good] = [await world.device(kim, { id: 'old' }), await world.device(kim, { id: 'new' })];
  world.fcm.answers.set(bad, [unregistered]);
  const [none, id] = world.push(world.pushEvent(nobody), world.pushEvent(kim));
  const sends = await world.settled(id);
  assert.deepEqual(sends.map(({ state }) => state).sort(), ['dead_token', 'delivered']);
  assert.equal(world.fcm.delivered(good).length, 1);
  assert.deepEqual((await kim.api.get('/api/push/devices')).json.items.map((item) => item.device_id), ['new']);
  await eventually(10000, async () => (await world.one('SELECT count(*) FROM requests WHERE dedupe_id = $1', [none])) === 1, 'it was taken');
  assert.deepEqual(await world.sends(none), []);
  await eventually(10000, async () => (await world.metric('madang_push_requests_total{result="no_device"}')) >= 1, 'it is counted');
});

test('[P-39] a doubled request is sent once, whatever it says the second time', async () => {
  const kim = world.person();
  const token = await world.device(kim);
  const event = world.pushEvent(kim);
  world.push(event, event, { ...event, id: uuid(), title: 'other' });
  await world.ended(event.dedupe_id, 'delivered');
  world.push(event);
  const [last] = world.push(world.pushEvent(kim));
  await world.ended(last, 'delivered');
  assert.equal(world.fcm.of(token).length, 2);
  assert.deepEqual(world.fcm.of(token).map(({ message }) => message.notification.title), ['kim', 'kim']);
  // Another user may have the same id.
  const lee = world.person();
  const theirs = await world.device(lee);
  world.push({ ...event, user_id: lee.id });
  await eventually(10000, () => world.fcm.delivered(theirs).length === 1, 'lee has it');
});

test('[P-37] online: quiet; never seen or offline: pushed; gone in the moment between: pushed', async () => {
  const [online, offline, unseen, leaving] = Array.from({ length: 4 }, () => world.person());
  const tokens = new Map();
  for (const person of [online, offline, unseen, leaving]) tokens.set(person, await world.device(person));
  await world.presence(online, true);
  await world.presence(offline, true);
  await world.presence(offline, false);
  await world.presence(leaving, true);
  const [a, b, c] = world.push(world.pushEvent(online), world.pushEvent(offline), world.pushEvent(unseen));
  await lookAgain(a);
  await world.ended(a, 'dropped', 'online');
  await world.ended(b, 'delivered');
  await world.ended(c, 'delivered');
  assert.equal(world.fcm.of(tokens.get(online)).length, 0);
  // The push is asked for by somebody who knows already that they left; the word of it comes a moment later.
  const [d] = world.push(world.pushEvent(leaving));
  await eventually(10000, async () => (await world.sends(d)).length === 1, 'it waits for a second look');
  await world.presence(leaving, false);
  assert.equal(world.fcm.of(tokens.get(leaving)).length, 0);
  await lookAgain(d);
  await world.ended(d, 'delivered');
});

test('[P-37] an older change of presence changes nothing', async () => {
  const kim = world.person();
  await world.device(kim);
  kim.n = 5;
  await world.presence(kim, false);
  world.publish('presence.changes', [[kim.id, world.event('presence', { user_id: kim.id, online: true, visible: true, show_last_seen: true, last_seen: null, n: 5 })]]);
  const behind = world.person(); // on the same partition: when it is applied, so is the one before it
  world.publish('presence.changes', [[kim.id, world.event('presence', { user_id: behind.id, online: false, visible: true, show_last_seen: true, last_seen: null, n: 1 })]]);
  await eventually(15000, async () => (await world.one('SELECT n FROM presence WHERE user_id = $1', [behind.id])) === 1, 'what comes behind it is copied');
  const [id] = world.push(world.pushEvent(kim));
  await world.ended(id, 'delivered');
});

/** Quiet hours around (or away from) this minute in a zone. */
function hours(from, to, zone = 'UTC') {
  const at = (minutes) => {
    const text = new Date(Date.now() + minutes * 60000).toLocaleTimeString('en-GB', { timeZone: zone, hour: '2-digit', minute: '2-digit' });
    return text.slice(0, 5);
  };
  return { from: at(from), to: at(to), time_zone: zone };
}

test('[P-42] quiet hours hold everything but what is urgent, in the zone of the user, over midnight too', async () => {
  const cases = [
    [hours(-60, 60), 'dropped'],
    [hours(60, 120), 'delivered'],
    [hours(-120, -60, 'Asia/Seoul'), 'delivered'],
    [hours(-60, 60, 'America/Bogota'), 'dropped'] /* zones whose clocks nobody turns */,
    [hours(-660, 60, 'Pacific/Tongatapu'), 'dropped'],
    [hours(60, -60, 'Asia/Kolkata'), 'delivered'], // all day but these two hours
    [hours(120, 60), 'dropped'], // 23 hours
  ];
  for (const [quiet, state] of cases) {
    const kim = world.person();
    await world.device(kim);
    await world.preferences(kim, quiet);
    const [chat, notice, urgent] = world.push(world.pushEvent(kim), world.pushEvent(kim, { source: 'notify' }), world.pushEvent(kim, { source: 'notify', urgent: true }));
    const reason = state === 'dropped' ? 'quiet_hours' : null;
    await world.ended(chat, state, reason);
    await world.ended(notice, state, reason);
    await world.ended(urgent, 'delivered');
  }
});

test('[P-42] chat pushes can be switched off; settings can be taken back; a zone nobody knows is no quiet hours', async () => {
  const kim = world.person();
  await world.device(kim);
  await world.preferences(kim, null, ['chat_message', 'friend_request']);
  const [chat, notice] = world.push(world.pushEvent(kim), world.pushEvent(kim, { source: 'notify' }));
  await world.ended(chat, 'dropped', 'switched_off');
  await world.ended(notice, 'delivered');
  await world.preferences(kim, { from: '00:00', to: '23:59', time_zone: 'Mars/Olympus' });
  const [again] = world.push(world.pushEvent(kim));
  await world.ended(again, 'delivered');
  // Older settings change nothing.
  world.publish('notify.settings', [[kim.id, world.event('notify_settings', { user_id: kim.id, quiet_hours: null, push_off: ['chat_message'], version: 1 })]]);
  await world.preferences(world.person(), null);
  const [last] = world.push(world.pushEvent(kim));
  await world.ended(last, 'delivered');
});

test('[P-39] what concerns the account is pushed although somebody is online: that may be somebody else', async () => {
  const kim = world.person();
  await world.device(kim);
  await world.presence(kim, true);
  const [urgent] = world.push(world.pushEvent(kim, { source: 'notify', urgent: true }));
  await world.ended(urgent, 'delivered');
});

test('[P-39][I10] long texts are cut at a character, within 4096 bytes; reserved and oversized data stays here; an empty title has words', async () => {
  const kim = world.person();
  const phone = await world.device(kim);
  const browser = await world.browser(kim);
  world.account(kim, { locale: 'ko' });
  await world.known('people', kim);
  await eventually(10000, async () => (await world.one('SELECT locale FROM people WHERE user_id = $1', [kim.id])) === 'ko', 'the locale');
  const body = '가😀"'.repeat(1300);
  const data = { big: 'x'.repeat(3000), from: 'x', google_x: 'x', 'gcm.y': 'y', message_type: 'm', push_id: 'mine', 'from.id': 'kept', kind: 'k' };
  const [id] = world.push(world.pushEvent(kim, { title: '', body, data }));
  await world.ended(id, 'delivered');
  const { message } = world.fcm.of(phone)[0];
  assert.deepEqual(message.data, { 'from.id': 'kept', kind: 'k', push_id: id });
  assert.equal(message.notification.title, '새 알림');
  const shown = message.notification.body;
  assert.ok(shown.endsWith('…') && body.startsWith(shown.slice(0, -1)) && !shown.includes('\ufffd'));
  assert.ok(Buffer.byteLength(JSON.stringify({ message: { ...message, token: '' } })) > 4060);
  const [web] = world.browsers.of(browser);
  assert.equal(web.size, 4096 - (3993 - Buffer.byteLength(web.text)));
  assert.ok(web.json.body.endsWith('…') && body.startsWith(web.json.body.slice(0, -1)));
});

test('[P-39] a long collapse key is shortened the same way each time', async () => {
  const kim = world.person();
  const token = await world.device(kim, { platform: 'ios' });
  const key = 'k'.repeat(150);
  const ids = world.push(world.pushEvent(kim, { collapse_key: key }), world.pushEvent(kim, { collapse_key: key }), world.pushEvent(kim, { collapse_key: `${key}2` }));
  for (const id of ids) await world.ended(id, 'delivered');
  const keys = world.fcm.of(token).map(({ message }) => message.apns.headers['apns-collapse-id']);
  assert.equal(new Set(keys).size, 2);
  assert.ok(keys.every((text) => text.length <= 64));
});

test('[P-39] a push whose time is over is not sent', async () => {
  const kim = world.person();
  const token = await world.device(kim);
  world.fcm.every = ({ token: to }) => (to === token ? unavailable({ retryAfter: 3600 }) : undefined);
  const [id] = world.push(world.pushEvent(kim, { ttl_seconds: 60 }));
  await world.ended(id, 'dropped', 'expired'); // tried once; the next try would come too late
  world.fcm.every = undefined;
  assert.equal(world.fcm.of(token).length, 1);
});

test('[I10] requests that are none go to the dead letters, and those behind them are sent', async () => {
  const kim = world.person();
  await world.device(kim);
  const good = world.pushEvent(kim);
  const bad = [
    '{', '"text"', '{}',
    world.pushEvent(kim, { data: { n: 7 } }), world.pushEvent(kim, { data: 'x' }), world.pushEvent(kim, { source: 'stranger' }),
    world.pushEvent(kim, { user_id: 'nobody' }), world.pushEvent(kim, { dedupe_id: '' }), world.pushEvent(kim, { ttl_seconds: -1 }), world.pushEvent(kim, { body: 'x'.repeat(5000) }),
  ];
  world.publish('push.requests', [...bad.map((value) => [kim.id, value]), [kim.id, good]]);
  await world.ended(good.dedupe_id, 'delivered', undefined, 30000);
  await eventually(15000, async () => (await readTopic('push.requests.dlq')).filter(({ key }) => key === kim.id).length === bad.length, 'all are dead letters');
});

test('[P-39] nothing that should not leave has left', () => {
  assert.deepEqual(world.fcm.refusals, []);
  assert.deepEqual(world.browsers.refusals, []);
});
