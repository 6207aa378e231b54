// stomp_frames.test.mjs - frames good and bad: what ends a session with one ERROR, what only is refused, acknowledgements, transactions, heart-beats, limits.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { request } from '../support/http.mjs';
import { readBytes } from '../support/topics.mjs';
import { eventually } from '../support/wait.mjs';
import { ERRORS, Raw, connectRaw, room, to } from './stomp_kit.mjs';
import { EVERYBODY, World, clientId, uuid } from './world.mjs';

const world = new World();
let ann, bob;
before(async () => {
  await world.start({ WS_OUTPUT_MAX: '65536', WS_BEAT_MS: '1000' }, 1);
  [ann, bob] = await world.friends(2);
}, { timeout: 270000 });
after(() => world.stop(), { timeout: 180000 });
const it = () => world.instances[0];

const sockets = [];
const open = async (...args) => {
  const raw = await connectRaw(...args);
  sockets.push(raw);
  return raw;
};
after(() => sockets.forEach((raw) => raw.close()));
const alive = async () => assert.equal((await request('GET', `${it().admin}/healthz`)).status, 200);

const BIG = 'x'.repeat(70000);
const BROKEN = {
  'an unknown command': ['NOTHING\n\n\0', 'an unknown command', 1002],
  'no command': ['\n:\n\n\0', 'an unknown command', 1002],
  'a header without a colon': ['SEND\ndestination\n\n\0', 'a header without a name', 1002],
  'a header without a name': ['SEND\n:x\n\n\0', 'a header without a name', 1002],
  'an unknown escape': ['SEND\ndestination:/app\\t\n\n\0', 'an escape that nobody defined', 1002],
  'an escape at the end': ['SEND\ndestination:/app\\\n\n\0', 'an escape that nobody defined', 1002],
  'a NUL in the head': ['SEND\ndestination:/a\0', 'a frame ends before its empty line', 1002],
  'a body where none may be': ['UNSUBSCRIBE\nid:1\n\nbody\0', 'only SEND has a body', 1002],
  'a content-length that is no number': ['SEND\ndestination:/a\ncontent-length:-1\n\n\0', 'content-length is not a number', 1002],
  'a content-length that does not fit': ['SEND\ndestination:/a\ncontent-length:1\n\nabc\0', 'content-length does not fit', 1002],
  'a content-length beyond the limit': ['SEND\ndestination:/a\ncontent-length:70000\n\n', 'the body is too long', 1009],
  'a huge content-length': ['SEND\ndestination:/a\ncontent-length:99999999999999999999\n\n', 'the body is too long', 1009],
  'a body beyond the limit': [`SEND\ndestination:/a\n\n${BIG}`, 'the body is too long', 1009],
  'a header beyond the limit': [`SEND\ndestination:/${BIG.slice(0, 5000)}\n\n\0`, 'a header is too long', 1009],
  'a head beyond the limit': [`SEND\n${`a:${'b'.repeat(3000)}\n`.repeat(6)}`, 'the headers are too long', 1009],
  'too many headers': [`SEND\n${'a:b\n'.repeat(33)}\n\0`, 'too many headers', 1009],
  'CONNECT twice': ['CONNECT\naccept-version:1.2\n\n\0', 'already connected', 1002],
  'SEND without destination': ['SEND\nreceipt:7\n\n\0', 'SEND needs a destination', 1002, '7'],
  'SUBSCRIBE without id': ['SUBSCRIBE\ndestination:/x\nreceipt:8\n\n\0', 'SUBSCRIBE needs id, destination and a known ack', 1002, '8'],
  'SUBSCRIBE with an unknown ack': ['SUBSCRIBE\nid:1\ndestination:/x\nack:maybe\n\n\0', 'SUBSCRIBE needs id, destination and a known ack', 1002],
  'UNSUBSCRIBE without id': ['UNSUBSCRIBE\n\n\0', 'UNSUBSCRIBE needs an id', 1002],
  'an unknown transaction': ['COMMIT\ntransaction:none\nreceipt:9\n\n\0', 'an unknown transaction', 1002, '9'],
  'BEGIN without a name': ['BEGIN\n\n\0', 'BEGIN needs a new transaction name', 1002],
  'a broken frame with a receipt': ['SEND\nreceipt:r-1\nbroken\n\n\0', 'a header without a name', 1002, 'r-1'],
};
for (const [what, [text, message, code, receipt]] of Object.entries(BROKEN)) {
  test(`[I10] one ERROR and the end: ${what}`, async () => {
    const raw = await open(it(), ann);
    raw.socket.send(text);
    const error = await raw.frame('ERROR');
    assert.equal(error.headers.message, message);
    assert.equal(error.headers['receipt-id'], receipt);
    assert.equal((await raw.closed).code, code);
    assert.equal(raw.frames.filter(({ command }) => command === 'ERROR').length, 1);
  });
}

test('[I10] frames before CONNECT, versions nobody speaks, wrong heart-beats, wrong UTF-8', async () => {
  for (const [text, message] of [['SEND\ndestination:/x\n\n\0', 'CONNECT comes first'], ['CONNECT\naccept-version:3.0,0.9\n\n\0', 'unsupported version'], ['CONNECT\naccept-version:1.2\nheart-beat:soon\n\n\0', 'heart-beat must be two numbers'],
    ['DISCONNECT\nreceipt:1\n\n\0', 'CONNECT comes first']]) {
    const raw = new Raw(it().wsUrl, { token: ann.token });
    await raw.opened;
    raw.socket.send(text);
    const error = await raw.frame('ERROR');
    assert.equal(error.headers.message, message);
    if (message === 'unsupported version') assert.equal(error.headers.version, '1.2,1.1,1.0'.replaceAll(':', ''));
    assert.equal((await raw.closed).code, 1002);
  }
  const raw = await open(it(), ann);
  raw.socket.send(Buffer.from('SEND\ndestination:/\xff\n\n\0', 'latin1'), { binary: true });
  assert.equal((await raw.frame('ERROR')).headers.message, 'the headers are not UTF-8');
  await alive();
});

test('[P-28] frames in pieces, several in one message, CRLF, line ends between, binary messages', async () => {
  const raw = await open(it(), ann);
  const dm = await world.dm(ann, bob);
  await raw.subscribe(room(dm), 'd');
  const ids = Array.from({ length: 4 }, clientId);
  const frame = (id, eol = '\n') => `SEND${eol}destination:${to(dm)}${eol}receipt:${id}${eol}${eol}${JSON.stringify({ client_id: id, content: '한글' })}\0`;
  for (const byte of Buffer.from(frame(ids[0]))) raw.socket.send(Buffer.from([byte]), { binary: true });
  raw.socket.send(`\n\n${frame(ids[1], '\r\n')}\r\n\n${frame(ids[2])}\n${frame(ids[3]).slice(0, 20)}`);
  raw.socket.send(frame(ids[3]).slice(20));
  for (const id of ids) await raw.receipt(id);
  await eventually(10000, () => raw.messages('d').length >= ids.length, 'the messages'); // they may come behind the receipts
  assert.deepEqual(raw.messages('d').map(({ client_id }) => client_id), ids);
});

test('[P-28] ack modes: cumulative, one by one, unknown ones refused; what is acknowledged counts as read', async () => {
  const [eve] = await world.people(1);
  await world.relate(ann, eve);
  const dm = await world.dm(ann, eve);
  const raw = await open(it(), eve);
  await raw.subscribe(ERRORS, 'err');
  await raw.subscribe(room(dm), 'all', { ack: 'client' });
  await raw.subscribe(room(dm), 'one', { ack: 'client-individual', mark: 'manual' });
  for (let i = 0; i < 3; i++) await world.say(ann, dm, `m${i}`);
  const messages = async (id) => {
    await eventually(5000, () => raw.messages(id).length === 3);
    return raw.frames.filter(({ headers, json }) => headers.subscription === id && json?.type === 'message');
  };
  const [all, one] = [await messages('all'), await messages('one')];
  assert.ok(all.every(({ headers }) => headers.ack) && new Set([...all, ...one].map(({ headers }) => headers.ack)).size === 6);
  const unread = async () => (await eve.api.get('/api/chat/unread')).json.rooms[dm.id] ?? 0;
  assert.equal(await unread(), 3);
  raw.send('ACK', { id: one[1].headers.ack, receipt: 'a1' });
  await raw.receipt('a1');
  raw.send('ACK', { id: one[1].headers.ack, receipt: 'a1' });
  await raw.body(({ receipt, code }) => receipt === 'a1' && code === 'not_found');
  raw.send('NACK', { id: one[0].headers.ack, receipt: 'a2' });
  await raw.receipt('a2');
  raw.send('ACK', { id: all[1].headers.ack, receipt: 'a3' });
  await raw.receipt('a3');
  await eventually(5000, async () => (await unread()) === 1, 'two are read');
  raw.send('ACK', { id: 'nonsense' });
  await raw.body(({ code }) => code === 'not_found');
});

test('[P-28] a transaction sends at COMMIT, and nothing after ABORT', async () => {
  const raw = await open(it(), ann);
  const dm = await world.dm(ann, bob);
  await raw.subscribe(room(dm), 'd');
  await raw.subscribe(ERRORS, 'err');
  const send = (content, transaction) => raw.send('SEND', { destination: to(dm), transaction, receipt: content }, JSON.stringify({ client_id: clientId(), content }));
  raw.send('BEGIN', { transaction: 't1' });
  raw.send('BEGIN', { transaction: 't2', receipt: 'b2' });
  await raw.receipt('b2');
  send('never', 't2');
  send('first', 't1');
  send('second', 't1');
  raw.send('ABORT', { transaction: 't2', receipt: 'gone' });
  await raw.receipt('gone');
  assert.equal((await raw.body(({ receipt }) => receipt === 'never')).code, 'conflict', 'who waits for its receipt hears that none comes');
  assert.equal(raw.messages('d').length, 0);
  raw.send('COMMIT', { transaction: 't1', receipt: 'done' });
  for (const id of ['done', 'first', 'second']) await raw.receipt(id);
  await eventually(10000, () => raw.messages('d').length >= 2, 'the messages');
  assert.deepEqual(raw.messages('d').map(({ content }) => content), ['first', 'second']);
});

test('[P-35] heart-beats are kept both ways; a client that promised them and falls silent is let go', async () => {
  const raw = await new Raw(it().wsUrl, { token: ann.token }).connect({ 'heart-beat': '0,1000' });
  const silent = await new Raw(it().wsUrl, { token: ann.token }).connect({ 'heart-beat': '1000,0' });
  sockets.push(raw, silent);
  await eventually(15000, () => raw.beats > 0, 'a heart-beat');
  const error = await silent.frame('ERROR', 20000);
  assert.equal(error.headers.message, 'no heart-beat');
  assert.equal((await silent.closed).code, 4408);
  assert.equal(silent.beats, 0);
  assert.equal(raw.end, undefined);
}, { timeout: 180000 });

test('[S-46] many sockets of one user, within a bound; each goes its own way', async () => {
  const [eve] = await world.people(1);
  const raws = await Promise.all(Array.from({ length: 20 }, () => open(it(), eve)));
  const more = new Raw(it().wsUrl, { token: eve.token });
  await more.opened;
  more.send('CONNECT', { 'accept-version': '1.2' });
  assert.equal((await more.frame('ERROR')).headers.message, 'rate_limited');
  raws[0].send('DISCONNECT', { receipt: 'bye' });
  await raws[0].receipt('bye');
  await raws[0].closed;
  await eventually(5000, () => open(it(), eve), 'a free place');
});

test('[I9][P-29] a reader that stops reading costs its cap and is cut; others go on; it catches up', async () => {
  const [eve] = await world.people(1);
  await world.relate(ann, eve);
  const group = await world.group(ann, [bob, eve]);
  const slow = await open(it(), eve);
  await slow.subscribe(room(group), 'g');
  const fast = await open(it(), bob);
  await fast.subscribe(room(group), 'g');
  const metric = async () => Number(/^madang_chat_ws_cut_total (\d+)/m.exec((await request('GET', `${it().admin}/metrics`)).text)?.[1]);
  const before = await metric();
  slow.socket._socket.pause();
  let said = 0;
  const content = '가'.repeat(3900);
  await eventually(60000, async () => {
    await Promise.all(Array.from({ length: 5 }, () => world.say(ann, group, content))); // less than the cap: who reads is never behind by it
    said += 5;
    await eventually(10000, () => fast.messages('g').length >= said, 'the other has all so far', 1);
    return (await metric()) > before;
  }, 'cut', 1);
  assert.equal(fast.end, undefined);
  slow.socket._socket.resume();
  const { code } = await slow.closed;
  assert.ok([1013, 1006].includes(code), String(code));
  await alive();
}, { timeout: 270000 });

const raw101 = (headers) =>
  new Promise((resolve) => {
    const { hostname, port } = new URL(it().wsUrl);
    const socket = net.connect(port, hostname);
    let text = '';
    socket.on('data', (part) => {
      text += part.toString('latin1');
      if (text.includes('\r\n\r\n')) socket.end(); // what is left of the body still comes
    });
    socket.on('error', () => resolve(text));
    socket.on('close', () => resolve(text));
    socket.write(headers);
    setTimeout(() => socket.end(), 30000).unref();
  });
test('[I10] upgrades that are none: plain HTTP answers, no crash', async () => {
  assert.match(await raw101('GET /ws/chat HTTP/1.1\r\nHost: x\r\n\r\n'), /^HTTP\/1.1 400 [^]*"code":"bad_input"/);
  assert.match(await raw101('GET /ws/chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer nope\r\n\r\n'), /^HTTP\/1.1 401 [^]*token_invalid/);
  assert.doesNotMatch(await raw101(`GET /ws/chat HTTP/1.1\r\nHost: x\r\nX-Big: ${'a'.repeat(10 << 20)}\r\n\r\n`), / 101 /);
  await alive();
});

test('[P-29] subscriptions: a bound, a second use of an id, and their end', async () => {
  const raw = await open(it(), ann);
  await raw.subscribe(ERRORS, 'err');
  for (let i = 0; i < 199; i++) raw.send('SUBSCRIBE', { id: `s${i}`, destination: room(EVERYBODY) });
  raw.send('SUBSCRIBE', { id: 'more', destination: room(EVERYBODY), receipt: 'more' });
  assert.equal((await raw.body(({ receipt }) => receipt === 'more')).code, 'overloaded');
  await eventually(10000, () => raw.frames.filter(({ json }) => json?.type === 'subscribed').length === 199, 'all the others');
  raw.send('UNSUBSCRIBE', { id: 's0', receipt: 'u' });
  await raw.receipt('u');
  await raw.subscribe(room(EVERYBODY), 's0');
  raw.send('SUBSCRIBE', { id: 's0', destination: room(uuid()) });
  assert.equal((await raw.frame('ERROR')).headers.message, 'this subscription id is in use');
});

test('[P-29] an id that is used again while its first subscription loads gets what the second asked for', async () => {
  const dm = await world.dm(ann, bob);
  const raw = await open(it(), ann);
  const seqs = [];
  for (const content of ['a', 'b', 'c']) seqs.push((await ann.api.post(`/api/chat/rooms/${dm.id}/messages`, { client_id: clientId(), content })).json.seq);
  for (let i = 0; i < 20; i++) {
    raw.send('SUBSCRIBE', { id: `x${i}`, destination: room(dm) });
    raw.send('UNSUBSCRIBE', { id: `x${i}` });
    raw.send('SUBSCRIBE', { id: `x${i}`, destination: room(dm), after: seqs[0], receipt: `in${i}` });
    await raw.receipt(`in${i}`);
    assert.deepEqual(raw.messages(`x${i}`).map(({ content }) => content), ['b', 'c']);
  }
});

test('[P-32][I10] a mark that no sequence reaches is refused at the door, by both ways', async () => {
  const dm = await world.dm(ann, bob);
  const raw = await open(it(), ann);
  await raw.subscribe(ERRORS, 'err');
  const reply = await request('PUT', `${it().url}/api/chat/rooms/${dm.id}/read`, { token: ann.token, body: '{"seq":9223372036854775807}', headers: { 'Content-Type': 'application/json' } });
  assert.deepEqual([reply.status, reply.problem], [400, 'bad_input']);
  raw.send('SEND', { destination: to(dm, 'read'), receipt: 'far' }, '{"seq":9223372036854775807}');
  assert.equal((await raw.body(({ receipt }) => receipt === 'far')).code, 'bad_input');
  assert.equal((await ann.api.put(`/api/chat/rooms/${dm.id}/read`, { seq: Number.MAX_SAFE_INTEGER })).status, 200, 'all that there is');
  assert.deepEqual((await readBytes('chat.inbound.dlq')).filter(({ key }) => key === dm.id), []);
});

test('[P-29] a subscription that ends before it has loaded still has its receipt, before that of its end', async () => {
  const raw = await open(it(), ann);
  const receipts = [];
  for (let i = 0; i < 30; i++) {
    raw.send('SUBSCRIBE', { id: 'x', destination: room(EVERYBODY), receipt: `in${i}` });
    raw.send('UNSUBSCRIBE', { id: 'x', receipt: `out${i}` });
    receipts.push(`in${i}`, `out${i}`);
  }
  await raw.receipt('out29');
  assert.deepEqual(raw.frames.filter(({ command }) => command === 'RECEIPT').map(({ headers }) => headers['receipt-id']), receipts);
});
