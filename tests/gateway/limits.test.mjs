// How often and how much: limits per address, per user and per route, connections, and what a full gateway says.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { Authority, bearer, eventually, exchange, Gateway, get, keep, newUser, Service, temporaryFolder, Wire } from './world.mjs';

const P = '/api/game/x';

/** Sends all at once on one connection; answers in order. */
async function burst(port, texts) {
  const wire = await Wire.open(port);
  wire.send(texts.join(''));
  const answers = [];
  for (let i = 0; i < texts.length; i++) answers.push(await wire.answer({ ms: 10000 }));
  wire.close();
  return answers;
}
/** As many passed as a bucket of `burst` gives that refills with `rate` a second since `began`. */
function assertBucket(answers, burst_, rate, began) {
  const seconds = (performance.now() - began) / 1000;
  const passed = count(answers, 200);
  assert.ok(passed >= burst_ && passed <= burst_ + rate * seconds + 1, `${passed} passed in ${seconds} s, ${burst_} at once and ${rate}/s`);
}
const count = (answers, status) => answers.filter((answer) => answer.status === status).length;

async function start(t, settings, more = {}) {
  const authority = keep(t, await Authority.start());
  const service = keep(t, await Service.start((req, res) => req.resume().on('end', () => res.end('ok'))));
  const own = keep(t, await Gateway.start({ services: { 'user-svc': service, 'game-svc': service, 'order-svc': service }, authority, settings: { PROFILE: 'production', ...settings }, ...more }));
  return { authority, service, own };
}

test('[P-43] an address has a burst and then a rate; refusals say when to come back', async (t) => {
  const { own } = await start(t, { ADDRESS_RATE: '5', ADDRESS_BURST: '20' });
  const began = performance.now();
  // over two connections, so that both threads count into one bucket
  const answers = (await Promise.all([burst(own.port, Array(30).fill(get(P))), burst(own.port, Array(30).fill(get(P)))])).flat();
  assertBucket(answers, 20, 5, began);
  const refused = answers.find((answer) => answer.status === 429);
  assert.equal(refused.json.code, 'rate_limited');
  assert.match(refused.headers['retry-after'], /^[1-9]\d*$/);
  assert.equal(refused.headers['ratelimit-policy'], '"address";q=5;w=1');
  assert.match(refused.headers.ratelimit, /^"address";r=0;t=[1-9]\d*$/);
  assert.match(answers.find((answer) => answer.status === 200).headers.ratelimit, /^"address";r=\d+;t=[1-9]\d*$/);
  await eventually(5000, async () => (await exchange(own.port, get(P))).status === 200, 'it refills');
});

test('[P-43] the default is 200 at once for an address', async (t) => {
  const { own } = await start(t, {});
  const began = performance.now();
  assertBucket(await burst(own.port, Array(400).fill(get(P))), 200, 100, began);
});

test('[P-43] PROFILE=bench lifts the limits per address, not those per user', async (t) => {
  const { own, authority } = await start(t, { PROFILE: 'bench', ADDRESS_RATE: '1', ADDRESS_BURST: '1', USER_RATE: '1', USER_BURST: '10', FAILED_TOKENS_PER_MIN: '1' });
  assert.equal(count(await burst(own.port, Array(100).fill(get(P))), 200), 100);
  assert.equal(count(await burst(own.port, Array(20).fill(get('/api/users/me', bearer('garbage')))), 401), 20);
  const token = authority.token();
  const began = performance.now();
  const answers = await burst(own.port, Array(50).fill(get('/api/users/me', bearer(token))));
  assertBucket(answers, 10, 1, began);
  assert.equal(answers.find((answer) => answer.status === 429).headers['ratelimit-policy'], '"user";q=1;w=1');
  const ready = await (await fetch(`${own.admin}/readyz`)).json();
  assert.equal(ready.profile, 'bench');
});

test('[P-43] a user is one bucket over all tokens and connections; another user has another', async (t) => {
  const { own, authority } = await start(t, { PROFILE: 'bench', USER_RATE: '1', USER_BURST: '20' });
  const user = newUser();
  const call = (who) => get('/api/users/me', bearer(authority.token(who)));
  const began = performance.now();
  const answers = (await Promise.all([1, 2, 3].map(() => burst(own.port, Array.from({ length: 20 }, () => call(user)))))).flat();
  assertBucket(answers, 20, 1, began);
  assert.equal(count(await burst(own.port, Array.from({ length: 20 }, () => call(newUser()))), 200), 20);
  // open routes count for a user whose token is good, and never refuse one whose token is not
  const open = await burst(own.port, Array.from({ length: 30 }, () => get(P, bearer(authority.token(user)))));
  assertBucket([...answers, ...open], 20, 1, began);
  assert.equal((await exchange(own.port, get(P, bearer('garbage')))).status, 200);
});

test('[P-43] a route can have its own rate per user', async (t) => {
  const folder = keep(t, temporaryFolder());
  const routes = `${folder.path}/routes.conf`;
  fs.writeFileSync(routes, '/api/users user-svc user rate=2/5\n/api/orders order-svc user\n');
  const { own, authority } = await start(t, { PROFILE: 'bench', ROUTES_FILE: routes, USER_BURST: '50', USER_RATE: '1' });
  const token = authority.token();
  const began = performance.now();
  const own_ = await burst(own.port, Array(20).fill(get('/api/users/me', bearer(token))));
  assertBucket(own_, 5, 2, began);
  assert.equal(own_[0].headers['ratelimit-policy'], '"route";q=2;w=1');
  assert.equal(count(await burst(own.port, Array(30).fill(get('/api/orders', bearer(token)))), 200), 30);
});

test('[P-43] wrong tokens are limited by address before they are checked; expired good ones do not count', async (t) => {
  const { own, authority } = await start(t, { ADDRESS_RATE: '10000', ADDRESS_BURST: '10000', FAILED_TOKENS_PER_MIN: '10' });
  const now = Math.floor(Date.now() / 1000);
  const expired = authority.token(newUser(), { claims: { iat: now - 400, exp: now - 100 } });
  assert.equal(count(await burst(own.port, Array(30).fill(get('/api/users/me', bearer(expired)))), 401), 30);
  assert.equal((await exchange(own.port, get('/api/users/me', bearer(authority.token())))).status, 200);
  const known = authority.token();
  // on one connection, so in one thread: what it has verified it remembers
  const wire = await Wire.open(own.port);
  assert.equal((await wire.send(get('/api/users/me', bearer(known))).answer()).status, 200);
  // at once, so that nothing refills meanwhile: at the end a new token, and one that is remembered
  wire.send([...Array(30).fill('garbage'), authority.token(), known].map((one) => get('/api/users/me', bearer(one))).join(''));
  const wrong = [];
  for (let i = 0; i < 32; i++) wrong.push(await wire.answer({ ms: 10000 }));
  const [unseen, remembered] = wrong.splice(30);
  assert.ok(count(wrong, 401) >= 10 && count(wrong, 401) <= 12, `${count(wrong, 401)}`);
  const refused = wrong.at(-1);
  assert.equal(refused.status, 429);
  assert.match(refused.headers['retry-after'], /^[1-9]\d*$/);
  assert.equal(unseen.status, 429, 'a new token is not looked at');
  assert.equal(remembered.status, 200, 'one that is remembered passes');
  assert.equal((await exchange(own.port, get(P, bearer('garbage')))).status, 200, 'open routes stay open');
  wire.close();
});

test('[P-43] connections of one address are limited, others are not touched, closed ones make room', async (t) => {
  const { own } = await start(t, { MAX_CONNECTIONS_PER_ADDRESS: '10', ADDRESS_RATE: '10000', ADDRESS_BURST: '10000' });
  const wires = [];
  for (let i = 0; i < 10; i++) wires.push(await Wire.open(own.port));
  for (const wire of wires) assert.equal((await wire.send(get(P)).answer()).status, 200);
  const more = await Wire.open(own.port);
  await more.end();
  assert.equal(more.text, '');
  wires.pop().close();
  await eventually(3000, async () => {
    const next = await Wire.open(own.port);
    wires.push(next);
    return next.send(get(P)).answer({ ms: 300 }).then((answer) => answer.status === 200, () => false);
  }, 'there is room again');
  for (const wire of wires) wire.close();
});

test('[P-43] at the connection limit newcomers wait in the queue of the kernel instead of being dropped', async (t) => {
  const { own } = await start(t, { PROFILE: 'bench', MAX_CONNECTIONS: '5', THREADS: '1' });
  const wires = [];
  for (let i = 0; i < 5; i++) {
    wires.push(await Wire.open(own.port));
    assert.equal((await wires[i].send(get(P)).answer()).status, 200);
  }
  const waiting = await Wire.open(own.port);
  waiting.send(get(P));
  await assert.rejects(waiting.answer({ ms: 300 }));
  wires[0].close();
  assert.equal((await waiting.answer()).status, 200);
  for (const wire of [...wires, waiting]) wire.close();
});

test('[P-43] more requests than one thread may carry: 503 overloaded at once, and the others end well', async (t) => {
  const releases = [];
  const slow = keep(t, await Service.start((req, res) => releases.push(() => res.end('ok'))));
  const own = keep(t, await Gateway.start({ services: { 'game-svc': slow }, settings: { THREADS: '1', MAX_IN_FLIGHT: '4' } }));
  const wires = [];
  for (let i = 0; i < 4; i++) wires.push((await Wire.open(own.port)).send(get(P)));
  await eventually(3000, () => releases.length === 4);
  const answer = await exchange(own.port, get(P));
  assert.equal(answer.status, 503);
  assert.equal(answer.json.code, 'overloaded');
  assert.equal(answer.headers['retry-after'], '1');
  for (const release of releases) release();
  for (const wire of wires) assert.equal((await wire.answer()).status, 200);
  assert.equal((await Promise.all([exchange(own.port, get(P)), eventually(3000, () => releases.length === 5).then(() => releases[4]())]))[0].status, 200);
  for (const wire of wires) wire.close();
});

test('[P-43] behind a trusted proxy the client is who the proxy says, without one its word is nothing', async (t) => {
  const { own, service } = await start(t, { TRUSTED_PROXIES: '127.0.0.0/8', ADDRESS_RATE: '1', ADDRESS_BURST: '30' });
  const from = (who) => get(P, `X-Forwarded-For: ${who}\r\nX-Forwarded-Proto: https\r\n`);
  const seen = (name) => service.seen.at(-1).headers[name];
  const began = performance.now();
  const spend = (who) => burst(own.port, Array(40).fill(from(who)));
  const first = await spend('203.0.113.1');
  assertBucket(first, 30, 1, began);
  assertBucket(await spend('203.0.113.2'), 30, 1, began);
  assert.equal(seen('x-forwarded-for'), '203.0.113.2');
  assert.equal(seen('x-forwarded-proto'), 'https');
  assert.equal(seen('forwarded'), 'for=203.0.113.2;proto=https');
  await exchange(own.port, get(P, 'X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 203.0.113.7\r\n')); // a proxy's own line comes last
  assert.equal(seen('x-forwarded-for'), '203.0.113.7');
  // the last address that is no proxy of ours: what the client itself wrote before it does not count
  assertBucket([...first, ...(await spend('198.51.100.9, 203.0.113.1, 127.0.0.5'))], 30, 1, began);
  const v6 = await spend('2001:db8::1');
  assertBucket(v6, 30, 1, began);
  assert.equal(seen('forwarded'), 'for="[2001:db8::1]";proto=https');
  // addresses of one /64 share a bucket
  assertBucket([...v6, ...(await spend('2001:db8::4'))], 30, 1, began);
  assertBucket(await spend('2001:db8:0:1::4'), 30, 1, began);
});
