// Everything at once: clients that behave badly in every way, services that answer in every way, instances that come and go, reloads.
// Whatever happens, the gateway stands, every whole answer belongs to its request, and afterwards nothing is left over.
// STORM_SECONDS=60 for the long form, STORM_SEED to run one again.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { pause, random } from '../support/wait.mjs';
import { assertFlat, Authority, bearer, eventually, Gateway, get, keep, Lease, RawService, Redis, temporaryFolder, upgradeTo, Wire } from './world.mjs';

const SECONDS = Number(process.env.STORM_SECONDS ?? 8);
const seed = Number(process.env.STORM_SEED ?? crypto.randomInt(2 ** 31));
const dice = random(seed);
const roll = (n) => Math.floor(dice() * n);
const one = (list) => list[roll(list.length)];

// One after the other: timers of different lengths that are late together do not fire in order.
function inSteps(socket, [part, ...rest], ms) {
  setTimeout(() => {
    if (!socket.writable) return;
    socket.write(part);
    if (rest.length) inSteps(socket, rest, ms);
  }, ms);
}

/** Answers with the tag of the request's path, in a way that the dice choose. */
function answer(socket, head) {
  const tag = /[?&]tag=(\w+)/.exec(head)?.[1] ?? 'none';
  if (/\r\nUpgrade: websocket/i.test(head)) {
    if (roll(4) === 0) return socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n');
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
    socket.removeAllListeners('data');
    socket.on('data', (part) => socket.write(part));
    socket.on('end', () => socket.end());
    if (roll(3) === 0) setTimeout(() => socket.destroy(), roll(300));
    return undefined;
  }
  const body = `${tag}:${'b'.repeat(one([0, 10, 1000, 60000, 400000]))}:${tag}`;
  const whole = `HTTP/1.1 200 OK\r\nX-Tag: ${tag}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const chunks = [`HTTP/1.1 200 OK\r\nX-Tag: ${tag}\r\nTransfer-Encoding: chunked\r\n\r\n`];
  for (let at = 0, size; at < body.length; at += size) {
    size = Math.min(body.length - at, 1 + roll(90000));
    chunks.push(`${size.toString(16)}\r\n${body.slice(at, at + size)}\r\n`);
  }
  chunks.push('0\r\n\r\n');
  switch (roll(14)) {
    case 0:
      return socket.destroy();
    case 1:
      return socket.resetAndDestroy();
    case 2:
      return socket.end(whole.slice(0, roll(whole.length)));
    case 3:
      return socket.end(whole);
    case 4:
      return socket.write('nonsense\r\n\r\n');
    case 5:
      return void setTimeout(() => socket.writable && socket.write(whole), roll(400));
    case 6:
      return undefined; // never
    case 7:
      return socket.end(`HTTP/1.1 200 OK\r\nX-Tag: ${tag}\r\n\r\n${body}`);
    case 8:
      return socket.write(`${whole}extra`);
    case 9:
    case 10:
      return inSteps(socket, chunks, roll(3));
    default:
      return socket.write(whole);
  }
}

/** Reads whole requests, bodies too; bodies hold nothing that looks like an end. Now and then it answers before the body has come. */
async function service() {
  const raw = await RawService.start(() => {});
  raw.take = (socket) => {
    let text = '';
    let early = roll(10) === 0;
    raw.sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => raw.sockets.delete(socket));
    socket.on('data', (part) => {
      text += part.toString('latin1');
      for (let end; (end = text.indexOf('\r\n\r\n')) >= 0; ) {
        const head = text.slice(0, end + 4);
        const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0);
        const last = /\r\ntransfer-encoding: chunked/i.test(head) ? text.indexOf('0\r\n\r\n', end + 4) : -2;
        const whole = last === -2 ? (text.length >= end + 4 + length ? end + 4 + length : -1) : last < 0 ? -1 : last + 5;
        if (whole < 0 && early) {
          early = false;
          answer(socket, head);
          socket.end();
        }
        if (whole < 0) return;
        text = text.slice(whole);
        answer(socket, head);
      }
    });
  };
  raw.server.removeAllListeners('connection');
  raw.server.on('connection', raw.take);
  return raw;
}

let tags = 0;
let answered = 0;
async function client(port, token) {
  const wire = await Wire.open(port).catch(() => undefined);
  if (!wire) return;
  const tag = `t${++tags}`;
  const target = `${one(['/api/game/x', '/api/users/x', '/api/trades'])}?tag=${tag}`;
  const auth = roll(3) ? bearer(token) : '';
  const body = 'q'.repeat(one([0, 5, 2000, 60000]));
  const chunked = `${(body.length || 1).toString(16)}\r\n${body || 'q'}\r\n0\r\n\r\n`;
  const texts = [
    () => get(target, auth),
    () => get(target, `${auth}Connection: close\r\n`),
    () => `POST ${target} HTTP/1.1\r\nHost: a\r\n${auth}Content-Length: ${body.length}\r\n\r\n${body}`,
    () => `PUT ${target} HTTP/1.1\r\nHost: a\r\n${auth}Transfer-Encoding: chunked\r\n\r\n${chunked}`,
    () => `POST ${target} HTTP/1.1\r\nHost: a\r\n${auth}Expect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    () => upgradeTo(`/ws/market?tag=${tag}`) + 'early',
    () => 'GARBAGE\r\n\r\n',
    () => `POST ${target} HTTP/1.1\r\nHost: a\r\n${auth}Transfer-Encoding: chunked\r\n\r\nzz\r\n`,
  ];
  const text = one(texts)();
  const manner = roll(8);
  if (manner === 0) {
    for (let at = 0, size; at < text.length && !wire.closed; at += size) {
      size = 1 + roll(text.length);
      wire.send(text.slice(at, at + size));
      await pause(roll(5));
    }
  } else if (manner === 1) {
    wire.send(text.slice(0, roll(text.length)));
  } else if (manner === 2) {
    wire.socket.end(Buffer.from(text, 'latin1'));
  } else if (manner === 3) {
    wire.socket.pause();
    wire.send(text);
    await pause(roll(100));
    if (roll(2)) wire.socket.resume();
  } else {
    wire.send(text + (roll(4) ? '' : get(`/api/game/y?tag=${tag}`)));
  }
  if (roll(4) === 0) {
    await pause(roll(60));
  } else {
    try {
      for (;;) {
        const reply = await wire.answer({ ms: 400 + roll(600) });
        assert.ok([100, 101, 200, 400, 401, 404, 408, 413, 426, 501, 502, 503, 504].includes(reply.status), `status ${reply.status}`);
        if (reply.status === 101) break;
        if (reply.status !== 200) continue;
        // the answer must be the one to this client's request, first byte to last
        assert.equal(reply.headers['x-tag'], tag);
        assert.ok(reply.body.startsWith(`${tag}:`), reply.body.slice(0, 40));
        if (reply.headers['transfer-encoding'] || reply.headers['content-length']) answered += reply.body.endsWith(`:${tag}`) ? 1 : 0;
      }
    } catch (error) {
      if (error instanceof assert.AssertionError || /chunk/.test(error.message)) throw error;
    }
  }
  if (roll(3) === 0) wire.socket.resetAndDestroy();
  wire.close();
}

test(`[P-43][P-44] a storm (seed ${seed})`, { timeout: (SECONDS + 60) * 1000 }, async (t) => {
  const folder = keep(t, temporaryFolder());
  const routes = path.join(folder.path, 'routes.conf');
  const table = (timeout) => fs.writeFileSync(routes, ['/api/game game-svc open', '/api/users user-svc user body=50k', '/api/trades order-svc open cache=50ms', '/ws/market match-svc open upgrade'].map((line) => `${line} timeout=${timeout}ms\n`).join(''));
  table(300);
  const redis = keep(t, await Redis.start());
  const authority = keep(t, await Authority.start());
  const services = await Promise.all(Array.from({ length: 4 }, service));
  for (const each of services) keep(t, each);
  const names = ['game-svc', 'user-svc', 'order-svc', 'match-svc'];
  const leases = [];
  for (const name of names) for (const each of services) leases.push(keep(t, await Lease.take(redis, name, each.address)));
  const own = keep(
    t,
    await Gateway.start({
      redis,
      authority,
      settings: { ROUTES_FILE: routes, HEADER_TIMEOUT_MS: '300', BODY_IDLE_MS: '300', KEEP_ALIVE_MS: '400', SEND_STALL_MS: '400', TUNNEL_IDLE_MS: '500', UPSTREAM_IDLE_MS: '200', USER_RATE: '100000', USER_BURST: '1000000', STREAMS_PER_USER: '100000' },
    }),
  );
  const token = authority.token();
  const until = performance.now() + SECONDS * 1000;
  const runners = Array.from({ length: 40 }, async () => {
    while (performance.now() < until) await client(own.port, token);
  });
  const weather = (async () => {
    while (performance.now() < until) {
      await pause(150);
      const lease = one(leases);
      const turn = roll(6);
      if (turn === 0) await lease.set(lease.state === 'up' ? 'draining' : 'up');
      else if (turn === 1) lease.epoch++, await lease.write();
      else if (turn === 2) own.signal('SIGHUP');
      else if (turn === 3) table(200 + roll(200)), own.signal('SIGHUP');
    }
  })();
  await Promise.all([...runners, weather]);
  t.diagnostic(`${tags} connections, ${answered} whole answers, seed ${seed}`);
  assert.ok(own.alive());
  assert.ok(answered > 20, `${answered} whole answers`);
  await eventually(10000, async () => (await own.metric('madang_gateway_connections')) === 0, 'no connection is left');
  assert.equal(await own.metric('madang_gateway_in_flight'), 0);
  await eventually(5000, async () => (await own.registry()).services.flatMap((s) => s.instances).every((i) => i.in_flight === 0), 'nothing is in flight');
  const memory = own.memory().Pss;
  await Promise.all(Array.from({ length: 200 }, () => client(own.port, token)));
  assertFlat(own, memory, 4000);
});
