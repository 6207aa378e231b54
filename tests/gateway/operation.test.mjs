// What an operator does and a browser asks: reload, certificates, origins, documents, kept answers, settings.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { test } from 'node:test';
import tls from 'node:tls';
import { request } from '../support/http.mjs';
import { load } from '../support/load.mjs';
import { pause } from '../support/wait.mjs';
import { assertFlat, Authority, bearer, eventually, exchange, Gateway, get, keep, RawService, root, Service, temporaryFolder, upgradeTo, Wire } from './world.mjs';

const P = '/api/game/x';

// ---- reload -------------------------------------------------------------------------------------------------------------

test('[P-43] SIGHUP reads the routes again; a wrong file changes nothing; no request is lost', async (t) => {
  const folder = keep(t, temporaryFolder());
  const file = path.join(folder.path, 'routes.conf');
  fs.writeFileSync(file, '/api/game game-svc open\n');
  let hold;
  const service = keep(t, await Service.start((req, res) => (req.url.endsWith('hold') ? (hold = () => res.end('held')) : res.end('ok'))));
  const own = keep(t, await Gateway.start({ services: { 'game-svc': service, 'user-svc': service }, settings: { ROUTES_FILE: file } }));
  const waiting = await Wire.open(own.port);
  waiting.send(get('/api/game/hold'));
  await eventually(3000, () => hold);
  fs.writeFileSync(file, '# moved\n/api/play game-svc open # comment\n');
  own.signal('SIGHUP');
  await eventually(3000, async () => (await exchange(own.port, get('/api/play/x'))).status === 200);
  assert.equal((await exchange(own.port, get(P))).status, 404);
  for (const wrong of ['/api/x\n', '/internal/x game-svc open\n', '/api/x game-svc everybody\n', '/api/x game-svc open body=-1\n', '/a game-svc open\n/a user-svc open\n', '']) {
    const before = own.events('routes_not_reloaded').length;
    fs.writeFileSync(file, wrong);
    own.signal('SIGHUP');
    await eventually(3000, () => own.events('routes_not_reloaded').length === before + 1, JSON.stringify(wrong));
    assert.equal((await exchange(own.port, get('/api/play/x'))).status, 200);
  }
  assert.match(own.events('routes_not_reloaded')[0].reason, /line 1/);
  hold();
  assert.equal((await waiting.answer()).body, 'held', 'what was under way when its route went ends well');
  waiting.close();
});

// ---- succession ---------------------------------------------------------------------------------------------------------

test('[S-53][I8] a successor listens before its predecessor stops: five gateways in a row on one port, and no client sees a failure', async (t) => {
  const service = keep(t, await Service.start((req, res) => setTimeout(() => res.end('ok'), 2)));
  const settings = { DRAIN_SECONDS: '1', LISTEN_SHARED: 'on' };
  let own = await Gateway.start({ services: { 'game-svc': service }, settings });
  const port = own.port;
  await assert.rejects(Gateway.start({ settings: { LISTEN: `127.0.0.1:${port}` } }), /Address already in use/, 'who does not share does not join');

  // One kind opens a connection for each request, the other keeps it and repeats a GET once when it was closed idle under it.
  const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
  const get = (options) => new Promise((resolve, reject) => {
    const req = http.get({ host: '127.0.0.1', port, path: P, ...options }, (res) => res.resume().on('end', () => resolve(res.statusCode)));
    req.on('error', (error) => reject(Object.assign(error, { reused: req.reusedSocket })));
  });
  const kept = () => get({ agent }).catch((error) => (error.reused ? get({ agent: false }) : Promise.reject(error)));
  const clients = load(16, (client) => (client % 2 ? kept() : get({ agent: false })), (status, error) => error?.message ?? (status === 200 ? undefined : `status ${status}`));
  for (let turn = 0; turn < 4; turn++) {
    const successor = await Gateway.start({ services: { 'game-svc': service }, settings: { ...settings, LISTEN: `127.0.0.1:${port}` } });
    await clients.more(200);
    await own.close();
    assert.deepEqual(own.events('stays_in_the_way'), [], 'the kernel gives new connections to the successor');
    own = successor;
    await clients.more(200);
  }
  await clients.stop();
  agent.destroy();
  await own.close();
  assert.deepEqual(clients.wrong.slice(0, 5), []);
});

// ---- TLS ----------------------------------------------------------------------------------------------------------------

function certificate(folder, name) {
  const [key, cert] = [path.join(folder, 'key.pem'), path.join(folder, 'cert.pem')];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', `/CN=${name}`, '-keyout', key, '-out', cert], { stdio: 'ignore' });
  return { key, cert };
}
const subject = (port) =>
  new Promise((resolve, reject) => {
    const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().subject.CN);
      socket.destroy();
    });
    socket.on('error', reject);
  });

test('[P-43] TLS: requests, large bodies both ways, sockets; a reload changes the certificate without dropping a connection', async (t) => {
  const folder = keep(t, temporaryFolder());
  const { key, cert } = certificate(folder.path, 'first');
  const service = keep(t, await Service.start((req, res) => req.pipe(res)));
  service.server.on('upgrade', (req, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
    socket.pipe(socket);
    socket.on('error', () => {});
  });
  const authority = keep(t, await Authority.start());
  const own = keep(t, await Gateway.start({ services: { 'user-svc': service, 'game-svc': service, 'match-ws': service }, authority, settings: { TLS_CERT_FILE: cert, TLS_KEY_FILE: key } }));
  const agent = new https.Agent({ keepAlive: true, rejectUnauthorized: false });
  t.after(() => agent.destroy());
  const call = (method, target, body, token) =>
    new Promise((resolve, reject) => {
      const outgoing = https.request({ port: own.port, host: '127.0.0.1', path: target, method, agent, headers: token ? { Authorization: `Bearer ${token}` } : {} }, (res) => {
        const parts = [];
        res.on('data', (part) => parts.push(part)).on('end', () => resolve({ status: res.statusCode, headers: res.headers, body: Buffer.concat(parts) }));
      });
      outgoing.on('error', reject).end(body);
    });
  const small = await call('POST', P, 'hello');
  assert.equal(small.body.toString(), 'hello');
  assert.match(small.headers['strict-transport-security'], /max-age/);
  assert.equal(service.seen.at(-1).headers['x-forwarded-proto'], 'https');
  const large = Buffer.alloc(3 << 20, 'tls!');
  assert.ok((await call('PUT', '/api/users/x', large, authority.token())).body.equals(large));
  // a socket that lives through the reload
  const socket = tls.connect({ port: own.port, host: '127.0.0.1', rejectUnauthorized: false });
  let text = '';
  socket.setEncoding('latin1').on('data', (part) => (text += part));
  socket.on('error', () => {});
  socket.write(upgradeTo('/ws/market'));
  await eventually(3000, () => text.includes('101'));
  assert.equal(await subject(own.port), 'first');
  certificate(folder.path, 'second');
  own.signal('SIGHUP');
  await eventually(5000, async () => (await subject(own.port)) === 'second', 'the new certificate is shown');
  fs.writeFileSync(cert, 'not a certificate');
  own.signal('SIGHUP');
  await eventually(3000, () => own.event('certificate_not_reloaded'));
  assert.equal(await subject(own.port), 'second', 'a wrong one changes nothing');
  socket.write('still here');
  await eventually(3000, () => text.endsWith('still here'), 'the old connection works');
  socket.destroy();
  assert.equal((await call('POST', P, 'again')).body.toString(), 'again');
  // a client that does not speak TLS, and one that stops in the handshake
  const plain = await Wire.open(own.port);
  plain.send(get(P));
  await plain.end();
  plain.close();
  await eventually(4000, async () => (await own.metric('madang_gateway_tls_failures_total')) >= 1);
  for (const version of ['TLSv1.2', 'TLSv1.3'])
    assert.equal(
      await new Promise((resolve, reject) => {
        const one = tls.connect({ port: own.port, host: '127.0.0.1', rejectUnauthorized: false, minVersion: version, maxVersion: version, ALPNProtocols: ['http/1.1'] }, () => {
          resolve(one.getProtocol());
          one.destroy();
        });
        one.on('error', reject);
      }),
      version,
    );
});

// ---- origins ------------------------------------------------------------------------------------------------------------

test('[P-43] origins: listed ones get what a browser needs, others nothing, sockets of others are refused', async (t) => {
  const service = keep(t, await Service.start((req, res) => res.setHeader('Access-Control-Allow-Origin', '*').end('ok')));
  service.server.on('upgrade', (req, socket) => socket.end('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n'));
  const own = keep(t, await Gateway.start({ services: { 'game-svc': service, 'match-ws': service }, settings: { CORS_ORIGINS: 'https://app.example, https://b.example:8443' } }));
  const preflight = (origin, target = P) =>
    exchange(own.port, `OPTIONS ${target} HTTP/1.1\r\nHost: a.example\r\nOrigin: ${origin}\r\nAccess-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: authorization\r\n\r\n`);
  const good = await preflight('https://app.example');
  assert.equal(good.status, 204);
  assert.equal(good.headers['access-control-allow-origin'], 'https://app.example');
  assert.equal(good.headers['access-control-allow-credentials'], 'true');
  for (const name of ['Authorization', 'Content-Type', 'Idempotency-Key', 'If-Match', 'Prefer', 'Last-Event-ID', 'X-Requested-With', 'X-Request-Id', 'traceparent'])
    assert.ok(good.headers['access-control-allow-headers'].includes(name), name);
  for (const name of ['PUT', 'PATCH', 'DELETE']) assert.ok(good.headers['access-control-allow-methods'].includes(name));
  assert.match(good.headers.vary, /Origin/);
  assert.equal(service.seen.length, 0, 'preflights are answered here');
  for (const origin of ['https://evil.example', 'http://app.example', 'https://app.example.evil', 'https://app.example:444', 'null', 'http://localhost:3000']) {
    const bad = await preflight(origin);
    assert.equal(bad.status, 403, origin);
    assert.equal(bad.json.code, 'origin_forbidden');
    assert.equal(bad.headers['access-control-allow-origin'], undefined);
    const plain = await exchange(own.port, get(P, `Origin: ${origin}\r\n`));
    assert.equal(plain.status, 200);
    assert.equal(plain.headers['access-control-allow-origin'], undefined, 'the service cannot open it either');
    assert.equal((await exchange(own.port, upgradeTo('/ws/market', `Origin: ${origin}\r\n`))).status, 403, origin);
  }
  const call = await exchange(own.port, get(P, 'Origin: https://b.example:8443\r\n'));
  assert.equal(call.headers['access-control-allow-origin'], 'https://b.example:8443');
  for (const name of ['ETag', 'Location', 'Retry-After', 'RateLimit', 'X-Request-Id']) assert.ok(call.headers['access-control-expose-headers'].includes(name));
  const refused = await exchange(own.port, get('/nowhere', 'Origin: https://app.example\r\n'));
  assert.equal(refused.headers['access-control-allow-origin'], 'https://app.example', 'pages can read our refusals');
  for (const origin of ['https://app.example', 'http://a.example']) assert.equal((await exchange(own.port, upgradeTo('/ws/market', `Origin: ${origin}\r\n`))).status, 101, origin);
  const dev = keep(t, await Gateway.start({ services: { 'game-svc': service }, settings: { PROFILE: 'dev' } }));
  const local = await exchange(dev.port, get(P, 'Origin: http://localhost:5173\r\n'));
  assert.equal(local.headers['access-control-allow-origin'], 'http://localhost:5173');
  assert.equal((await exchange(dev.port, get(P, 'Origin: http://localhost.evil:5173\r\n'))).headers['access-control-allow-origin'], undefined);
});

// ---- documents ------------------------------------------------------------------------------------------------------------

test('[P-43] documents come from a folder: types, tags, no way out of it', async (t) => {
  const folder = keep(t, temporaryFolder());
  const write = (name, text) => fs.writeFileSync(path.join(folder.path, name), text);
  write('index.html', '<!doctype html>hello');
  write('bundle.js', 'x'.repeat(1500000));
  write('secret', 'no known type');
  write('.hidden.html', 'hidden');
  write('openapi.yaml', 'openapi: 3.1.0\n');
  const own = keep(t, await Gateway.start({ settings: { DOCS_DIR: folder.path } }));
  const index = await exchange(own.port, get('/docs/'));
  assert.equal(index.body, '<!doctype html>hello');
  assert.equal(index.headers['content-type'], 'text/html; charset=utf-8');
  assert.match(index.headers['content-security-policy'], /default-src 'self'/);
  assert.doesNotMatch(index.headers['content-security-policy'], /default-src 'none'/);
  const moved = await exchange(own.port, get('/docs'));
  assert.equal(moved.status, 301);
  assert.equal(moved.headers.location, '/docs/');
  const bundles = await Promise.all(Array.from({ length: 5 }, () => exchange(own.port, get('/docs/bundle.js'), { ms: 15000 })));
  for (const bundle of bundles) assert.equal(bundle.body.length, 1500000);
  assert.equal((await exchange(own.port, get('/docs/bundle.js', `If-None-Match: ${bundles[0].headers.etag}\r\n`))).status, 304);
  assert.equal((await exchange(own.port, 'HEAD /docs/bundle.js HTTP/1.1\r\nHost: a\r\n\r\n', { head: true })).headers['content-length'], '1500000');
  assert.equal((await exchange(own.port, get('/openapi.yaml'))).body, 'openapi: 3.1.0\n');
  for (const name of ['/docs/secret', '/docs/.hidden.html', '/docs/none.html', '/docs/sub/index.html']) assert.equal((await exchange(own.port, get(name))).status, 404, name);
  assert.equal((await exchange(own.port, 'POST /docs/ HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi')).status, 405);
  write('index.html', 'changed');
  own.signal('SIGHUP');
  await eventually(3000, async () => (await exchange(own.port, get('/docs/'))).body === 'changed');
  const none = keep(t, await Gateway.start({}));
  for (const name of ['/docs', '/docs/', '/openapi.yaml']) assert.equal((await exchange(none.port, get(name))).status, 404);
});

// ---- kept answers ---------------------------------------------------------------------------------------------------------

test('[P-43] answers of open GETs are kept when the route says so: one question, many answers', async (t) => {
  const folder = keep(t, temporaryFolder());
  const file = path.join(folder.path, 'routes.conf');
  fs.writeFileSync(file, '/api/game game-svc open cache=3s\n/api/trades order-svc open\n');
  let release;
  const extra = {};
  const service = keep(
    t,
    await Service.start((req, res) => {
      const answer = () => res.writeHead(req.url.includes('missing') ? 404 : 200, { 'X-N': String(service.seen.length), ...extra }).end(`answer ${service.seen.length}`);
      if (req.url.includes('slow')) release = answer;
      else if (req.url.includes('lost') && service.seen.length < 3) req.socket.destroy();
      else answer();
    }),
  );
  const own = keep(t, await Gateway.start({ services: { 'game-svc': service, 'order-svc': service }, settings: { ROUTES_FILE: file, THREADS: '1' } }));
  const ask = (target, headers) => exchange(own.port, get(target, headers));
  const asked = () => service.seen.splice(0).length;
  const first = await ask('/api/game/a?b');
  const second = await ask('/api/game/a?b');
  assert.equal(second.body, first.body);
  assert.equal(second.headers['x-n'], '1');
  assert.match(second.headers.age, /^[0-2]$/);
  assert.notEqual(second.headers['x-request-id'], first.headers['x-request-id']);
  assert.equal(asked(), 1);
  await ask('/api/game/a?c');
  assert.equal(asked(), 1, 'another query is another answer');
  await eventually(8000, async () => (await ask('/api/game/a?b'), asked() === 1), 'it gets old');
  // many at once ask once
  const wires = await Promise.all(Array.from({ length: 20 }, () => Wire.open(own.port)));
  for (const wire of wires) wire.send(get('/api/game/slow'));
  await eventually(3000, () => release);
  await pause(50);
  release();
  for (const wire of wires) assert.equal((await wire.answer()).status, 200);
  assert.equal(asked(), 1);
  for (const wire of wires) wire.close();
  for (const headers of ['Authorization: Bearer x\r\n', 'Cookie: a=b\r\n']) {
    await ask('/api/game/k', headers);
    await ask('/api/game/k', headers);
    assert.equal(asked(), 2, headers);
  }
  await ask('/api/game/missing');
  await ask('/api/game/missing');
  assert.equal(asked(), 2, 'only 200 is kept');
  for (const [name, value] of [['Cache-Control', 'no-store'], ['Cache-Control', 'max-age=1, private'], ['Set-Cookie', 'a=b'], ['Vary', 'Accept-Language']]) {
    extra[name] = value;
    const target = `/api/game/${encodeURIComponent(value)}`;
    const replies = await Promise.all([ask(target), ask(target), ask(target)]);
    for (const reply of replies) assert.equal(reply.status, 200);
    assert.equal(asked(), 3, `${name}: ${value}`);
    delete extra[name];
  }
  await ask('/api/trades');
  await ask('/api/trades');
  assert.equal(asked(), 2, 'routes without cache=');
});

// ---- settings -----------------------------------------------------------------------------------------------------------

const binary = path.resolve(root, process.env.BUILD ?? 'build/gcc', 'bin/gateway');
const run = (env, args = []) => spawnSync(binary, args, { env: { PATH: process.env.PATH, REDIS_URL: 'redis://127.0.0.1:1', LISTEN: '127.0.0.1:0', ADMIN_LISTEN: '127.0.0.1:0', ...env }, encoding: 'utf8', timeout: 15000 });

test('[P-43] a wrong setting stops the start with its name', () => {
  for (const [name, value] of [
    ['THREADS', 'many'],
    ['ROUTES_FILE', '/nonexistent/routes.conf'],
    ['CORS_ORIGINS', 'app.example'],
    ['TRUSTED_PROXIES', '10.0.0.0/33'],
    ['UPSTREAMS', 'game-svc'],
    ['TLS_CERT_FILE', '/nonexistent/cert.pem'],
    ['LISTEN', 'nowhere'],
    ['MAX_CONNECTIONS', '0'],
  ]) {
    const result = run({ [name]: value });
    assert.notEqual(result.status, 0, name);
    assert.ok(result.stderr.includes(name), `${name}: ${result.stderr}`);
  }
  const help = run({}, ['--help']);
  assert.equal(help.status, 0);
  for (const name of ['LISTEN', 'ROUTES_FILE', 'CORS_ORIGINS', 'STREAMS_PER_USER']) assert.ok(help.stdout.includes(name));
});

test('[P-43] a second gateway on the same port is refused, not joined', async (t) => {
  const own = keep(t, await Gateway.start({}));
  const result = run({ LISTEN: `127.0.0.1:${own.port}` });
  assert.notEqual(result.status, 0);
  assert.match(result.stderr, /LISTEN.*in use/);
});

test('[P-43] the built-in table is gateway/routes.conf', async (t) => {
  const service = keep(t, await Service.start());
  const services = [...new Set(fs.readFileSync(path.join(root, 'gateway/routes.conf'), 'utf8').split('\n').filter((line) => line.startsWith('/')).map((line) => line.split(/\s+/)[1]))];
  const own = keep(t, await Gateway.start({ services: Object.fromEntries(services.map((name) => [name, service])) }));
  for (const line of fs.readFileSync(path.join(root, 'gateway/routes.conf'), 'utf8').split('\n').filter((text) => text.startsWith('/'))) {
    const [prefix, , who] = line.split(/\s+/);
    const status = (await request('GET', own.url + prefix)).status;
    assert.equal(status, who === 'open' ? (line.includes('upgrade') ? 426 : 200) : 401, prefix);
  }
});

test('[P-43] bearer tokens and requests of a thousand kinds in a row leave nothing behind', async (t) => {
  const authority = keep(t, await Authority.start());
  const raw = keep(t, await RawService.start((socket, head) => socket.write(head.includes('/close') ? 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n' : 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')));
  const own = keep(t, await Gateway.start({ services: { 'game-svc': raw, 'user-svc': raw }, authority }));
  const token = authority.token();
  const kinds = [get(P), get('/api/game/close'), get('/nowhere'), get('/api/users/me'), get('/api/users/me', bearer(token)), get('/api/users/me', bearer('x')), 'GARBAGE\r\n\r\n', get(P, 'Connection: close\r\n')];
  const rounds = async (n) => {
    for (let i = 0; i < n; i++) await Promise.all(kinds.map((text) => exchange(own.port, text)));
  };
  await rounds(30);
  const before = own.memory().Pss;
  await rounds(150);
  assertFlat(own, before, 1500);
  await eventually(4000, async () => (await own.metric('madang_gateway_in_flight')) === 0);
});
