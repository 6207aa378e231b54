// Sockets and streams: bytes both ways after the upgrade, events as they come, and how they end.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { after, before, test } from 'node:test';
import WebSocket, { WebSocketServer } from 'ws';
import { pause } from '../support/wait.mjs';
import { assertFlat, Authority, bearer, echoSockets, eventually, exchange, Gateway, get, keep, measured, newUser, RawService, Service, upgradeTo, websocketAccept, websocketKey, Wire } from './world.mjs';

let authority, service, gateway;

before(async () => {
  authority = await Authority.start();
  service = await Service.start((req, res) => {
    res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
    service.streams.add(res);
    res.on('close', () => service.streams.delete(res));
    res.write(`event: hello\ndata: ${req.url}\n\n`);
  });
  service.streams = new Set();
  echoSockets(service);
  gateway = await Gateway.start({
    services: { 'chat-ws': service, 'match-ws': service, 'notify-svc': service },
    authority,
    settings: { STREAMS_PER_USER: '3' },
  });
});
after(async () => {
  await gateway?.close();
  await service?.close();
  await authority?.close();
});

const opened = (socket) => new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject).once('unexpected-response', (_, res) => reject(new Error(res.statusCode))));
const nextMessage = (socket) => new Promise((resolve) => socket.once('message', (data) => resolve(data)));

test('[P-43] a WebSocket client talks through the gateway', async (t) => {
  const server = new WebSocketServer({ noServer: true, handleProtocols: (offered) => [...offered][0] });
  const talker = keep(t, await Service.start());
  talker.server.on('upgrade', (req, socket, head) => {
    talker.seen.push(req);
    server.handleUpgrade(req, socket, head, (peer) => {
      peer.on('message', (data, binary) => peer.send(data, { binary }));
      peer.on('close', (code) => (talker.closedWith = code));
    });
  });
  const own = keep(t, await Gateway.start({ services: { 'chat-ws': talker } }));
  const socket = new WebSocket(`ws://127.0.0.1:${own.port}/ws/chat?x=1`, ['v12.stomp', 'v11.stomp']);
  await opened(socket);
  assert.equal(socket.protocol, 'v12.stomp');
  assert.equal(talker.seen[0].url, '/ws/chat?x=1');
  assert.equal(talker.seen[0].headers['x-forwarded-for'], '127.0.0.1');
  for (const size of [0, 1, 125, 126, 70000, 1 << 20]) {
    const back = nextMessage(socket);
    socket.send('x'.repeat(size));
    assert.equal((await back).toString(), 'x'.repeat(size));
  }
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.close(4001, 'bye');
  assert.equal(await closed, 4001);
  await eventually(3000, () => talker.closedWith === 4001);
});

test('[P-43] the handshake is passed on whole, and bytes go both ways untouched', async () => {
  const wire = await Wire.open(gateway.port);
  const answer = await wire.send(upgradeTo('/ws/market')).answer();
  assert.equal(answer.status, 101);
  assert.equal(answer.headers['sec-websocket-accept'], websocketAccept(websocketKey));
  assert.equal(answer.headers.upgrade, 'websocket');
  assert.equal(answer.headers.connection, 'Upgrade');
  const sent = crypto.randomBytes(3 << 20); // not even valid frames: the gateway does not read them
  wire.socket.write(sent);
  await eventually(20000, () => wire.bytes.length === sent.length, 'all of it comes back');
  assert.ok(wire.bytes.equals(sent));
  wire.close();
  await eventually(3000, () => service.upgraded.size === 0, 'the service sees the end');
});

test('[P-43] bytes that come with the handshake are not lost', async () => {
  const wire = await Wire.open(gateway.port);
  wire.send(`${upgradeTo('/ws/market')}early bytes`);
  assert.equal((await wire.answer()).status, 101);
  await eventually(3000, () => wire.text === 'early bytes');
  wire.close();
});

test('[P-43] when the service ends a tunnel the client gets the rest, then the end', async (t) => {
  const raw = keep(
    t,
    await RawService.start((socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
      socket.end('x'.repeat(500000));
    }),
  );
  const own = keep(t, await Gateway.start({ services: { 'match-ws': raw } }));
  const wire = await Wire.open(own.port);
  wire.send(upgradeTo('/ws/market'));
  await wire.answer();
  await wire.end();
  assert.equal(wire.text, 'x'.repeat(500000));
  wire.close();
});

test('[P-43] only a WebSocket opens a socket route; upgrades elsewhere are plain requests', async () => {
  const plain = await exchange(gateway.port, get('/ws/market'));
  assert.equal(plain.status, 426);
  assert.equal(plain.headers.upgrade, 'websocket');
  assert.equal((await exchange(gateway.port, upgradeTo('/ws/market').replace('Version: 13', 'Version: 8'))).status, 426);
  assert.equal((await exchange(gateway.port, upgradeTo('/ws/market').replace('GET', 'POST'))).status, 426);
  const stream = await Wire.open(gateway.port);
  stream.send(upgradeTo('/api/notifications/stream', bearer(authority.token())));
  await eventually(3000, () => stream.text.includes('hello'));
  assert.match(stream.text, /^HTTP\/1\.1 200/);
  assert.equal(service.seen.at(-1).headers.upgrade, undefined);
  stream.close();
});

test('[P-43] a service that refuses the upgrade: its answer is passed on', async (t) => {
  const plain = keep(t, await RawService.start((socket) => socket.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno')));
  const own = keep(t, await Gateway.start({ services: { 'match-ws': plain } }));
  const wire = await Wire.open(own.port);
  const answer = await wire.send(upgradeTo('/ws/market') + get('/nowhere')).answer();
  assert.equal(answer.status, 403);
  assert.equal(answer.body, 'no');
  assert.equal((await wire.answer()).status, 404, 'what follows is a request, not a tunnel');
  wire.close();
});

test('[P-43] tickets at the upgrade: the signature is checked, no ticket is fine', async () => {
  const status = async (target) => (await exchange(gateway.port, upgradeTo(target))).status;
  assert.equal(await status('/ws/chat'), 101);
  assert.equal(await status(`/ws/chat?ticket=${authority.ticket()}`), 101);
  assert.equal(await status(`/ws/chat?ticket=${authority.token()}`), 401);
  assert.equal(await status('/ws/chat?ticket=garbage'), 401);
});

test('[P-43] events arrive one by one, as they are made', async () => {
  const wire = await Wire.open(gateway.port);
  wire.send(get('/api/notifications/stream', bearer(authority.token())));
  await eventually(3000, () => wire.text.includes('event: hello'));
  assert.match(wire.text, /Content-Type: text\/event-stream/);
  for (let i = 0; i < 5; i++) {
    for (const stream of service.streams) stream.write(`data: ${i}\n\n`);
    await eventually(3000, () => wire.text.includes(`data: ${i}\n\n`));
  }
  wire.close();
  await eventually(3000, () => service.streams.size === 0, 'the service sees that the client is gone');
});

test('[P-43] request timers never cut a stream, the idle limit does', async (t) => {
  const own = keep(
    t,
    await Gateway.start({
      services: { 'notify-svc': service, 'match-ws': service },
      authority,
      settings: { HEADER_TIMEOUT_MS: '1000', KEEP_ALIVE_MS: '1000', BODY_IDLE_MS: '1000', SEND_STALL_MS: '1000', TUNNEL_IDLE_MS: '6000' },
    }),
  );
  const stream = await Wire.open(own.port);
  stream.send(get('/api/notifications/stream', bearer(authority.token())));
  const tunnel = await Wire.open(own.port);
  tunnel.send(upgradeTo('/ws/market'));
  await tunnel.answer();
  for (let i = 0; i < 12; i++) {
    await pause(150);
    for (const one of service.streams) one.write(': keep-alive\n\n');
    tunnel.send('.');
  }
  await eventually(2000, () => tunnel.text === '.'.repeat(12));
  assert.ok(!stream.ended && !stream.closed && !tunnel.ended && !tunnel.closed);
  const quiet = performance.now();
  await Promise.all([stream.end({ ms: 20000 }), tunnel.end({ ms: 20000 })]);
  assert.ok(performance.now() - quiet > 500);
  stream.close();
  tunnel.close();
});

test('[P-43] a tunnel whose reader stops: memory stays flat, and it goes on when the reader does', async (t) => {
  const flood = keep(t, await Service.start());
  let written = 0;
  flood.server.on('upgrade', (req, socket) => {
    socket.on('error', () => {});
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
    const piece = Buffer.alloc(65536, 'f');
    const more = () => {
      while (written < 48 << 20) {
        written += piece.length;
        if (!socket.write(piece)) return socket.once('drain', more);
      }
      socket.end();
    };
    more();
  });
  const own = keep(t, await Gateway.start({ services: { 'match-ws': flood } }));
  const memory = own.memory().Pss;
  const wire = await Wire.open(own.port);
  wire.socket.pause();
  wire.send(upgradeTo('/ws/market'));
  let last = -1;
  await eventually(10000, () => {
    const still = written > 0 && written === last;
    last = written;
    return still;
  }, 'the service stops writing', 300);
  assertFlat(own, memory, 2000);
  let read = 0;
  wire.socket.on('data', (part) => {
    read += part.length;
    wire.bytes = Buffer.alloc(0);
  });
  wire.socket.resume();
  await eventually(20000, () => read >= 48 << 20);
  wire.close();
});

test('[P-43] streams and sockets of one user are limited, and a closed one makes room', async () => {
  const user = newUser();
  const open = [];
  const stream = async () => {
    const wire = await Wire.open(gateway.port);
    wire.send(get('/api/notifications/stream', bearer(authority.token(user))));
    await eventually(3000, () => /hello|too_many_streams/.test(wire.text));
    if (wire.text.includes('hello')) open.push(wire);
    return wire;
  };
  await stream();
  await stream();
  const socket = await Wire.open(gateway.port);
  assert.equal((await socket.send(upgradeTo(`/ws/chat?ticket=${authority.ticket(user)}`)).answer()).status, 101);
  const fourth = await stream();
  assert.match(fourth.text, /^HTTP\/1\.1 429/);
  assert.match(fourth.text, /too_many_streams/);
  assert.match(fourth.text, /Retry-After: \d+/);
  assert.equal((await exchange(gateway.port, upgradeTo('/ws/chat', bearer(authority.token(user))))).status, 429);
  const other = await Wire.open(gateway.port);
  other.send(get('/api/notifications/stream', bearer(authority.token())));
  await eventually(3000, () => other.text.includes('hello'), 'another user is not touched');
  socket.close();
  await eventually(3000, async () => (await stream()).text.includes('hello'), 'there is room again');
  for (const wire of [...open, other, fourth]) wire.close();
  await eventually(3000, () => service.streams.size === 0);
});

test('[P-43] 1,000 idle tunnels', { timeout: 60000 }, async (t) => {
  const own = keep(t, await Gateway.start({ services: { 'match-ws': service } }));
  await exchange(own.port, get('/nowhere'));
  const before_ = own.memory();
  const wires = [];
  for (let i = 0; i < 1000; i += 50)
    wires.push(...(await Promise.all(Array.from({ length: 50 }, async () => {
      const wire = await Wire.open(own.port);
      assert.equal((await wire.send(upgradeTo('/ws/market')).answer()).status, 101);
      return wire;
    }))));
  for (const wire of wires) wire.send('hello');
  await eventually(10000, () => wires.every((wire) => wire.text === 'hello'), 'all of them carry bytes');
  // what the burst used goes back within seconds
  const grown = await eventually(15000, () => (own.memory().Pss - before_.Pss <= 4096 || !measured) && { kb: own.memory().Pss - before_.Pss }, 'at most 4 MB more', 500);
  t.diagnostic(`1,000 idle tunnels: ${grown.kb} kB more (PSS ${before_.Pss} kB before)`);
  for (const wire of wires) wire.close();
  await eventually(10000, async () => (await own.metric('madang_gateway_connections')) === 0);
});
