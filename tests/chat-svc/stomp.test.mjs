// stomp.test.mjs - the sockets as their clients see them: versions, receipts, who may what, live delivery on two instances, catch-up.
import { Versions } from '@stomp/stompjs';
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually } from '../support/wait.mjs';
import { ERRORS, EVENTS, Raw, connectRaw, connectStomp, room, to } from './stomp_kit.mjs';
import { EVERYBODY, World, clientId, uuid } from './world.mjs';

const world = new World();
before(() => world.start({ WS_CONNECT_SECONDS: '6' }), { timeout: 270000 });
after(() => world.stop(), { timeout: 180000 });
const [first, second] = [() => world.instances[0], () => world.instances.at(-1)];

const sockets = [];
const open = async (...args) => {
  const raw = await connectRaw(...args);
  sockets.push(raw);
  return raw;
};
after(() => sockets.forEach((raw) => raw.close()));
const say = (raw, where, content, headers = {}, id = clientId()) => {
  raw.send('SEND', { destination: to(where), receipt: `r-${id}`, ...headers }, JSON.stringify({ client_id: id, content }));
  return id;
};

for (const version of ['1.0', '1.1', '1.2']) {
  test(`[P-29] the standard client speaks ${version}: connect, subscribe, send, receipt, disconnect`, async () => {
    const [ann, bob] = await world.friends(2);
    const dm = await world.dm(ann, bob);
    const client = await connectStomp(first().wsUrl, { stompVersions: new Versions([version]), headers: { Authorization: `Bearer ${ann.token}` } });
    assert.equal(client.welcome.headers.version, version);
    assert.match(client.welcome.headers['heart-beat'], /^\d+,\d+$/);
    assert.equal(client.welcome.headers['user-name'], ann.id);
    const heard = [];
    client.subscribe(room(dm), (message) => heard.push(JSON.parse(message.body)), { id: version === '1.2' ? 'with:colon\\and' : 'plain' } /* the library escapes in 1.2 only */);
    await eventually(5000, () => heard.some(({ type }) => type === 'subscribed'), 'subscribed');
    const receipt = new Promise((resolve) => client.watchForReceipt('r1', resolve));
    client.publish({ destination: to(dm), headers: { receipt: 'r1' }, body: JSON.stringify({ client_id: 'k1', content: `안녕 ${version}\nline` }) });
    const { headers } = await receipt;
    assert.equal(headers.seq, '1');
    assert.match(headers.at, /^\d{4}-/);
    const message = await eventually(5000, () => heard.find(({ type }) => type === 'message'), 'the message');
    assert.equal(message.content, `안녕 ${version}\nline`);
    assert.equal(message.sender.id, ann.id);
    assert.equal(message.client_id, 'k1');
    const gone = new Promise((resolve) => (client.onDisconnect = resolve));
    await client.deactivate();
    await gone;
  });
}

test('[P-29][S-46] identity comes by header, by ticket once, or with CONNECT; guests and strangers stay out', async () => {
  const [ann] = await world.people(1);
  const ticket = world.auth.ticket(ann);
  const byTicket = new Raw(first().wsUrl, { ticket });
  sockets.push(byTicket);
  await byTicket.connect();
  const again = new Raw(second().wsUrl, { ticket });
  await again.opened;
  again.send('CONNECT', { 'accept-version': '1.2' });
  assert.equal((await again.frame('ERROR')).headers.message, 'token_invalid');
  assert.equal((await again.closed).code, 4401);
  const late = new Raw(first().wsUrl, {});
  sockets.push(late);
  await late.connect({ Authorization: `Bearer ${ann.token}` });
  assert.equal(late.connected.headers['user-name'], ann.id);
  for (const [headers, says] of [[{}, 'token_missing'], [{ Authorization: 'Bearer x.y.z' }, 'token_invalid'], [{ Authorization: `Bearer ${world.auth.token(ann, { role: 'guest' })}` }, 'forbidden'],
    [{ Authorization: `Bearer ${world.auth.token(ann, { iat: Math.floor(Date.now() / 1000) - 900, exp: Math.floor(Date.now() / 1000) - 60 })}` }, 'token_expired']]) {
    const raw = new Raw(first().wsUrl);
    await raw.opened;
    raw.send('CONNECT', { 'accept-version': '1.2', ...headers });
    assert.equal((await raw.frame('ERROR')).headers.message, says);
    await raw.closed;
  }
  await assert.rejects(new Raw(first().wsUrl, { token: 'a.b.c' }).opened, { status: 401 });
  await assert.rejects(new Raw(first().wsUrl, { token: world.auth.token(ann, { role: 'guest' }) }).opened, { status: 403 });
  const silent = new Raw(first().wsUrl);
  await silent.opened;
  assert.equal((await silent.frame('ERROR', 15000)).headers.message, 'CONNECT did not come in time');
  assert.equal((await silent.closed).code, 4408);
});

test('[P-29][M-45] a message sent on one instance reaches sockets of both once and in order', async () => {
  const [ann, bob, eve] = await world.friends(3);
  const group = await world.group(ann, [bob, eve]);
  const listeners = await Promise.all([open(first(), ann), open(second(), ann), open(first(), bob), open(second(), eve)]);
  await Promise.all(listeners.map((raw) => raw.subscribe(room(group), 'g')));
  const start = listeners[0].frames.find(({ json }) => json?.type === 'subscribed').json.last_seq;
  const COUNT = 30;
  for (let i = 0; i < COUNT; i++) say(listeners[i % 4], group, `m${i}`);
  for (const raw of listeners) {
    await eventually(10000, () => raw.messages('g').length >= COUNT, 'all messages');
    assert.deepEqual(raw.messages('g').map(({ seq }) => seq), Array.from({ length: COUNT }, (_, i) => start + 1 + i));
  }
  const texts = listeners.map((raw) => raw.messages('g').map(({ content }) => content).join());
  assert.equal(new Set(texts).size, 1);
});

test('[P-29][I2] a reconnect with after and rev gets what it missed, no more: messages, edits, deletes', async () => {
  const [ann, bob] = await world.friends(2);
  const dm = await world.dm(ann, bob);
  for (let i = 1; i <= 5; i++) await world.say(bob, dm, `before ${i}`);
  const raw = await open(first(), ann);
  await raw.subscribe(room(dm), 'a');
  const { last_seq: seen, rev } = raw.frames.find(({ json }) => json?.type === 'subscribed').json;
  assert.equal(seen, 5);
  assert.equal(raw.messages('a').length, 0); /* nothing was asked for */
  raw.close();
  for (let i = 6; i <= 9; i++) await world.say(bob, dm, `missed ${i}`);
  await bob.api.patch(`/api/chat/rooms/${dm.id}/messages/2`, { content: 'changed' });
  await bob.api.delete(`/api/chat/rooms/${dm.id}/messages/3`);
  const back = await open(second(), ann);
  await back.subscribe(room(dm), 'a', { after: seen, rev });
  assert.deepEqual(back.messages('a').map(({ seq, content }) => [seq, content]), [6, 7, 8, 9].map((n) => [n, `missed ${n}`]));
  const edited = await back.body(({ type }) => type === 'edited');
  assert.deepEqual([edited.seq, edited.content], [2, 'changed']);
  assert.equal((await back.body(({ type }) => type === 'deleted')).seq, 3);
  await world.say(bob, dm, 'live');
  await back.body(({ type, seq }) => type === 'message' && seq === 10);
  for (let i = 0; i < 520; i += 40) await Promise.all(Array.from({ length: 40 }, () => world.say(bob, dm, 'x')));
  const late = await open(first(), ann);
  await late.subscribe(room(dm), 'a', { after: 1 });
  assert.equal(late.frames.find(({ json }) => json?.type === 'subscribed').json.reload, true);
  assert.equal(late.messages('a').length, 0);
});

test('[P-29][I2] subscribing while messages pour in leaves no gap and no double', async () => {
  const [ann, bob] = await world.friends(2);
  const dm = await world.dm(ann, bob);
  let stop = false;
  let said = 0;
  const pouring = Promise.all(Array.from({ length: 6 }, async () => {
    while (!stop && said < 450) await world.say(bob, dm, `p${++said}`); // more are a reload
  }));
  const raws = [];
  for (let i = 0; i < 10; i++) {
    const raw = await open(i % 2 ? first() : second(), ann);
    await raw.subscribe(room(dm), 'p', { after: 0 });
    raws.push(raw);
  }
  stop = true;
  await pouring;
  for (const raw of raws) {
    await eventually(8000, () => raw.messages('p').at(-1)?.seq === said, `the last of ${said}`);
    assert.deepEqual(raw.messages('p').map(({ seq }) => seq), Array.from({ length: said }, (_, i) => i + 1));
  }
});

test('[M-45][M-49][P-28] non-members can not subscribe, send, read or type; a sender can not be forged', async () => {
  const [ann, bob, eve] = await world.friends(3);
  const dm = await world.dm(ann, bob);
  const raw = await open(first(), eve);
  await raw.subscribe(ERRORS, 'err');
  raw.send('SUBSCRIBE', { id: 'x', destination: room(dm), receipt: 'never' });
  const refused = await raw.body(({ code }) => code === 'not_found');
  assert.deepEqual([refused.subscription, refused.receipt, refused.destination], ['x', 'never', room(dm)]);
  say(raw, dm, 'hi', {}, 'k9');
  const send = await raw.body(({ client_id }) => client_id === 'k9');
  assert.equal(send.receipt, 'r-k9');
  assert.ok(['not_found', 'forbidden'].includes(send.code), send.code);
  raw.send('SEND', { destination: to(dm, 'read') }, JSON.stringify({ seq: 1 }));
  await raw.body(({ code }) => ['not_found', 'forbidden'].includes(code));
  raw.send('SEND', { destination: to(dm, 'typing'), receipt: 't' }, '');
  await raw.body(({ receipt }) => receipt === 't');
  for (const destination of ['/app/rooms.xyz.messages', to(uuid(), 'nothing'), '/topic/rooms.' + dm.id, '/app/other']) {
    raw.send('SEND', { destination, receipt: destination }, '{}');
    assert.equal((await raw.body(({ receipt }) => receipt === destination)).code, 'not_found');
  }
  raw.send('SUBSCRIBE', { id: 'y', destination: '/user/other/events', receipt: 'y' });
  await raw.body(({ receipt }) => receipt === 'y');
  const good = await open(first(), ann);
  await good.subscribe(ERRORS, 'err');
  await good.subscribe(room(dm), 'd');
  for (const body of ['{"client_id":"f","content":"x","sender_id":"' + bob.id + '"}', '{"client_id":"f","content":"x","user_id":"' + bob.id + '"}', '{"client_id":"f","content":"x","kind":"system"}', '{"content":"x"}', 'no json', '{"client_id":"f","content":"  "}']) {
    good.send('SEND', { destination: to(dm), receipt: body.length, sender: bob.id, 'user-id': bob.id }, body);
    assert.equal((await good.body(({ receipt }) => receipt === String(body.length))).code, 'bad_input', body);
  }
  const id = say(good, dm, 'really me', { sender: bob.id });
  assert.equal((await good.body(({ client_id, type }) => client_id === id && type === 'message')).sender.id, ann.id);
  assert.equal(raw.frames.some(({ json }) => json?.type === 'message'), false);
  assert.equal((await good.receipt(`r-${id}`)).headers.seq, '1');
});

test('[P-28] the same client_id is the same message, with the same receipt; others are limited to 20 a second', async () => {
  const [ann, bob] = await world.friends(2);
  const dm = await world.dm(ann, bob);
  const raw = await open(first(), ann);
  await raw.subscribe(ERRORS, 'err');
  await raw.subscribe(room(dm), 'd');
  for (let i = 0; i < 3; i++) {
    raw.send('SEND', { destination: to(dm), receipt: `again-${i}` }, JSON.stringify({ client_id: 'same', content: 'once' }));
    assert.equal((await raw.receipt(`again-${i}`)).headers.seq, '1');
  }
  for (let i = 0; i < 80; i++) say(raw, dm, `burst ${i}`);
  const limited = await raw.body(({ code }) => code === 'rate_limited');
  assert.ok(limited.retry_after >= 1 && limited.client_id);
  assert.equal(raw.messages('d').filter(({ client_id }) => client_id === 'same').length, 1);
});

test('[P-29][S-44] everybody speaks in the common room, in its limits', async () => {
  const [ann, bob] = await world.people(2);
  const [one, two] = [await open(first(), ann), await open(second(), bob)];
  await one.subscribe(ERRORS, 'err');
  for (const raw of [one, two]) await raw.subscribe(room(EVERYBODY), 'all');
  const id = say(one, EVERYBODY, 'hello all');
  await two.body(({ client_id }) => client_id === id);
  say(one, EVERYBODY, 'x'.repeat(201), {}, 'long');
  await one.body(({ client_id, code }) => client_id === 'long' && code);
  for (let i = 0; i < 6; i++) say(one, EVERYBODY, `again ${i}`);
  assert.equal((await one.body(({ code }) => code === 'rate_limited')).status, 429);
});

test('[P-29] typing reaches the others of the room on both instances, and not oneself', async () => {
  const [ann, bob] = await world.friends(2);
  const dm = await world.dm(ann, bob);
  const [one, two, mine] = [await open(first(), ann), await open(second(), bob), await open(first(), bob)];
  for (const raw of [one, two, mine]) await raw.subscribe(room(dm), 'd');
  const typing = ({ type, user_id, room_id }) => type === 'typing' && user_id === ann.id && room_id === dm.id;
  await eventually(10000, async () => {
    one.send('SEND', { destination: to(dm, 'typing') });
    return two.frames.some(({ json }) => json && typing(json));
  }, 'typing', 1100);
  await mine.body(typing);
  assert.equal(one.frames.some(({ json }) => json?.type === 'typing'), false);
});
