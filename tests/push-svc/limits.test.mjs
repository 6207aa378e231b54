// The queue is bounded, the pace is kept, and without credentials everything goes to the sink.
import assert from 'node:assert/strict';
import { after, describe, before, test } from 'node:test';
import { request } from '../support/http.mjs';
import { eventually } from '../support/wait.mjs';
import { World } from './world.mjs';

describe('a short queue and a slow pace', () => {
  const world = new World();
  before(() => world.start({ PUSH_QUEUE_MAX: '20', PUSH_PER_MINUTE: '600' }));
  after(() => world.stop());

  const states = async (ids) => (await Promise.all(ids.map((id) => world.sends(id)))).map(([send]) => (send.reason === 'queue_full' ? 'dropped' : send.state));

  test('[P-40][I9] a full queue drops the oldest of low value, counts it, and keeps the rest', async () => {
    const kim = world.person();
    await world.device(kim);
    // No access token: nothing goes out.
    world.fcm.grantAnswer = () => ({ status: 503, body: {} });
    world.fcm.forgetTokens();
    const [probe] = world.push(world.pushEvent(kim, { source: 'notify' }));
    await eventually(15000, () => world.fcm.sends.some(({ answer }) => answer.status === 401), 'the token is refused');
    const chat = world.push(...Array.from({ length: 10 }, () => world.pushEvent(kim)));
    const notices = world.push(...Array.from({ length: 8 }, () => world.pushEvent(kim, { source: 'notify' })));
    const more = world.push(...Array.from({ length: 6 }, () => world.pushEvent(kim)));
    await eventually(15000, async () => (await world.sends(more.at(-1))).length === 1, 'all are taken');
    assert.equal(await world.one('SELECT count(*) FROM sends WHERE done_at IS NULL'), 20);
    assert.deepEqual(await states(chat), [...Array(5).fill('dropped'), ...Array(5).fill('queued')]);
    assert.deepEqual(await states([...notices, ...more]), Array(14).fill('queued'));
    await eventually(15000, async () => (await world.metric('madang_push_reasons_total{result="dropped",reason="queue_full"}')) === 5, 'they are counted');
    // With nothing of low value left, the oldest notices go too.
    const flood = world.push(...Array.from({ length: 30 }, () => world.pushEvent(kim, { source: 'notify' })));
    await eventually(15000, async () => (await world.sends(flood.at(-1))).length === 1, 'all are taken');
    assert.equal(await world.one('SELECT count(*) FROM sends WHERE done_at IS NULL'), 20);
    assert.deepEqual((await states(flood)).filter((state) => state === 'queued').length, 19);
    world.fcm.grantAnswer = undefined;
    for (const id of [probe, ...flood.slice(-19)]) await world.ended(id, 'delivered', undefined, 60000);
  });

  test('[P-40] sends keep the pace: ten at once, then ten a second', async () => {
    const kim = world.person();
    for (let i = 0; i < 20; i++) await world.device(kim, { id: `d${i}` });
    await eventually(10000, async () => (await world.one('SELECT count(*) FROM sends WHERE done_at IS NULL')) === 0, 'the queue is empty');
    const from = world.fcm.sends.length;
    const [id] = world.push(world.pushEvent(kim));
    const sends = await world.ended(id, 'delivered', undefined, 30000);
    assert.equal(sends.length, 20);
    const times = world.fcm.sends.slice(from).map(({ at }) => at);
    assert.ok(times.at(-1) - times[0] >= 900, `${times.at(-1) - times[0]} ms for twenty`);
  });
});

describe('without credentials', () => {
  const world = new World();
  before(() => world.start({}, { sink: true }));
  after(() => world.stop());

  test('[P-39] pushes go to the sink, where a developer reads them; the VAPID key is made once', async () => {
    const kim = world.person();
    await world.device(kim);
    const key = (await request('GET', `${world.url}/api/push/vapid-key`)).json.key;
    assert.equal(Buffer.from(key, 'base64url').length, 65);
    const endpoint = 'https://updates.push.services.mozilla.com/wpush/v2/abc';
    const reply = await kim.api.put('/api/push/devices/web', { platform: 'web', subscription: { endpoint, keys: { p256dh: key, auth: 'AAAAAAAAAAAAAAAAAAAAAA' } } });
    assert.equal(reply.status, 200, reply.text);
    const [id] = world.push(world.pushEvent(kim, { title: 'lee', body: 'hi', data: { room_id: 'r' } }));
    const sends = await world.ended(id, 'delivered', 'sink');
    assert.equal(sends.length, 2);
    const rows = await world.sql('SELECT device_id, platform, title, body, data::json FROM sink WHERE user_id = $1 ORDER BY device_id', [kim.id]);
    assert.deepEqual(rows, [
      { device_id: 'phone', platform: 'android', title: 'lee', body: 'hi', data: { room_id: 'r' } },
      { device_id: 'web', platform: 'web', title: 'lee', body: 'hi', data: { room_id: 'r' } },
    ]);
    await eventually(15000, async () => (await world.metric('madang_push_sends_total{channel="sink",result="delivered"}')) === 2, 'they are counted');
    assert.equal(await world.instances[0].stop(), 0);
    await world.instances[0].start();
    assert.equal((await request('GET', `${world.url}/api/push/vapid-key`)).json.key, key);
  });

  test('[P-38] only the push services we know, at their port', async () => {
    const kim = world.person();
    const keys = { p256dh: (await request('GET', `${world.url}/api/push/vapid-key`)).json.key, auth: 'AAAAAAAAAAAAAAAAAAAAAA' };
    const put = (endpoint) => kim.api.put('/api/push/devices/web', { platform: 'web', subscription: { endpoint, keys } });
    for (const good of ['https://fcm.googleapis.com/fcm/send/x', 'https://web.push.apple.com/x', 'https://db5p.notify.windows.com/w/?token=x', 'https://UPDATES.push.services.mozilla.com/x'])
      assert.equal((await put(good)).status, 200, good);
    for (const bad of ['https://fcm.googleapis.com:8443/x', 'https://127.0.0.1/x', 'https://evil.test/fcm.googleapis.com', 'https://fcm.googleapis.com.evil.test/', 'https://push.apple.com/', 'https://evil.test#.push.apple.com/', 'https://evil.test\\.push.apple.com/'])
      assert.ok([400, 422].includes((await put(bad)).status), bad);
  });
});
