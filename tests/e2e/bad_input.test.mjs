// Whatever comes to the public door gets one clear answer, changes nothing, and leaves the daemons alive and no larger.
import assert from 'node:assert/strict';
import { createHmac, createPublicKey, sign } from 'node:crypto';
import { Readable } from 'node:stream';
import { after, before, test } from 'node:test';
import { sql } from '../support/db.mjs';
import { Api, raw, request } from '../support/http.mjs';
import { keyPair } from '../support/keys.mjs';
import { claims, crowd, names } from '../support/people.mjs';
import { daemons, env, memoryOf, pidOf } from '../support/stack.mjs';
import { eventually } from '../support/wait.mjs';

const open = new Api(env.GATEWAY_URL);
const MB = 1024 * 1024;
let me, other, pidsBefore, storedBefore;

/** Rows of every table that bad input could fill. Bookkeeping of codes, keys, leases and outboxes moves by itself. */
async function stored() {
  const tables = await sql(
    `SELECT schemaname AS schema, tablename AS name FROM pg_tables WHERE schemaname IN ('auth', 'users')
     AND tablename !~ '(outbox|migration|applied|key|lease|slot|trash)' ORDER BY 1, 2`,
  );
  assert.ok(tables.length > 5);
  const counts = {};
  for (const { schema, name } of tables) counts[`${schema}.${name}`] = (await sql(`SELECT count(*) AS n FROM ${schema}."${name}"`))[0].n;
  return counts;
}

before(async () => {
  [me, other] = await crowd(2);
  await eventually(5000, async () => (await me.api.get(`/api/users/${other.id}`)).status === 200, 'user-svc knows both');
  await eventually(5000, async () => (await other.api.get(`/api/users/${me.id}`)).status === 200, 'user-svc knows both');
  pidsBefore = daemons().map(({ name }) => `${name} ${pidOf(name)}`);
  storedBefore = await stored();
});

after(async () => {
  assert.deepEqual(
    daemons().map(({ name }) => `${name} ${pidOf(name)}`),
    pidsBefore,
    'no daemon died',
  );
  // Sweeps may have taken what was too old.
  for (const [table, rows] of Object.entries(await stored()))
    assert.ok(rows <= storedBefore[table], `${table}: ${storedBefore[table]} rows became ${rows}`);
  assert.equal((await me.api.get('/api/users/me')).status, 200);
});

/** A problem as RFC 9457 and our own rules have it. */
function clear(reply, statuses, what) {
  const wanted = [statuses].flat();
  assert.ok(wanted.includes(reply.status), `${what}: ${reply.status}, wanted ${wanted}: ${reply.text?.slice(0, 300)}`);
  assert.match(reply.headers['content-type'] ?? '', /^application\/problem\+json/, what);
  assert.equal(reply.json.status, reply.status, what);
  for (const member of ['type', 'title', 'code', 'request_id']) assert.equal(typeof reply.json[member], 'string', `${what}: ${member}`);
  assert.match(reply.json.code, /^[a-z][a-z_]*$/, what);
  assert.doesNotMatch(reply.text, /postgres|libpq|syntax error|relation "|\.c:\d+/i, `${what}: no internals`);
}

const json = { 'Content-Type': 'application/json' };
const login = (text, headers = json) => open.post('/api/auth/login', Buffer.from(text), { headers });

test('[P-01][D-53] bodies that are no JSON, or not the JSON that is asked for, are 400', async () => {
  const bodies = {
    empty: '',
    blank: '   ',
    cut: '{"login":"a"',
    'two values': '{} {}',
    'trailing comma': '{"login":"a",}',
    'no object': '[]',
    'a number': '1',
    null: 'null',
    'a word': 'login',
    'single quotes': "{'login':'a'}",
    comment: '{/* */}',
    NaN: '{"login":NaN,"password":"x"}',
    'wrong type': '{"login":1,"password":"x"}',
    'object for text': '{"login":{},"password":"x"}',
    'array for text': '{"login":["a"],"password":"x"}',
    'null for text': '{"login":null,"password":"x"}',
    'bool for text': '{"login":true,"password":"x"}',
    'text for bool': '{"login":"a","password":"x","cookie":"yes"}',
    'unknown field': '{"login":"a","password":"x","admin":true}',
    'a field twice': '{"login":"a","login":"b","password":"x"}',
    __proto__: '{"__proto__":{},"login":"a","password":"x"}',
    'missing field': '{"login":"a"}',
    'a NUL in text': '{"login":"a\\u0000b","password":"x"}',
    'a raw NUL': '{"login":"a\0b","password":"x"}',
    'a lone surrogate': '{"login":"\\ud800","password":"x"}',
    deep: '['.repeat(5000) + ']'.repeat(5000),
    'deep objects': '{"a":'.repeat(5000) + '1' + '}'.repeat(5000),
    'a huge number': `{"login":"a","password":"x","cookie":1${'0'.repeat(4000)}}`,
    'over-long text': JSON.stringify({ login: 'a'.repeat(20000), password: 'x' }),
    'a mark before it': '\ufeff[]',
  };
  for (const [what, body] of Object.entries(bodies)) clear(await login(body), body.length > 8192 ? [400, 413] : 400, what);
  for (const bytes of ['ff', 'c0af', 'eda080', 'f4908080', 'c3']) {
    const reply = await login(Buffer.concat([Buffer.from('{"login":"'), Buffer.from(bytes, 'hex'), Buffer.from('","password":"x"}')]));
    clear(reply, 400, `invalid UTF-8 ${bytes}`);
  }
  clear(await login('login=a&password=x', { 'Content-Type': 'application/x-www-form-urlencoded' }), [400, 415], 'a form');
});

test('[P-01][S-01][M-01][P-11] every field has bounds: sign-up and profile', async () => {
  const good = names();
  for (const change of [
    { email: 'no-at.example.test' },
    { email: '@example.test' },
    { email: `${'a'.repeat(250)}@example.test` },
    { email: 'a@b\r\nBcc: c@d' },
    { email: 'two@@example.test' },
    { email: '' },
    { password: 'short1' },
    { password: 'onlyletters' },
    { password: '1234567890' },
    { password: `a1${'x'.repeat(127)}` },
    { password: good.email },
    { nickname: 'x' },
    { nickname: 'x'.repeat(21) },
    { nickname: '' },
    { nickname: 'a\tb' },
    { nickname: 'a\u202eb' },
    { nickname: '   ' },
    { handle: 'x' },
    { handle: 'x'.repeat(31) },
    { handle: 'has blank' },
    { handle: 'UPPER-case' },
    { handle: "x'; DROP TABLE auth.accounts; --" },
    { handle: 'a\r\nSet-Cookie: x=y' },
    { birth_date: '2026-02-30' },
    { birth_date: 'yesterday' },
    { gender: 'x'.repeat(100) },
    { name: 'n'.repeat(5000) },
  ]) {
    const reply = await open.post('/api/auth/signup', { ...good, ...change });
    clear(reply, 400, JSON.stringify(change).slice(0, 80));
    assert.ok(
      reply.json.errors?.length >= 1 && reply.json.errors.every((error) => error.pointer || error.field || error.message),
      `which field: ${reply.text}`,
    );
  }
  for (const change of [
    { bio: 'b'.repeat(20000) },
    { bio: 5 },
    { interests: 'bread' },
    { interests: [1] },
    { interests: Array(500).fill('x') },
    { interests: ['x'.repeat(5000)] },
    { nickname: 'mine' },
    { id: other.id },
    { role: 'admin' },
  ]) {
    clear(await me.api.patch('/api/users/me', change), 400, JSON.stringify(change).slice(0, 80));
  }
});

test('[S-01] bodies that are too large are 413 before they are read: 70 kB, 100 MB, chunked without end', async () => {
  clear(await login(JSON.stringify({ login: 'a', password: 'x'.repeat(100000) })), [400, 413], '100 kB of JSON');
  const block = Buffer.alloc(65536, 'x');
  for (const [method, path, headers] of [
    ['POST', '/api/auth/login', json],
    ['PUT', '/api/users/me/avatar', { 'Content-Type': 'image/png' }],
    ['PATCH', '/api/users/me', json],
  ]) {
    for (const length of [{ 'Content-Length': 100 * MB }, { 'Transfer-Encoding': 'chunked' }]) {
      let sent = 0;
      const body = new Readable({
        read() {
          this.push(sent < 100 * MB ? block : null);
          sent += block.length;
        },
      });
      const reply = await request(method, env.GATEWAY_URL + path, {
        headers: { ...headers, ...length },
        body,
        token: me.access,
        timeout: 30000,
        via: false,
      });
      clear(reply, 413, `${method} ${path} ${Object.keys(length)}`);
      assert.ok(sent < 40 * MB, `${path}: stopped early, ${sent} bytes were taken`);
      body.destroy();
    }
  }
  clear(await me.api.put('/api/users/me/avatar', Buffer.alloc(0), { headers: { 'Content-Type': 'image/png' } }), [400, 415], 'no byte');
  for (const [what, bytes] of [
    ['html', Buffer.from('<html>')],
    ['a cut png', Buffer.from('89504e470d0a1a0a', 'hex')],
    ['gif', Buffer.from('GIF89a')],
    ['svg', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>')],
    ['noise', Buffer.alloc(70000, 7)],
  ]) {
    clear(await me.api.put('/api/users/me/avatar', bytes, { headers: { 'Content-Type': 'image/png' } }), [400, 415], what);
  }
});

test('[P-43] requests that two readers could read differently, or that are no HTTP, are refused', async () => {
  const get = (lines, path = '/api/users/me', version = 'HTTP/1.1') =>
    `GET ${path} ${version}\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`;
  const post = (lines, body) =>
    `POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n${body}`;
  const cases = {
    'two lengths': post(['Content-Length: 2', 'Content-Length: 3'], '{} '),
    'a list of lengths': post(['Content-Length: 2, 3'], '{} '),
    'length and chunked': post(['Content-Length: 4', 'Transfer-Encoding: chunked'], '0\r\n\r\n'),
    'a signed length': post(['Content-Length: +2'], '{}'),
    'a negative length': post(['Content-Length: -1'], '{}'),
    'a hex length': post(['Content-Length: 0x2'], '{}'),
    'a length too long': post(['Content-Length: 99999999999999999999'], '{}'),
    'an unknown coding': post(['Transfer-Encoding: gzip, chunked'], '0\r\n\r\n'),
    'chunked twice': post(['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'], '0\r\n\r\n'),
    'coding not at the end': post(['Transfer-Encoding: chunked, identity'], '0\r\n\r\n'),
    'a bad chunk size': post(['Transfer-Encoding: chunked'], 'zz\r\n{}\r\n0\r\n\r\n'),
    'a huge chunk size': post(['Transfer-Encoding: chunked'], 'ffffffffffffffffff\r\n'),
    'a chunk without its end': post(['Transfer-Encoding: chunked'], '2\r\n{}x\r\n0\r\n\r\n'),
    'a blank before the colon': get(['Host : x']),
    'a folded line': get(['Host: x', 'X-A: b', ' c']),
    'a bare LF': 'GET /api/users/me HTTP/1.1\nHost: x\n\n',
    'a lone CR': get(['Host: x', 'X-A: a\rb']),
    'a NUL': get(['Host: x', 'X-A: a\0b']),
    'no host': get([]),
    'two hosts': get(['Host: x', 'Host: y']),
    'no name': get(['Host: x', ': v']),
    'a name with a blank': get(['Host: x', 'X A: v']),
    'a name with a control': get(['Host: x', 'X\x01: v']),
    'HTTP/2.0': get(['Host: x'], '/', 'HTTP/2.0'),
    'HTTP/1.9': get(['Host: x'], '/', 'HTTP/1.9'),
    'no version': 'GET /api/users/me\r\n\r\n',
    'no method': ' / HTTP/1.1\r\nHost: x\r\n\r\n',
    'a bad method': 'G@T / HTTP/1.1\r\nHost: x\r\n\r\n',
    'two blanks': 'GET  / HTTP/1.1\r\nHost: x\r\n\r\n',
    'another host in the line': get(['Host: x'], 'http://elsewhere.test/api/users/me'),
    'a raw byte in the path': get(['Host: x'], '/api/\xff'),
    TLS: Buffer.from('16030100c8010000c40303', 'hex'),
    noise: Buffer.from(Array.from({ length: 300 }, (_, i) => (i * 7919) & 255)),
    'HTTP/2 preface': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'dots in the path': get(['Host: x'], '/api/users/../auth/sessions'),
    'encoded dots': get(['Host: x'], '/api/users/%2e%2e/auth/sessions'),
    'an encoded slash': get(['Host: x'], '/api%2fusers/me'),
    'empty segments': get(['Host: x'], '/api//users/me'),
    'a bad escape': get(['Host: x'], '/api/users/%zz'),
    'an encoded NUL': get(['Host: x'], '/api/users/%00'),
    'a long path': get(['Host: x'], `/${'a'.repeat(100000)}`),
    'a long header': get(['Host: x', `X-A: ${'a'.repeat(200000)}`]),
    'many headers': get(['Host: x', ...Array.from({ length: 5000 }, (_, i) => `X-${i}: a`)]),
  };
  for (const [what, bytes] of Object.entries(cases)) {
    const reply = await raw(env.GATEWAY_URL, typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
    assert.ok(
      [400, 413, 414, 421, 431, 501, 505].includes(reply.status) || (reply.status === 0 && reply.closed),
      `${what}: ${reply.status} ${reply.text.slice(0, 200)}`,
    );
    if (reply.status) assert.match(reply.text, /content-type: application\/problem\+json/i, what);
    assert.equal((reply.text.match(/HTTP\/1\.1 \d/g) ?? []).length, reply.status ? 1 : 0, `${what}: one answer`);
  }
});

test('[P-03][P-43][K-03] forged, altered and broken tokens are refused by the gateway and by user-svc itself', async () => {
  const [head, body, signature] = me.access.split('.');
  const header = JSON.parse(Buffer.from(head, 'base64url'));
  const says = claims(me.access);
  const pack = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
  const { keys } = (await open.get('/.well-known/jwks.json')).json;
  const jwk = keys.find((key) => key.kid === header.kid);
  const pem = createPublicKey({ key: jwk, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
  const { privateKey: strange } = keyPair('ec', { namedCurve: 'P-256' });
  const es256 = (h, b) =>
    `${pack(h)}.${pack(b)}.${sign('sha256', Buffer.from(`${pack(h)}.${pack(b)}`), { key: strange, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  const hs256 = (h, b, key) =>
    `${pack(h)}.${pack(b)}.${createHmac('sha256', key)
      .update(`${pack(h)}.${pack(b)}`)
      .digest('base64url')}`;
  const theirs = other.access.split('.');
  const flip = (text, at) => text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1);
  const tokens = {
    'alg none': `${pack({ ...header, alg: 'none' })}.${body}.`,
    'alg None with a signature': `${pack({ ...header, alg: 'None' })}.${body}.${signature}`,
    'HS256 with the public key as PEM': hs256({ ...header, alg: 'HS256' }, says, pem),
    'HS256 with its x': hs256({ ...header, alg: 'HS256' }, says, Buffer.from(jwk.x, 'base64url')),
    'HS256 with nothing': hs256({ ...header, alg: 'HS256' }, says, ''),
    'a key of our own under the right kid': es256(header, says),
    'an unknown kid': es256({ ...header, kid: 'unknown' }, says),
    'a path as kid': es256({ ...header, kid: '../../../dev/null' }, says),
    'SQL as kid': es256({ ...header, kid: "x' OR '1'='1" }, says),
    'no kid': es256({ alg: 'ES256', typ: 'JWT' }, says),
    'its own key in the header': es256({ ...header, jwk: createPublicKey(strange).export({ format: 'jwk' }) }, says),
    'a jku': es256({ ...header, jku: 'http://127.0.0.1:9/keys' }, says),
    ES384: `${pack({ ...header, alg: 'ES384' })}.${body}.${signature}`,
    RS256: `${pack({ ...header, alg: 'RS256' })}.${body}.${signature}`,
    'a critical extension': es256({ ...header, crit: ['b64'], b64: false }, says),
    'claims of another with my signature': `${head}.${theirs[1]}.${signature}`,
    'my claims with their signature': `${head}.${body}.${theirs[2]}`,
    'role admin': `${head}.${pack({ ...says, role: 'admin' })}.${signature}`,
    'a later end': `${head}.${pack({ ...says, exp: says.exp + 3600 })}.${signature}`,
    'another issuer': es256(header, { ...says, iss: 'elsewhere' }),
    'aud ticket': es256(header, { ...says, aud: 'ticket' }),
    expired: es256(header, { ...says, iat: 1, exp: 2 }),
    'from the future': es256(header, { ...says, iat: says.iat + 9999, nbf: says.iat + 9999, exp: says.exp + 9999 }),
    'a bit of the signature': `${head}.${body}.${flip(signature, 10)}`,
    'a cut signature': `${head}.${body}.${signature.slice(0, -4)}`,
    'a longer signature': `${head}.${body}.${signature}AAAA`,
    'a signature of zeroes': `${head}.${body}.${Buffer.alloc(64).toString('base64url')}`,
    'an empty signature': `${head}.${body}.`,
    'two parts': `${head}.${body}`,
    'four parts': `${me.access}.x`,
    dots: '...',
    'a word': 'token',
    'no base64': '$$$.$$$.$$$',
    'base64 with padding': `${head}==.${body}.${signature}`,
    'no JSON inside': `${pack('nothing')}.${pack('nothing')}.${signature}`,
    long: 'a'.repeat(7000),
  };
  const doors = [env.GATEWAY_URL, daemons().find(({ name }) => name === 'user-svc-1').url];
  for (const [what, token] of Object.entries(tokens)) {
    for (const door of doors) {
      const reply = await request('GET', `${door}/api/users/me`, { token });
      clear(reply, 401, `${what} at ${door}`);
      assert.ok(['token_invalid', 'token_expired'].includes(reply.problem), `${what}: ${reply.problem}`);
    }
  }
  for (const value of ['', 'Bearer', 'Bearer ', `Basic ${Buffer.from('a:b').toString('base64')}`, `Bearer  ${me.access} x`, me.access]) {
    for (const door of doors)
      clear(
        await request('GET', `${door}/api/users/me`, { headers: { Authorization: value } }),
        401,
        `Authorization: ${value.slice(0, 20)}`,
      );
  }
  // A refresh token is no access token, nor the other way round.
  clear(await request('GET', `${env.GATEWAY_URL}/api/users/me`, { token: me.refresh }), 401, 'a refresh token');
  for (const wrong of [me.access, 'x', 'A'.repeat(43), ''])
    clear(await open.post('/api/auth/refresh', { refresh_token: wrong }), [400, 401], 'no refresh token');
});

test('[P-12][P-02] SQL and headers cannot be injected', async () => {
  const strings = [
    "' OR '1'='1",
    "'; DROP TABLE auth.accounts; --",
    "%' UNION SELECT 1,2,3 --",
    '\\',
    '%',
    '__',
    "a'b",
    '"; SELECT pg_sleep(5); --',
    '${jndi:ldap://127.0.0.1/a}',
    '{{7*7}}',
    '$(id)',
    '`id`',
  ];
  for (const text of strings) {
    const word = encodeURIComponent(text);
    clear(await open.post('/api/auth/login', { login: text, password: text }), [400, 401], `log-in ${text}`);
    const found = await me.api.get(`/api/users?q=${word}`);
    if (found.status === 200) assert.deepEqual(found.json.items, [], `search ${text}`);
    else clear(found, 400, `search ${text}`);
    for (const path of [
      `/api/friends?cursor=${word}`,
      `/api/friends?limit=${word}`,
      `/api/users?q=ab&cursor=${word}`,
      `/api/friends/requests?direction=${word}`,
    ])
      clear(await me.api.get(path), 400, path);
    for (const [method, path] of [
      ['GET', `/api/users/${word}`],
      ['PUT', `/api/friends/requests/${word}`],
      ['DELETE', `/api/blocks/${word}`],
      ['DELETE', `/api/auth/sessions/${word}`],
    ])
      clear(await me.api.call(method, path), [400, 404], path);
    const free = await open.get(`/api/auth/availability?nickname=${word}`);
    assert.ok([200, 400].includes(free.status), free.text);
    clear(await me.api.patch('/api/users/me', { [text]: text }), 400, 'as a field name');
  }
  for (const value of ['%0d%0aSet-Cookie:%20a=b', '%0d%0a%0d%0a<script>']) {
    const reply = await request('GET', `${env.GATEWAY_URL}/api/auth/social/kakao?return_to=http://localhost/${value}`);
    assert.ok(reply.status >= 300 && reply.status < 500, `${reply.status}`);
    assert.ok(!(reply.headers['set-cookie'] ?? []).some((cookie) => cookie.startsWith('a=b')));
    assert.doesNotMatch(reply.headers.location ?? '', /[\r\n]|<script>/);
  }
  for (const id of ['a b', 'x'.repeat(65), 'a;b', '../x', "'"]) {
    const reply = await open.get('/api/users/me', { headers: { 'X-Request-Id': id } });
    assert.notEqual(reply.headers['x-request-id'], id, 'replaced by one of ours');
    assert.match(reply.headers['x-request-id'], /^[A-Za-z0-9._-]{1,64}$/);
  }
  for (const key of ['x'.repeat(1000), 'a b', "'"]) {
    const reply = await me.api.post('/api/auth/ws-ticket', undefined, { headers: { 'Idempotency-Key': key } });
    assert.ok(reply.status < 500, `${reply.status} ${reply.text}`);
  }
});

test('[P-47][S-01] wrong methods are 405 with Allow, unknown ids 404', async () => {
  for (const [method, path] of [
    ['DELETE', '/api/users/me'],
    ['PATCH', '/api/auth/login'],
    ['PUT', '/api/friends'],
    ['POST', '/api/blocks'],
  ]) {
    const reply = await me.api.call(method, path);
    clear(reply, 405, `${method} ${path}`);
    assert.match(reply.headers.allow, /^[A-Z, ]+$/);
  }
  const nobody = '01890000-0000-7000-8000-000000000000';
  for (const [method, path] of [
    ['GET', `/api/users/${nobody}`],
    ['PUT', `/api/friends/requests/${nobody}`],
    ['PUT', `/api/blocks/${nobody}`],
    ['DELETE', `/api/auth/sessions/${nobody}`],
  ])
    clear(await me.api.call(method, path), 404, `${method} ${path}`);
});

test('[P-48] memory stays flat under bad input', { skip: process.env.SAN && 'sanitizers keep what is freed' }, async () => {
  const storm = async () => {
    for (let round = 0; round < 20; round++) {
      await Promise.all([
        ...Array.from({ length: 20 }, () => login('['.repeat(30000))),
        ...Array.from({ length: 20 }, () => login(JSON.stringify({ login: 'x'.repeat(30000), password: 'x' }))),
        ...Array.from({ length: 20 }, (_, i) =>
          request('GET', `${env.GATEWAY_URL}/api/users/me`, {
            token: `${me.access.slice(0, -6)}${String(round * 20 + i).padStart(6, 'A')}`,
          }),
        ),
        ...Array.from({ length: 10 }, () =>
          raw(env.GATEWAY_URL, `GET /api/users/me HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(30000)}\r\n\r\n`),
        ),
        ...Array.from({ length: 10 }, () =>
          me.api.put('/api/users/me/avatar', Buffer.alloc(500000, 9), { headers: { 'Content-Type': 'image/png' } }),
        ),
      ]);
    }
  };
  const sizes = () => Object.fromEntries(daemons().map(({ name }) => [name, memoryOf(pidOf(name))]));
  await storm(); // pools and arenas reach their size
  await storm();
  const first = sizes();
  await storm();
  await storm();
  const last = sizes();
  for (const name of Object.keys(first))
    assert.ok(last[name] - first[name] < 6 * MB, `${name} grew from ${first[name]} to ${last[name]} bytes`);
});
