// Notices through the public door: a friend request as a page sees it (EventSource with a ticket and its cookie), instances that die, sessions that end.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventSource } from 'eventsource';
import { newcomer } from '../support/people.mjs';
import { crash, gateways, instances } from '../support/stack.mjs';
import { eventually } from '../support/wait.mjs';

const door = (n) => gateways()[n % gateways().length];

/** A page: EventSource that can send no header, with a cookie jar as a browser has one. */
async function page(person, base) {
  const jar = {};
  const { json } = await person.api.post('/api/auth/ws-ticket');
  const opened = [], notices = [], reads = [], ends = [], refused = [];
  const source = new EventSource(`${base}/api/notifications/stream?ticket=${json.ticket}`, {
    fetch: async (url, init) => {
      const reply = await fetch(url, { ...init, headers: { ...init.headers, ...(jar.cookie ? { Cookie: jar.cookie } : {}) } });
      jar.cookie = reply.headers.get('set-cookie')?.split(';')[0] ?? jar.cookie;
      if (reply.status !== 200) refused.push(reply.status);
      return reply;
    },
  });
  source.addEventListener('hello', ({ data }) => opened.push(JSON.parse(data)));
  source.addEventListener('notification', ({ data }) => notices.push(JSON.parse(data)));
  source.addEventListener('read', ({ data }) => reads.push(JSON.parse(data)));
  source.addEventListener('session_ended', ({ data }) => ends.push(JSON.parse(data)));
  await eventually(15000, () => opened.length === 1, `the stream is open; refused: ${refused}`);
  return { source, opened, notices, reads, ends, refused, jar };
}

test('[M-54][P-20][K-43] a friend request is seen at once by every page of the other, and read on one is read on all', async (t) => {
  const [kim, lee] = [await newcomer(), await newcomer()];
  const pages = [await page(lee, door(0)), await page(lee, door(1))];
  t.after(() => pages.forEach(({ source }) => source.close()));
  await eventually(10000, async () => (await kim.api.put(`/api/friends/requests/${lee.id}`)).status === 201, 'asked');
  for (const { notices } of pages) {
    await eventually(10000, () => notices.length === 1, 'told');
    assert.deepEqual([notices[0].seq, notices[0].kind, notices[0].data.from], [1, 'friend_request', { id: kim.id, nickname: kim.nickname }]);
  }
  assert.deepEqual((await lee.api.get('/api/notifications')).json.items, pages[0].notices);
  await lee.api.post('/api/notifications/read', { up_to: 1 });
  for (const { reads } of pages) await eventually(10000, () => reads.at(-1)?.unread === 0, 'read');
  await lee.api.post(`/api/friends/requests/${kim.id}/accept`);
  await eventually(10000, async () => (await kim.api.get('/api/notifications')).json.items[0]?.kind === 'friend_accepted', 'and told back');
});

test('[K-43][K-44] the instances of notify-svc die in turn: pages come back by themselves and miss nothing', async (t) => {
  const lee = await newcomer();
  const { source, notices, opened, refused } = await page(lee, door(0));
  t.after(() => source.close());
  const asked = [];
  const ask = async () => {
    const other = await newcomer();
    await eventually(15000, async () => (await other.api.put(`/api/friends/requests/${lee.id}`)).status === 201, 'asked');
    asked.push(other.id);
  };
  await ask();
  for (const instance of instances('notify-svc')) {
    await crash(instance);
    await ask();
  }
  await eventually(30000, () => notices.length >= asked.length, 'all are told');
  assert.deepEqual(notices.map(({ seq, data }) => [seq, data.from.id]), asked.map((id, i) => [i + 1, id]));
  assert.ok(opened.length >= 2, 'it came back');
  assert.deepEqual(refused.filter((status) => status < 500), [], 'the spent ticket and its cookie were good enough');
});

test('[P-03][S-07] log-out ends the page\'s stream with the reason, and it does not come back', async (t) => {
  const lee = await newcomer();
  const { source, ends, refused } = await page(lee, door(1));
  t.after(() => source.close());
  assert.equal((await lee.api.post('/api/auth/logout')).status, 204);
  await eventually(10000, () => ends.length === 1, 'told');
  assert.deepEqual(ends[0], { reason: 'logout' });
  await eventually(15000, () => refused.includes(401) && source.readyState === 2, 'refused, for good');
});

test('[P-43] a user has twenty streams and not one more; strangers none', async (t) => {
  const lee = await newcomer();
  const controllers = [];
  t.after(() => controllers.forEach((controller) => controller.abort()));
  const open = async (headers) => {
    const controller = new AbortController();
    controllers.push(controller);
    return (await fetch(`${door(0)}/api/notifications/stream`, { headers, signal: controller.signal })).status;
  };
  const mine = { Authorization: `Bearer ${lee.access}` };
  for (let i = 0; i < 20; i++) assert.equal(await open(mine), 200);
  assert.equal(await open(mine), 429);
  controllers.splice(0, 1)[0].abort();
  await eventually(10000, async () => (await open(mine)) === 200, 'there is room for another');
  for (const headers of [{}, { Authorization: 'Bearer x' }, { Cookie: 'madang_stream=x' }]) assert.equal(await open(headers), 401, JSON.stringify(headers));
});
