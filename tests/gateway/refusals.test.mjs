// What the gateway must not let through: requests that two readers could read differently, slow and broken clients, tokens that
// are not what they seem. Each gets one clear error, and no service ever sees it.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import { after, before, test } from 'node:test';
import { Authority, bearer, eventually, exchange, Gateway, get, newKey, newUser, RawService, Service, temporaryFolder, Wire } from './world.mjs';

let authority, service, gateway, hasty; // the last has no patience with slow clients

before(async () => {
  authority = await Authority.start();
  service = await Service.start((req, res) => req.resume().on('end', () => res.end('ok')));
  const services = { 'user-svc': service, 'auth-svc': service, 'game-svc': service, 'chat-svc': service, 'notify-svc': service };
  gateway = await Gateway.start({ services, authority });
  hasty = await Gateway.start({ services, authority, settings: { HEADER_TIMEOUT_MS: '1000', BODY_IDLE_MS: '1000', KEEP_ALIVE_MS: '2000', BODY_RATE: '100' } });
});
after(async () => {
  await gateway?.close();
  await hasty?.close();
  await service?.close();
  await authority?.close();
});

const H = 'Host: a.example\r\n';
const P = '/api/game/x';
/** [name, bytes, status, code] */
const CATALOGUE = [
  ['CL.TE', `POST ${P} HTTP/1.1\r\n${H}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG`, 400, 'bad_request'],
  ['TE.CL', `POST ${P} HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n`, 400, 'bad_request'],
  ['TE.TE, hidden by a space', `POST ${P} HTTP/1.1\r\n${H}Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`, 400, 'bad_request'],
  ['TE.TE, hidden by a fold', `POST ${P} HTTP/1.1\r\n${H}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`, 400, 'bad_request'],
  ['TE.TE, twice', `POST ${P} HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n`, 501, 'not_implemented'],
  ['TE, another coding', `POST ${P} HTTP/1.1\r\n${H}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, 501, 'not_implemented'],
  ['TE, vertical tab', `POST ${P} HTTP/1.1\r\n${H}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`, 400, 'bad_request'],
  ['TE in HTTP/1.0', `POST ${P} HTTP/1.0\r\n${H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400, 'bad_request'],
  ['CL.CL', `POST ${P} HTTP/1.1\r\n${H}Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello`, 400, 'bad_request'],
  ['CL.CL, equal', `POST ${P} HTTP/1.1\r\n${H}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`, 400, 'bad_request'],
  ['CL list', `POST ${P} HTTP/1.1\r\n${H}Content-Length: 5, 5\r\n\r\nhello`, 400, 'bad_request'],
  ['CL with a sign', `POST ${P} HTTP/1.1\r\n${H}Content-Length: +5\r\n\r\nhello`, 400, 'bad_request'],
  ['bare LF', `GET ${P} HTTP/1.1\n${H}\n`, 400, 'bad_request'],
  ['bare LF in the middle', `GET ${P} HTTP/1.1\r\nX: a\n${H}\r\n`, 400, 'bad_request'],
  ['bare CR', `GET ${P} HTTP/1.1\r\n${H}X: a\rY: b\r\n\r\n`, 400, 'bad_request'],
  ['NUL', `GET ${P} HTTP/1.1\r\n${H}X: a\0b\r\n\r\n`, 400, 'bad_request'],
  ['fold', `GET ${P} HTTP/1.1\r\n${H}X: a\r\n b\r\n\r\n`, 400, 'bad_request'],
  ['no Host', `GET ${P} HTTP/1.1\r\n\r\n`, 400, 'bad_request'],
  ['two Hosts', `GET ${P} HTTP/1.1\r\n${H}Host: b\r\n\r\n`, 400, 'bad_request'],
  ['another host in the target', `GET http://b.example${P} HTTP/1.1\r\n${H}\r\n`, 400, 'bad_request'],
  ['asterisk', `OPTIONS * HTTP/1.1\r\n${H}\r\n`, 400, 'bad_request'],
  ['CONNECT', `CONNECT a.example:443 HTTP/1.1\r\n${H}\r\n`, 501, 'not_implemented'],
  ['unknown method', `BREW ${P} HTTP/1.1\r\n${H}\r\n`, 501, 'not_implemented'],
  ['HTTP/0.9', `GET ${P}\r\n`, 400, 'bad_request'],
  ['HTTP/3.0', `GET ${P} HTTP/3.0\r\n${H}\r\n`, 505, 'version_not_supported'],
  ['HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 501, 'not_implemented'],
  ['dot segments', `GET /api/game/../../internal/revoked HTTP/1.1\r\n${H}\r\n`, 400, 'bad_request'],
  ['encoded dot segments', `GET /api/game/%2e%2e/%2e%2e/internal/revoked HTTP/1.1\r\n${H}\r\n`, 400, 'bad_request'],
  ['empty segment', `GET //internal/revoked HTTP/1.1\r\n${H}\r\n`, 400, 'bad_request'],
  ['encoded slash', `GET /api/game/..%2f..%2finternal HTTP/1.1\r\n${H}\r\n`, 400, 'bad_request'],
  ['encoded NUL', `GET ${P}%00 HTTP/1.1\r\n${H}\r\n`, 400, 'bad_request'],
  ['encoded line end in the path', `GET ${P}%0d%0aX:%20y HTTP/1.1\r\n${H}\r\n`, 400, 'bad_request'],
  ['bytes above ASCII in the target', `GET ${P}\xff HTTP/1.1\r\n${H}\r\n`, 400, 'bad_request'],
  ['two Authorizations', `GET ${P} HTTP/1.1\r\n${H}Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n`, 400, 'bad_request'],
  ['long target', `GET /${'a'.repeat(9000)} HTTP/1.1\r\n${H}\r\n`, 414, 'uri_too_long'],
  ['long headers', `GET ${P} HTTP/1.1\r\n${H}X: ${'a'.repeat(17000)}\r\n\r\n`, 431, 'headers_too_large'],
  ['many headers', `GET ${P} HTTP/1.1\r\n${H}${'X: a\r\n'.repeat(101)}\r\n`, 431, 'headers_too_large'],
  ['unknown expectation', `POST ${P} HTTP/1.1\r\n${H}Expect: magic\r\nContent-Length: 1\r\n\r\na`, 417, 'expectation_failed'],
  ['bad chunk size', `POST ${P} HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n`, 400, 'bad_request'],
  ['chunk size with a space', `POST ${P} HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n`, 400, 'bad_request'],
  ['chunk of another size', `POST ${P} HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n`, 400, 'bad_request'],
  ['chunk line ended by LF', `POST ${P} HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n`, 400, 'bad_request'],
  ['long chunk extension', `POST ${P} HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n5;${'x'.repeat(300)}\r\nhello\r\n0\r\n\r\n`, 400, 'bad_request'],
  ['huge chunk size', `POST ${P} HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n`, 400, 'bad_request'],
  ['TLS on the plain port', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400, 'bad_request'],
];

for (const [name, bytes, status, code] of CATALOGUE)
  test(`[P-43] refused: ${name}`, async () => {
    const seen = service.seen.length;
    const wire = await Wire.open(gateway.port);
    // what follows a refused request must never be read as another one
    const answer = await wire.send(bytes + get('/api/game/smuggled')).answer();
    assert.equal(answer.status, status);
    assert.equal(answer.json.code, code);
    assert.equal(answer.json.status, status);
    assert.equal(answer.headers['content-type'], 'application/problem+json');
    assert.ok(answer.json.title && answer.json.request_id);
    await wire.end();
    assert.equal(wire.text, '', 'nothing comes after the refusal');
    wire.close();
    assert.deepEqual(service.seen.slice(seen).filter((one) => one.url.includes('smuggled')), []);
    // the framing of a chunked body shows only while it streams; all others never reach the service
    if (!/chunk/.test(name)) assert.equal(service.seen.length, seen);
  });

test('[P-43] errors speak Korean to who prefers it', async () => {
  const korean = await exchange(gateway.port, get('/nowhere', 'Accept-Language: ko-KR,ko;q=0.9\r\n'));
  assert.match(korean.json.title, /[가-힣]/);
  const english = await exchange(gateway.port, get('/nowhere', 'Accept-Language: en\r\n'));
  assert.doesNotMatch(english.json.title, /[가-힣]/);
});

// ---- slow clients ------------------------------------------------------------------------------------------------------

test('[P-43] a head that does not come in time: 408, however steadily it drips', async () => {
  const wire = await Wire.open(hasty.port);
  const text = get(P, `X: ${'a'.repeat(1000)}\r\n`);
  let at = 0;
  const drip = setInterval(() => wire.socket.writable && wire.send(text[at++]), 20);
  const answer = await wire.answer();
  clearInterval(drip);
  assert.equal(answer.status, 408);
  assert.equal(answer.json.code, 'request_timeout');
  await wire.end();
  wire.close();
});

test('[P-43] a body that stops or drips: 408, and the service is let go', async () => {
  for (const drips of [false, true]) {
    const wire = await Wire.open(hasty.port);
    wire.send(`POST ${P} HTTP/1.1\r\n${H}Content-Length: 10000\r\n\r\nabc`);
    const drip = setInterval(() => drips && wire.socket.writable && wire.send('x'), 50);
    const answer = await wire.answer();
    clearInterval(drip);
    assert.equal(answer.status, 408);
    await wire.end();
    wire.close();
  }
});

test('[P-43] a body that comes slowly but fast enough is taken', async (t) => {
  const own = await Gateway.start({ services: { 'game-svc': service }, settings: { BODY_IDLE_MS: '6000', BODY_RATE: '100' } });
  t.after(() => own.close());
  const wire = await Wire.open(own.port);
  wire.send(`POST ${P} HTTP/1.1\r\n${H}Content-Length: 8000\r\n\r\n`);
  let sent = 0;
  const drip = setInterval(() => {
    if (sent < 8000) wire.send('x'.repeat(200));
    sent += 200;
  }, 50);
  const answer = await wire.answer({ ms: 20000 });
  clearInterval(drip);
  assert.equal(answer.status, 200);
  wire.close();
});

test('[P-43] idle connections are closed without a word', async () => {
  const fresh = await Wire.open(hasty.port);
  const used = await Wire.open(hasty.port);
  assert.equal((await used.send(get(P)).answer()).status, 200);
  await Promise.all([fresh.end(), used.end()]);
  assert.equal(fresh.text + used.text, '');
  fresh.close();
  used.close();
});

test('[P-43] a client that never reads its answer is cut', async (t) => {
  const flood = await Service.start((req, res) => res.end(Buffer.alloc(32 << 20)));
  t.after(() => flood.close());
  const own = await Gateway.start({ services: { 'game-svc': flood }, settings: { SEND_STALL_MS: '500' } });
  t.after(() => own.close());
  const wire = await Wire.open(own.port);
  wire.socket.pause();
  wire.send(get(P));
  await eventually(8000, async () => (await own.metric('madang_gateway_cancelled_total')) === 1, 'it is cut');
  wire.close();
});

// ---- tokens -------------------------------------------------------------------------------------------------------------

const call = (token, path = '/api/users/me') => exchange(gateway.port, get(path, token === undefined ? '' : bearer(token)));
const refused = async (token, code, path) => {
  const seen = service.seen.length;
  const answer = await call(token, path);
  assert.equal(answer.status, 401);
  assert.equal(answer.json.code, code);
  assert.equal(answer.headers['www-authenticate'], 'Bearer');
  assert.equal(service.seen.length, seen);
};
const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

test('[P-43] a good token passes, and the service gets it too', async () => {
  const token = authority.token();
  for (let i = 0; i < 3; i++) assert.equal((await call(token)).status, 200);
  assert.equal(service.seen.at(-1).headers.authorization, `Bearer ${token}`);
});

test('[P-43] no token, another scheme, an empty token', async () => {
  await refused(undefined, 'token_missing');
  assert.equal((await exchange(gateway.port, get('/api/users/me', 'Authorization: Basic YTpi\r\n'))).json.code, 'token_invalid');
  assert.equal((await exchange(gateway.port, get('/api/users/me', 'Authorization: Bearer\r\n'))).json.code, 'token_invalid');
});

test('[P-43] alg none, HS256 with the public key, other algorithms', async () => {
  const [, payload] = authority.token().split('.');
  await refused(`${encode({ alg: 'none' })}.${payload}.`, 'token_invalid');
  await refused(`${encode({ alg: 'none', kid: authority.key.kid })}.${payload}.${'A'.repeat(86)}`, 'token_invalid');
  const input = `${encode({ alg: 'HS256', typ: 'JWT', kid: authority.key.kid })}.${payload}`;
  for (const secret of [authority.key.publicKey.export({ type: 'spki', format: 'pem' }), authority.key.publicKey.export({ type: 'spki', format: 'der' }), JSON.stringify(authority.key.jwk)])
    await refused(`${input}.${crypto.createHmac('sha256', secret).update(input).digest('base64url')}`, 'token_invalid');
  for (const alg of ['es256', 'ES384', 'RS256', 'ES256K', '']) await refused(authority.token(newUser(), { header: { alg } }), 'token_invalid');
});

test('[P-43] wrong kid, another key with a known kid, a key in the header', async () => {
  const stranger = newKey();
  await refused(authority.token(newUser(), { key: stranger }), 'token_invalid');
  await refused(authority.token(newUser(), { key: { ...stranger, kid: authority.key.kid } }), 'token_invalid');
  await refused(authority.token(newUser(), { key: stranger, header: { kid: authority.key.kid, jwk: stranger.jwk } }), 'token_invalid');
  await refused(authority.token(newUser(), { header: { kid: '../../etc/passwd' } }), 'token_invalid');
  await refused(authority.token(newUser(), { header: { crit: ['exp'] } }), 'token_invalid');
});

test('[P-43] swapped claims, a changed role, a signature of zeros, garbage', async () => {
  const [header, , signature] = authority.token(newUser()).split('.');
  const now = Math.floor(Date.now() / 1000);
  const admin = encode({ iss: 'madang', aud: 'madang', iat: now, exp: now + 300, ...newUser({ role: 'admin' }) });
  await refused(`${header}.${admin}.${signature}`, 'token_invalid');
  await refused(`${header}.${admin}.${'A'.repeat(86)}`, 'token_invalid');
  for (const garbage of ['x', 'a.b.c', '..', `${'a'.repeat(3000)}.b.c`, `${header}.${admin}`, `${header}.${admin}.${signature}.x`, `${header}.${admin}.${signature}=`])
    await refused(garbage, 'token_invalid');
});

test('[P-43] expired, from the future, for another audience, of another issuer, incomplete', async () => {
  const now = Math.floor(Date.now() / 1000);
  await refused(authority.token(newUser(), { claims: { iat: now - 400, exp: now - 100 } }), 'token_expired');
  await refused(authority.token(newUser(), { claims: { iat: now + 100, exp: now + 400 } }), 'token_invalid');
  await refused(authority.token(newUser(), { claims: { aud: 'ticket', jti: crypto.randomUUID() } }), 'token_invalid');
  await refused(authority.token(newUser(), { claims: { iss: 'elsewhere' } }), 'token_invalid');
  await refused(authority.token(newUser(), { claims: { exp: undefined } }), 'token_invalid');
  await refused(authority.token(newUser(), { claims: { sub: 'x' } }), 'token_invalid');
  await refused(authority.token(newUser(), { claims: { role: 'root' } }), 'token_invalid');
  assert.equal((await call(authority.token(newUser(), { claims: { iat: now - 305, exp: now - 5 } }))).status, 200, 'within the leeway');
});

test('[P-43] the floor of a prefix: roles below it get 403', async () => {
  assert.equal((await call(authority.token(newUser({ role: 'guest' })), '/api/users/me')).status, 200);
  const guest = await call(authority.token(newUser({ role: 'guest' })), '/api/chat/rooms');
  assert.equal(guest.status, 403);
  assert.equal(guest.json.code, 'forbidden');
  for (const role of ['user', 'tutor', 'admin']) assert.equal((await call(authority.token(newUser({ role })), '/api/chat/rooms')).status, 200);
});

test('[P-43] open routes pass with any Authorization, good or not', async () => {
  for (const token of ['garbage', authority.token()]) {
    assert.equal((await call(token, '/api/auth/login')).status, 200);
    assert.equal(service.seen.at(-1).headers.authorization, `Bearer ${token}`);
  }
});

test('[S-07] an ended session and a raised role version are refused within 2 s, cached or not', async () => {
  const one = newUser();
  const two = newUser();
  const tokens = [authority.token(one), authority.token(two)];
  for (const token of tokens) assert.equal((await call(token)).status, 200);
  authority.endSession(one.sid);
  authority.raiseRoleVersion(two.sub, 2);
  await eventually(2000, async () => (await call(tokens[0])).json?.code === 'session_ended');
  await eventually(2000, async () => (await call(tokens[1])).json?.code === 'token_stale');
  assert.equal((await call(authority.token({ ...two, rv: 2 }))).status, 200);
});

test('[P-43] a new key is taken when its first token comes', async () => {
  const fresh = newKey();
  authority.keys.push(fresh);
  const token = authority.token(newUser(), { key: fresh });
  await eventually(8000, async () => (await call(token)).status === 200, 'the key set is asked for');
});

test('[P-43] the stream takes a token, a ticket or the cookie of a stream', async () => {
  const path = '/api/notifications/stream';
  const status = async (target, headers) => (await exchange(gateway.port, get(target, headers))).status;
  assert.equal(await status(path), 401);
  assert.equal(await status(path, bearer(authority.token())), 200);
  assert.equal(await status(path, bearer(authority.token(newUser({ role: 'guest' })))), 403);
  assert.equal(await status(path, bearer('garbage')), 401);
  assert.equal(await status(`${path}?ticket=${authority.ticket()}`), 200);
  assert.equal(await status(`${path}?after=1&ticket=${authority.ticket()}`), 200);
  assert.equal(await status(`${path}?ticket=${authority.token()}`), 401, 'an access token is no ticket');
  assert.equal(await status('/api/notifications', `X: ?ticket=${authority.ticket()}\r\n`), 401);
  assert.equal(await status(`/api/notifications?ticket=${authority.ticket()}`), 401, 'tickets open streams only');
  const now = Math.floor(Date.now() / 1000);
  const spent = authority.ticket(newUser(), { iat: now - 100, exp: now - 70 });
  assert.equal(await status(`${path}?ticket=${spent}`), 401);
  assert.equal(await status(`${path}?ticket=${spent}`, 'Cookie: a=b; madang_stream=xyz\r\n'), 200);
  assert.equal(await status(`${path}?ticket=garbage`, 'Cookie: madang_stream=xyz\r\n'), 401);
  assert.equal(await status(path, 'Cookie: madang_stream=xyz\r\n'), 200);
  assert.equal(await status(path, 'Cookie: xmadang_stream=xyz\r\n'), 401);
});

test('[P-43] without auth-svc nothing that needs a token passes, until it answers', async (t) => {
  const late = await Gateway.start({ services: { 'user-svc': service, 'game-svc': service } });
  t.after(() => late.close());
  const answer = await exchange(late.port, get('/api/users/me', bearer(authority.token())));
  assert.equal(answer.status, 503);
  assert.equal(answer.json.code, 'unavailable');
  assert.equal(answer.headers['retry-after'], '1');
  assert.equal((await exchange(late.port, get(P))).status, 200);
  assert.equal((await fetch(`${late.admin}/readyz`)).status, 503);
});

// ---- answers that are not valid -------------------------------------------------------------------------------------------

test('[P-43] answers that are not valid HTTP become 502, cut ones are seen as cut', async (t) => {
  const replies = {
    garbage: 'hello\r\n\r\n',
    both: 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok',
    lengths: 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok',
    lf: 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok',
    fold: 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok',
    coding: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok',
    switch: 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
    huge: `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(20000)}\r\nContent-Length: 2\r\n\r\nok`,
    hints: 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(20),
    chunk: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
  };
  const raw = await RawService.start((socket, head) => {
    const name = head.split(' ')[1].split('/').pop();
    if (name === 'cut') socket.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort');
    else if (name === 'cutchunk') socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
    else if (name === 'more') socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison');
    else socket.write(replies[name] ?? 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine');
  });
  t.after(() => raw.close());
  const own = await Gateway.start({ services: { 'game-svc': raw }, settings: { THREADS: '1' } });
  t.after(() => own.close());
  for (const name of Object.keys(replies)) {
    const wire = await Wire.open(own.port);
    wire.send(get(`/api/game/${name}`));
    if (name === 'chunk') {
      await wire.end(); // the head may be out already: then the end must be missing
      assert.ok(!wire.text.endsWith('0\r\n\r\n'));
    } else {
      const answer = await wire.answer();
      assert.equal(answer.status, 502, name);
      assert.equal(answer.json.code, 'bad_gateway', name);
    }
    wire.close();
    // five failures in a row would open the breaker
    assert.equal((await exchange(own.port, get('/api/game/fine'))).body, 'fine');
  }
  for (const name of ['cut', 'cutchunk']) {
    const wire = await Wire.open(own.port);
    wire.send(get(`/api/game/${name}`));
    await wire.end();
    assert.equal(wire.take(false), undefined, `${name} must not look complete`);
    wire.close();
  }
  // bytes after an answer never become the next client's answer
  assert.equal((await exchange(own.port, get('/api/game/more'))).body, 'ok');
  for (let i = 0; i < 5; i++) assert.equal((await exchange(own.port, get('/api/game/fine'))).body, 'fine');
});

test('[P-43] a service that does not answer in time: 504', async (t) => {
  const silent = await RawService.start(() => {});
  t.after(() => silent.close());
  const folder = temporaryFolder();
  t.after(() => folder.close());
  fs.writeFileSync(`${folder.path}/routes.conf`, '/api/game game-svc open timeout=300ms\n');
  const own = await Gateway.start({ services: { 'game-svc': silent }, settings: { ROUTES_FILE: `${folder.path}/routes.conf` } });
  t.after(() => own.close());
  for (const text of [get(P), `POST ${P} HTTP/1.1\r\n${H}Content-Length: 2\r\n\r\nhi`]) {
    const answer = await exchange(own.port, text);
    assert.equal(answer.status, 504);
    assert.equal(answer.json.code, 'upstream_timeout');
  }
  assert.equal(silent.heads.length, 2, 'a request that may be running is not sent again');
});

test('[P-43] after all of this the gateway still stands', () => {
  assert.ok(gateway.alive() && hasty.alive());
});
