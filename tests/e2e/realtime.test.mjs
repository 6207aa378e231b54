// Two people with the client libraries that apps use: @stomp/stompjs, EventSource and a plain WebSocket, through two gateways.
import { Client } from '@stomp/stompjs';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import WebSocket from 'ws';
import { sql } from '../support/db.mjs';
import { befriend, crowd, newcomer } from '../support/people.mjs';
import { crash, gateways, instances } from '../support/stack.mjs';
import { readTopic } from '../support/topics.mjs';
import { eventually } from '../support/wait.mjs';

const doors = gateways();
const door = (n) => doors[n % doors.length];

/** stompjs as an app uses it: connects again by itself. `heard` collects what each destination brought. */
function app(t, person, base) {
  const heard = [];
  const client = new Client({
    webSocketFactory: () => new WebSocket(`${base.replace(/^http/, 'ws')}/ws/chat`, ['v12.stomp', 'v11.stomp', 'v10.stomp']),
    connectHeaders: { Authorization: `Bearer ${person.access}` },
    reconnectDelay: 100,
    heartbeatIncoming: 10000,
    heartbeatOutgoing: 10000,
  });
  const self = {
    client,
    heard,
    of: (type) => heard.filter((event) => event.type === type),
    subscribe: (destination, headers) => client.subscribe(destination, (frame) => heard.push({ ...JSON.parse(frame.body), destination }), headers),
    send: (destination, body, headers) => client.publish({ destination, body: JSON.stringify(body), headers }),
    connected: () =>
      new Promise((resolve, reject) => {
        client.onConnect = () => (self.onConnect?.(), resolve());
        client.onStompError = (frame) => reject(new Error(frame.headers.message));
        client.activate();
      }),
    drop: () => client.webSocket?._ws?.terminate?.() ?? client.webSocket?.terminate?.() ?? client.forceDisconnect(),
  };
  t.after(() => client.deactivate({ force: true }));
  return self;
}

async function friends(n) {
  const people = await crowd(n);
  for (const other of people.slice(1)) await befriend(people[0], other);
  return people;
}

const body = (event) => event.message ?? event;

test('[P-21][P-28][P-29][P-32][P-33][P-35] a direct room: two apps see each other, talk, read, lose the network and miss nothing', async (t) => {
  const [mina, juno] = await friends(2);
  const opened = await mina.api.post('/api/chat/rooms', { kind: 'dm', user_id: juno.id });
  assert.equal(opened.status, 201, opened.text);
  const room = opened.json.id;
  const other = await juno.api.post('/api/chat/rooms', { kind: 'dm', user_id: mina.id });
  assert.deepEqual([other.status, other.json.id], [200, room], 'the same room from the other side');

  const a = app(t, mina, door(0));
  const b = app(t, juno, door(1));
  a.onConnect = () => a.subscribe('/user/queue/events');
  await a.connected();
  await b.connected();
  await eventually(10000, () => a.of('presence').some(({ user_id, online }) => user_id === juno.id && online), 'Mina is told that Juno is here');
  const online = await mina.api.get('/api/presence/friends');
  assert.deepEqual(
    online.json.items.map(({ user_id, online: is }) => [user_id, is]),
    [[juno.id, true]],
  );

  a.subscribe(`/topic/rooms.${room}`, { after: '0' });
  let last = 0;
  let rev = 0;
  const follow = () => b.subscribe(`/topic/rooms.${room}`, { after: String(last), rev: String(rev) });
  b.onConnect = follow;
  follow();

  // Typing may be lost, as when nobody has subscribed yet; who types goes on typing.
  await eventually(
    10000,
    () => {
      a.send(`/app/rooms.${room}.typing`, {});
      return b.of('typing').some(({ user_id }) => user_id === mina.id);
    },
    'Juno sees that Mina types',
    200,
  );
  a.send(`/app/rooms.${room}.messages`, { client_id: 'hello-1', content: '안녕 Juno: \\ \n new line' });
  await eventually(15000, () => b.of('message').length === 1, 'Juno has it');
  const [first] = b.of('message').map(body);
  assert.deepEqual([first.seq, first.content, first.sender.id, first.sender.nickname], [1, '안녕 Juno: \\ \n new line', mina.id, mina.nickname]);
  await eventually(15000, () => a.of('message').length === 1, "the sender's own socket too");

  // What is open is read, and the sender is told.
  await eventually(15000, () => a.of('read').some(({ user_id, to }) => user_id === juno.id && to === 1), 'Mina sees that Juno has read it');

  last = first.seq;
  rev = Math.max(...b.heard.map((event) => event.rev ?? 0));
  b.onConnect = undefined; // what was missed is asked for below, after the network is back
  const away = new Promise((resolve) => (b.client.onWebSocketClose = resolve));
  b.drop();
  await away;
  for (let n = 2; n <= 6; n++) {
    const reply = await mina.api.post(`/api/chat/rooms/${room}/messages`, { client_id: `hello-${n}`, content: `while you were away ${n}` });
    assert.equal(reply.status, 201, reply.text);
  }
  assert.equal((await mina.api.patch(`/api/chat/rooms/${room}/messages/1`, { content: 'changed meanwhile' })).status, 200);
  await eventually(10000, () => b.client.connected, 'stompjs is back by itself');
  follow();
  await eventually(10000, () => b.of('message').length >= 6 && b.of('edited').length >= 1, 'Juno has caught up');
  assert.deepEqual(
    b.of('message').map((event) => body(event).seq),
    [1, 2, 3, 4, 5, 6],
    'no gap, no double',
  );
  assert.equal(body(b.of('edited')[0]).content, 'changed meanwhile');
});

test('[P-22][P-24][P-25][P-26] a group: everybody is told live; who leaves hears no more', async (t) => {
  const [mina, juno, hana] = await friends(3);
  const c = app(t, hana, door(1));
  c.onConnect = () => c.subscribe('/user/queue/events');
  await c.connected();
  const made = await mina.api.post('/api/chat/rooms', { kind: 'group', user_ids: [juno.id, hana.id], title: '마당' });
  assert.equal(made.status, 201, made.text);
  const room = made.json.id;
  await eventually(15000, () => c.heard.some((event) => event.room?.id === room || event.room_id === room), 'Hana is told of the new room');
  c.subscribe(`/topic/rooms.${room}`, { after: '0' });
  assert.equal((await mina.api.post(`/api/chat/rooms/${room}/messages`, { client_id: 'a', content: 'all here?' })).status, 201);
  await eventually(15000, () => c.of('message').some((event) => body(event).content === 'all here?'), 'Hana hears it');
  assert.equal((await hana.api.delete(`/api/chat/rooms/${room}/members/me`)).status, 204);
  await eventually(15000, async () => (await hana.api.get(`/api/chat/rooms/${room}`)).status === 404, 'the room is not hers any more');
  assert.equal((await mina.api.post(`/api/chat/rooms/${room}/messages`, { client_id: 'b', content: 'after she left' })).status, 201);
  const list = await juno.api.get(`/api/chat/rooms/${room}/messages`);
  assert.ok(list.json.items.some(({ kind }) => kind === 'system'), 'a system line tells that she left');
  assert.equal(list.json.items[0].content, 'after she left');
  assert.ok(!c.of('message').some((event) => body(event).content === 'after she left'), 'she did not hear it');
});

test('[P-33][M-53] two devices of one user agree on unread, whatever came in between', async (t) => {
  const [mina, juno] = await friends(2);
  const room = (await mina.api.post('/api/chat/rooms', { kind: 'dm', user_id: juno.id })).json.id;
  const devices = [app(t, juno, door(0)), app(t, juno, door(1))];
  for (const device of devices) {
    device.onConnect = () => device.subscribe('/user/queue/events');
    await device.connected();
  }
  for (let n = 1; n <= 12; n++) {
    assert.equal((await mina.api.post(`/api/chat/rooms/${room}/messages`, { client_id: `n${n}`, content: `${n}` })).status, 201);
    if (n % 4 === 0) assert.equal((await juno.api.put(`/api/chat/rooms/${room}/read`, { seq: n - 2 })).status, 200);
  }
  const { unread } = (await juno.api.put(`/api/chat/rooms/${room}/read`, { seq: 9 })).json;
  assert.equal(unread, 2, 'a mark never goes back: 10 of 12 are read');
  for (const device of devices)
    await eventually(15000, () => device.of('unread').findLast(({ rooms }) => room in rooms)?.rooms[room] === 2, 'both devices say 2');
  const total = (await juno.api.get('/api/chat/unread')).json;
  assert.equal(total.rooms[room], 2);
  assert.equal(total.total, 2);
});

test('[P-27][S-46] strangers: no reading, no sending, no socket on the room, whatever they know of it', async (t) => {
  const [mina, juno] = await friends(2);
  const stranger = await newcomer();
  const room = (await mina.api.post('/api/chat/rooms', { kind: 'dm', user_id: juno.id })).json.id;
  const calls = [
    ['GET', ''],
    ['GET', '/messages'],
    ['POST', '/messages', { client_id: 'x', content: 'let me in' }],
    ['PUT', '/read', { seq: 0 }],
    ['PUT', '/mute', { muted: true }],
    ['POST', '/members', { user_ids: [stranger.id] }],
    ['DELETE', '/members/me'],
  ];
  for (const [method, path, wish] of calls)
    assert.equal((await stranger.api.call(method, `/api/chat/rooms/${room}${path}`, { body: wish })).status, 404, `${method} ${path}`);
  const s = app(t, stranger, door(0));
  await s.connected();
  s.subscribe('/user/queue/errors');
  s.subscribe(`/topic/rooms.${room}`, { after: '0' });
  await eventually(15000, () => s.heard.some(({ code }) => code === 'not_found'), 'the subscription is refused');
  assert.equal((await mina.api.post(`/api/chat/rooms/${room}/messages`, { client_id: 'm', content: 'private' })).status, 201);
  s.send(`/app/rooms.${room}.messages`, { client_id: 'y', content: 'hello' });
  await eventually(15000, () => s.heard.filter(({ code }) => code === 'not_found').length >= 2, 'and so is the message');
  assert.deepEqual(s.of('message'), []);
});

test('[P-29] kill -9 of each chat-svc in turn, while messages flow: every one arrives once and in order', async (t) => {
  const [mina, juno] = await friends(2);
  const room = (await mina.api.post('/api/chat/rooms', { kind: 'dm', user_id: juno.id })).json.id;
  const b = app(t, juno, door(1));
  let last = 0;
  let rev = 0;
  const seqs = [];
  b.onConnect = () =>
    b.client.subscribe(
      `/topic/rooms.${room}`,
      (frame) => {
        const event = JSON.parse(frame.body);
        rev = Math.max(rev, event.rev ?? 0);
        if (event.type !== 'message') return;
        last = body(event).seq;
        seqs.push(last);
      },
      { after: String(last), rev: String(rev) },
    );
  await b.connected();
  let sent = 0;
  const say = async () => {
    const wish = { client_id: `k-${sent + 1}`, content: `message ${sent + 1}` };
    await eventually(30000, async () => (await mina.api.post(`/api/chat/rooms/${room}/messages`, wish)).status === 201, wish.client_id, 50);
    sent++;
  };
  for (const instance of instances('chat-svc')) {
    for (let n = 0; n < 10; n++) await say();
    const dead = crash(instance);
    for (let n = 0; n < 20; n++) await say();
    await dead;
  }
  await eventually(20000, () => last === sent, 'all have arrived');
  assert.deepEqual(seqs, Array.from({ length: sent }, (_, i) => i + 1));
});

test('[M-54][D-51][P-20] a friend request is a notice in the inbox, once, and an EventSource on any instance is told', async (t) => {
  const { EventSource } = await import('eventsource');
  const [mina, juno] = await crowd(2);
  const events = [];
  const source = new EventSource(`${door(1)}/api/notifications/stream`, {
    fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, Authorization: `Bearer ${juno.access}` } }),
  });
  t.after(() => source.close());
  source.addEventListener('notification', (event) => events.push({ ...JSON.parse(event.data), id: event.lastEventId }));
  await new Promise((resolve, reject) => {
    source.onopen = resolve;
    source.onerror = (error) => reject(new Error(`stream: ${error.message}`));
  });
  assert.equal((await mina.api.put(`/api/friends/requests/${juno.id}`)).status, 201);
  assert.equal((await mina.api.put(`/api/friends/requests/${juno.id}`)).status, 200);
  await eventually(10000, () => events.length === 1, 'the stream has it');
  const [event] = events;
  assert.deepEqual([event.kind, event.id, event.seq], ['friend_request', '1', 1]);
  const list = await juno.api.get('/api/notifications?unread=true');
  assert.deepEqual(
    list.json.items.map(({ seq, kind }) => [seq, kind]),
    [[1, 'friend_request']],
  );
  assert.equal((await juno.api.get('/api/notifications/count')).json.unread, 1);
  assert.equal((await juno.api.post('/api/notifications/read', { up_to: 1 })).json.unread, 0);
});

test('[P-38][P-39] who is away gets a push, who is here does not', async (t) => {
  const [mina, juno, hana] = await friends(3);
  for (const person of [juno, hana]) {
    const put = await person.api.put('/api/push/devices/phone', { platform: 'android', token: `token-${person.handle}`.padEnd(40, 'x'), name: 'phone' });
    assert.equal(put.status, 200, put.text);
  }
  const room = (await mina.api.post('/api/chat/rooms', { kind: 'group', user_ids: [juno.id, hana.id] })).json.id;
  const c = app(t, hana, door(0));
  await c.connected();
  await eventually(
    10000,
    async () => (await mina.api.get('/api/presence/friends')).json.items.some(({ user_id, online }) => user_id === hana.id && online),
    'Hana is here',
  );
  // chat-svc's copy of presence follows within a moment of the record, so the first message may still ask for a push to her.
  let said = 0;
  await eventually(
    20000,
    async () => {
      const sent = await mina.api.post(`/api/chat/rooms/${room}/messages`, { client_id: `p${++said}`, content: '저녁 먹자' });
      assert.equal(sent.status, 201, sent.text);
      const asked = await eventually(
        10000,
        async () => {
          const requests = (await readTopic('push.requests')).map(({ value }) => value);
          const own = requests.filter(({ data }) => data?.room_id === room && data.seq === String(sent.json.seq));
          return own.some(({ user_id }) => user_id === juno.id) && own;
        },
        'a push to Juno is asked for',
        200,
      );
      return !asked.some(({ user_id }) => user_id === hana.id);
    },
    'a message is pushed to Juno, who is away, and not to Hana',
    200,
  );
  await eventually(15000, async () => (await sql('SELECT 1 FROM push.sends WHERE user_id = $1', [juno.id])).length > 0, "push-svc has Juno's");
});
