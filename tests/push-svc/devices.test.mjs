// Devices: whose they are, with which session they go, and what is refused.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { request } from '../support/http.mjs';
import { eventually } from '../support/wait.mjs';
import { World } from './world.mjs';

const world = new World();
before(() => world.start({ PUSH_DEVICES_MAX: '3' }));
after(() => world.stop());

const ids = async (person) => (await person.api.get('/api/push/devices')).json.items.map((item) => item.device_id).sort();

test('[P-38] a user has many devices; a token put again is the same device; nothing tells the token', async () => {
  const kim = world.person();
  const token = await world.device(kim, { id: 'phone', name: '김의 폰' });
  await world.device(kim, { id: 'tablet', platform: 'ios' });
  await world.device(kim, { id: 'phone', token, name: 'phone' });
  const { status, json, text } = await kim.api.get('/api/push/devices');
  assert.equal(status, 200);
  assert.equal(json.next_cursor, null);
  assert.deepEqual(json.items.map(({ device_id, platform, kind, name, current }) => ({ device_id, platform, kind, name, current })), [
    { device_id: 'phone', platform: 'android', kind: 'token', name: 'phone', current: true },
    { device_id: 'tablet', platform: 'ios', kind: 'token', name: undefined, current: true },
  ]);
  assert.ok(!text.includes(token));
  assert.equal((await kim.api.delete('/api/push/devices/tablet')).status, 204);
  assert.equal((await kim.api.delete('/api/push/devices/tablet')).status, 404);
  assert.deepEqual(await ids(kim), ['phone']);
});

test('[P-38] a device moves when another user puts the same token, also when both put it at once', async () => {
  const [kim, lee] = [world.person(), world.person()];
  const token = await world.device(kim);
  await world.device(lee, { id: 'mine', token });
  assert.deepEqual([await ids(kim), await ids(lee)], [[], ['mine']]);
  // The same id of another user is another device.
  await world.device(kim, { id: 'mine' });
  assert.deepEqual([await ids(kim), await ids(lee)], [['mine'], ['mine']]);
  const crowd = Array.from({ length: 8 }, () => world.person());
  const shared = world.token();
  const replies = await Promise.all(crowd.map((person) => person.api.put('/api/push/devices/x', { platform: 'android', token: shared })));
  assert.ok(replies.every(({ status }) => status === 200 || status === 409), replies.map(({ text }) => text).join());
  assert.equal(await world.one("SELECT count(*) FROM devices WHERE address = $1", [shared]), 1);
});

test('[P-38] a device goes with its session, and a session that ended gets none any more', async () => {
  const kim = world.person();
  const other = world.again(kim);
  await world.device(kim, { id: 'phone' });
  await world.device(other, { id: 'tablet' });
  assert.deepEqual((await kim.api.get('/api/push/devices')).json.items.map(({ device_id, current }) => [device_id, current]).sort(), [['phone', true], ['tablet', false]]);
  world.endSession(kim);
  await eventually(15000, async () => (await ids(other)).join() === 'tablet', 'the phone is gone');
  const late = await kim.api.put('/api/push/devices/phone', { platform: 'android', token: world.token() });
  assert.deepEqual([late.status, late.problem], [401, 'session_ended']);
  // A device that another session put meanwhile stays.
  const third = world.again(kim);
  await world.device(third, { id: 'tablet' });
  world.endSession(other, 'revoked');
  await eventually(15000, async () => (await world.one('SELECT count(*) FROM ended_sessions WHERE session_id = $1', [other.sid])) === 1, 'the end is applied');
  assert.deepEqual(await ids(third), ['tablet']);
});

test('[P-38] who withdraws loses all devices and pushes and gets none any more', async () => {
  const kim = world.person();
  await world.device(kim);
  const [asked] = world.push(world.pushEvent(kim));
  await world.ended(asked, 'delivered');
  world.account(kim, { withdrawn: true });
  await eventually(15000, async () => (await ids(kim)).length === 0, 'no devices');
  assert.equal(await world.one('SELECT count(*) FROM requests WHERE user_id = $1', [kim.id]), 0);
  const late = await kim.api.put('/api/push/devices/phone', { platform: 'android', token: world.token() });
  assert.deepEqual([late.status, late.problem], [401, 'session_ended']);
});

test('[P-38][I9] beyond the limit the device that was put longest ago goes', async () => {
  const kim = world.person();
  for (const id of ['a', 'b', 'c']) await world.device(kim, { id });
  await world.device(kim, { id: 'a' });
  await world.device(kim, { id: 'd' });
  assert.deepEqual(await ids(kim), ['a', 'c', 'd']);
  const all = await Promise.all(Array.from({ length: 10 }, (_, i) => kim.api.put(`/api/push/devices/n${i}`, { platform: 'ios', token: world.token() })));
  assert.ok(all.every(({ status }) => status === 200));
  assert.equal((await ids(kim)).length, 3);
});

test('[P-38][I10] what is no device is refused, with the field', async () => {
  const kim = world.person();
  const { subscription } = world.browsers.subscribe();
  const keys = subscription.keys;
  const off = Buffer.from(keys.p256dh, 'base64url');
  off[64] ^= 1; // not on the curve
  const wrong = [
    [{}, 'platform'],
    [{ platform: 'palm', token: 'x'.repeat(20) }, 'platform'],
    [{ platform: 'android' }, ''],
    [{ platform: 'android', token: 'short' }, 'token'],
    [{ platform: 'android', token: 'x'.repeat(2049) }, 'token'],
    [{ platform: 'android', token: 'with a blank in it' }, 'token'],
    [{ platform: 'android', token: 'x'.repeat(20), extra: 1 }, 'extra'],
    [{ platform: 'android', token: 'x'.repeat(20), name: 'a\nb' }, 'name'],
    [{ platform: 'android', token: 'x'.repeat(20), name: 'n'.repeat(81) }, 'name'],
    [{ platform: 'android', subscription }, 'subscription'],
    [{ platform: 'web', token: 'x'.repeat(20), subscription }, ''],
    [{ platform: 'web', subscription: 'text' }, ''],
    [{ platform: 'web', subscription: { endpoint: subscription.endpoint } }, 'keys'],
    [{ platform: 'web', subscription: { ...subscription, keys: { ...keys, p256dh: off.toString('base64url') } } }, 'p256dh'],
    [{ platform: 'web', subscription: { ...subscription, keys: { ...keys, p256dh: keys.p256dh.slice(0, -4) } } }, 'p256dh'],
    [{ platform: 'web', subscription: { ...subscription, keys: { ...keys, auth: 'AAAA' } } }, 'auth'],
    [{ platform: 'web', subscription: { ...subscription, endpoint: subscription.endpoint.replace('https', 'http') } }, 'endpoint'],
    [{ platform: 'web', subscription: { ...subscription, endpoint: 'https://user:pass@127.0.0.1/' } }, 'endpoint'],
    [{ platform: 'web', subscription: { ...subscription, endpoint: `https://127.0.0.1/${'x'.repeat(2048)}` } }, 'endpoint'],
  ];
  for (const [body, field] of wrong) {
    const reply = await kim.api.put('/api/push/devices/x', body);
    assert.deepEqual([reply.status, reply.problem], [400, 'bad_input'], JSON.stringify(body));
    assert.ok(field === '' || reply.json.errors.some(({ pointer }) => pointer.includes(field)), `${field}: ${reply.text}`);
  }
  for (const id of ['a b', 'x'.repeat(65), '%00', 'é'])
    assert.ok([400, 404].includes((await kim.api.put(`/api/push/devices/${encodeURIComponent(id)}`, { platform: 'ios', token: 'x'.repeat(20) })).status), id);
  assert.equal((await kim.api.put('/api/push/devices/x', 'x'.repeat(20000))).status, 413);
  assert.deepEqual(await ids(kim), []);
});

test('[P-41] who is not logged in sees and puts nothing; the VAPID key is open; nothing sends over HTTP', async () => {
  const stranger = (method, where, body) => request(method, world.url + where, { body });
  assert.equal((await stranger('GET', '/api/push/devices')).status, 401);
  assert.equal((await stranger('PUT', '/api/push/devices/x', { platform: 'ios', token: 'x'.repeat(20) })).status, 401);
  const guest = world.person({ role: 'guest' });
  assert.equal((await guest.api.get('/api/push/devices')).status, 403);
  const key = await stranger('GET', '/api/push/vapid-key');
  assert.equal(key.status, 200);
  assert.equal(Buffer.from(key.json.key, 'base64url').length, 65);
  assert.equal(key.json.key, world.browsers.vapidKey);
  const kim = world.person();
  await world.device(kim);
  for (const where of ['/api/push', '/api/push/send', '/api/push/notify', '/push/send', '/internal/push'])
    for (const method of ['POST', 'PUT', 'GET']) assert.ok([404, 405].includes((await kim.api.call(method, where, { body: method === 'GET' ? undefined : { user_id: kim.id, title: 'x', body: 'y' } })).status), where);
  assert.equal(world.fcm.sends.filter(({ message }) => message.notification?.title === 'x').length, 0);
});

test('[P-38] another user sees and deletes nothing of mine', async () => {
  const [kim, lee] = [world.person(), world.person()];
  await world.device(kim, { id: 'phone' });
  assert.deepEqual(await ids(lee), []);
  assert.equal((await lee.api.delete('/api/push/devices/phone')).status, 404);
  assert.deepEqual(await ids(kim), ['phone']);
});
