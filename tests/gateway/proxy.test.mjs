// What a proxy must do: pass requests and answers on whole, in order, as they are, and know which headers are whose.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { request } from '../support/http.mjs';
import { assertFlat, Authority, bearer, eventually, exchange, Gateway, get, keep, newUser, RawService, Service, Wire } from './world.mjs';

let authority, service, gateway;

before(async () => {
  authority = await Authority.start();
  service = await Service.start((req, res) => {
    const parts = [];
    req.on('data', (part) => parts.push(part));
    req.on('end', () => {
      const body = Buffer.concat(parts);
      res.setHeader('Content-Type', 'application/json');
      res.setHeader('X-Service', 'echo');
      res.end(JSON.stringify({ method: req.method, url: req.url, headers: req.headers, length: body.length, body: body.length < 1000 ? body.toString() : '' }));
    });
  });
  gateway = await Gateway.start({ services: { 'user-svc': service, 'auth-svc': service, 'game-svc': service, 'chat-svc': service }, authority });
});
after(async () => {
  await gateway?.close();
  await service?.close();
  await authority?.close();
});
const last = () => service.seen.at(-1);

test('[P-43] a request reaches its service and the answer comes back', async () => {
  const reply = await request('GET', `${gateway.url}/api/users/me?x=1&y=%20`, { token: authority.token() });
  assert.equal(reply.status, 200);
  assert.equal(reply.headers['x-service'], 'echo');
  assert.equal(reply.json.url, '/api/users/me?x=1&y=%20');
  assert.match(reply.headers['x-request-id'], /^[0-9a-f]{32}$/);
  assert.equal(reply.headers['x-content-type-options'], 'nosniff');
  assert.equal(reply.headers['referrer-policy'], 'no-referrer');
  assert.equal(reply.headers['x-frame-options'], 'DENY');
  assert.match(reply.headers['content-security-policy'], /default-src 'none'/);
});

test('[P-43] every method passes, with and without a body', async () => {
  for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    const reply = await request(method, `${gateway.url}/api/game/x`, { body: method === 'GET' ? undefined : 'hello' });
    assert.equal(reply.json.method, method);
    assert.equal(reply.json.body, method === 'GET' ? '' : 'hello');
  }
});

test('[P-43] HEAD has the length and no body, and the connection goes on', async () => {
  const wire = await Wire.open(gateway.port);
  wire.send('HEAD /api/game/x HTTP/1.1\r\nHost: a.example\r\n\r\n');
  const head = await wire.answer({ head: true });
  assert.equal(head.status, 200);
  const next = await wire.send(get('/api/game/y')).answer();
  assert.equal(next.json.url, '/api/game/y');
  wire.close();
});

test('[P-43] a body in pieces, by length and in chunks, arrives whole', async () => {
  const wire = await Wire.open(gateway.port);
  wire.send('POST /api/game/x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\n01234');
  await eventually(2000, () => wire.socket.bytesWritten > 60);
  wire.send('56789');
  assert.equal((await wire.answer()).json.body, '0123456789');
  wire.send('POST /api/game/x HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n');
  wire.send('2;ext=1\r\nde\r\n0\r\nTrailer: dropped\r\n\r\n');
  const chunked = await wire.answer();
  assert.equal(chunked.json.body, 'abcde');
  assert.equal(chunked.json.headers['transfer-encoding'], 'chunked');
  wire.close();
});

test('[P-43] pipelined requests are answered in order', async () => {
  const wire = await Wire.open(gateway.port);
  const many = Array.from({ length: 50 }, (_, i) =>
    i % 3 ? get(`/api/game/${i}`) : `POST /api/game/${i} HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nhi`,
  );
  wire.send(many.join(''));
  for (let i = 0; i < 50; i++) assert.equal((await wire.answer()).json.url, `/api/game/${i}`);
  wire.close();
});

test('[P-43] pipelined refusals and answers keep their order', async () => {
  const wire = await Wire.open(gateway.port);
  wire.send(get('/nowhere') + get('/api/game/1') + get('/api/users/me') + get('/api/game/2'));
  assert.equal((await wire.answer()).status, 404);
  assert.equal((await wire.answer()).json.url, '/api/game/1');
  assert.equal((await wire.answer()).status, 401);
  assert.equal((await wire.answer()).json.url, '/api/game/2');
  wire.close();
});

test('[P-43] a refused request with a small body leaves the connection usable', async () => {
  const wire = await Wire.open(gateway.port);
  wire.send('POST /api/users/me HTTP/1.1\r\nHost: a.example\r\nContent-Length: 20\r\n\r\nGET /x HTTP');
  assert.equal((await wire.answer()).status, 401);
  wire.send('/1.1\r\nhos' + get('/api/game/after'));
  assert.equal((await wire.answer()).json.url, '/api/game/after');
  wire.close();
});

test('[P-43] Connection: close and HTTP/1.0 end the connection after the answer', async () => {
  for (const text of [get('/api/game/x', 'Connection: close\r\n'), 'GET /api/game/x HTTP/1.0\r\n\r\n', 'GET /api/game/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n']) {
    const wire = await Wire.open(gateway.port);
    const answer = await wire.send(text).answer();
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.connection, 'close');
    await wire.end();
    wire.close();
  }
});

test('[P-43] a client that has finished sending still gets its answer', async () => {
  const wire = await Wire.open(gateway.port);
  wire.socket.end(get('/api/game/half'));
  assert.equal((await wire.answer()).json.url, '/api/game/half');
  wire.close();
});

test('[P-43] Expect: 100-continue is answered before the body comes', async () => {
  const wire = await Wire.open(gateway.port);
  wire.send('POST /api/game/x HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n');
  assert.equal((await wire.answer()).status, 100);
  wire.send('late');
  const answer = await wire.answer();
  assert.equal(answer.json.body, 'late');
  assert.equal(answer.json.headers.expect, undefined);
  wire.close();
});

test('[P-43] a refused 100-continue request ends the connection instead of waiting for the body', async () => {
  const wire = await Wire.open(gateway.port);
  wire.send('POST /api/users/me HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n');
  assert.equal((await wire.answer()).status, 401);
  await wire.end();
  wire.close();
});

test('[P-43] headers of one connection and forged ones are dropped, ours are added', async () => {
  const forged =
    'Connection: keep-alive, X-Own\r\nX-Own: a\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\nProxy-Connection: x\r\nProxy-Authorization: b\r\n' +
    'Upgrade: h2c\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n' +
    'X_Forwarded_For: 6.6.6.6\r\nX_Request_Id: 6\r\nX-Kept: yes\r\nCookie: a=b\r\n';
  const answer = await exchange(gateway.port, get('/api/game/x', forged));
  const { headers } = answer.json;
  for (const name of ['x-own', 'keep-alive', 'te', 'proxy-connection', 'proxy-authorization', 'upgrade', 'x-forwarded-host', 'x-real-ip', 'x_forwarded_for', 'x_request_id'])
    assert.equal(headers[name], undefined, name);
  assert.equal(headers['x-kept'], 'yes');
  assert.equal(headers.cookie, 'a=b');
  assert.equal(headers.host, 'a.example');
  assert.equal(headers['x-forwarded-for'], '127.0.0.1');
  assert.equal(headers['x-forwarded-proto'], 'http');
  assert.equal(headers.forwarded, 'for=127.0.0.1;proto=http');
  assert.equal(headers['x-request-id'], answer.headers['x-request-id']);
});

test('[P-46] request id and trace are kept when they are well formed, else made', async () => {
  const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
  const good = await exchange(gateway.port, get('/api/game/x', `X-Request-Id: abc.DEF_1-2\r\ntraceparent: 00-${trace}-00f067aa0ba902b7-01\r\ntracestate: a=b\r\n`));
  assert.equal(good.headers['x-request-id'], 'abc.DEF_1-2');
  assert.equal(good.json.headers['x-request-id'], 'abc.DEF_1-2');
  assert.match(good.json.headers.traceparent, new RegExp(`^00-${trace}-(?!00f067aa0ba902b7)[0-9a-f]{16}-01$`));
  assert.equal(good.json.headers.tracestate, 'a=b');
  for (const bad of [`X-Request-Id: ${'a'.repeat(65)}\r\n`, 'X-Request-Id: a b\r\n', 'X-Request-Id: a"b\r\n']) {
    const made = await exchange(gateway.port, get('/api/game/x', bad));
    assert.match(made.headers['x-request-id'], /^[0-9a-f]{32}$/);
  }
  for (const bad of [`00-${'0'.repeat(32)}-00f067aa0ba902b7-01`, `00-${trace.toUpperCase()}-00f067aa0ba902b7-01`, `ff-${trace}-00f067aa0ba902b7-01`, 'x']) {
    const made = await exchange(gateway.port, get('/api/game/x', `traceparent: ${bad}\r\ntracestate: a=b\r\n`));
    assert.match(made.json.headers.traceparent, /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    assert.ok(!made.json.headers.traceparent.includes(trace));
    assert.equal(made.json.headers.tracestate, undefined);
  }
});

test('[P-46][D-54] a trace that begins at the gateway has no parent, also behind one on the same connection that had', async (t) => {
  const spans = [];
  const collector = keep(t, await Service.start((req, res) => {
    const parts = [];
    req.on('data', (part) => parts.push(part)).on('end', () => {
      for (const { scopeSpans } of JSON.parse(Buffer.concat(parts)).resourceSpans) for (const scope of scopeSpans) spans.push(...scope.spans);
      res.end('{}');
    });
  }));
  const own = keep(t, await Gateway.start({ services: { 'game-svc': service }, settings: { THREADS: '1', OTLP_URL: `http://${collector.address}/v1/traces`, TRACE_PERCENT: '100' } }));
  const wire = keep(t, await Wire.open(own.port));
  const theirs = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'];
  const made = [];
  for (const header of [`traceparent: 00-${theirs[0]}-${theirs[1]}-01\r\n`, '', `traceparent: 00-${theirs[0]}-${theirs[1]}-01\r\n`, 'traceparent: x\r\n'])
    made.push((await wire.send(get('/api/game/x', header)).answer()).json.headers.traceparent.split('-'));
  for (const [i, [, trace, span, flags]] of made.entries()) {
    const told = await eventually(15000, () => spans.find(({ spanId }) => spanId === span), 'the span of the gateway');
    assert.deepEqual([told.traceId, told.parentSpanId || undefined, flags], [trace, i % 2 ? undefined : theirs[1], '01']);
    assert.equal(trace === theirs[0], i % 2 === 0);
  }
  assert.notEqual(made[1][1], made[3][1]);
});

test('[P-43] paths go to the longest prefix of whole segments; /internal and others go nowhere', async () => {
  const reply = await request('GET', `${gateway.url}/api/auth/availability`);
  assert.equal(reply.status, 200);
  for (const path of ['/', '/api', '/api/usersx', '/internal/revoked', '/internal', '/api/game2', '/%69nternal/revoked', '/metrics', '/registry', '/readyz']) {
    const refused = await request('GET', gateway.url + path);
    assert.equal(refused.status, 404, path);
    assert.equal(refused.problem, 'not_found');
  }
});

test('[P-43] the target is passed on byte for byte', async () => {
  const target = '/api/game/%41b%20c;x=1,2/~u(1)*!?q[]=%E2%82%AC&z={|}^`&e=';
  const answer = await exchange(gateway.port, get(target));
  assert.equal(answer.json.url, target);
  const absolute = await exchange(gateway.port, 'GET http://a.example/api/game/z?y HTTP/1.1\r\nHost: a.example\r\n\r\n');
  assert.equal(absolute.json.url, '/api/game/z?y');
});

test('[P-43] bodies over the cap of a route are refused, by length at once and in chunks when it is reached', async () => {
  const before_ = service.seen.length;
  const big = await exchange(gateway.port, 'POST /api/game/x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 104857600\r\n\r\n');
  assert.equal(big.status, 413);
  assert.equal(big.json.code, 'body_too_large');
  assert.equal(service.seen.length, before_);
  const wire = await Wire.open(gateway.port);
  wire.send('POST /api/game/x HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n');
  const chunk = `4000\r\n${'x'.repeat(0x4000)}\r\n`;
  for (let i = 0; i < 8; i++) wire.send(chunk);
  assert.equal((await wire.answer()).status, 413);
  wire.close();
});

test('[P-43] 100 MB of body to a refusing gateway: a reply arrives and memory stays flat', async () => {
  const memory = gateway.memory().Pss;
  const wire = await Wire.open(gateway.port);
  wire.send('POST /api/game/x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 104857600\r\n\r\n');
  const piece = Buffer.alloc(1 << 20);
  for (let i = 0; i < 100 && !wire.closed && !wire.error; i++) {
    if (!wire.socket.write(piece)) await Promise.race([new Promise((resolve) => wire.socket.once('drain', resolve)), new Promise((resolve) => wire.socket.once('close', resolve))]);
  }
  assert.equal((await wire.answer()).status, 413);
  assertFlat(gateway, memory, 3000);
  wire.close();
});

test('[P-43] a large body streams through, both ways, and memory stays flat', async () => {
  const token = authority.token();
  const memory = gateway.memory().Pss;
  const body = Buffer.alloc(5 * 1024 * 1024, 'abcdefg');
  const replies = await Promise.all(Array.from({ length: 8 }, () => request('PUT', `${gateway.url}/api/users/me/avatar`, { token, body })));
  for (const reply of replies) assert.equal(reply.json.length, body.length);
  assertFlat(gateway, memory, 6000);
});

test('[P-43] answers of every framing arrive whole', async (t) => {
  const big = 'z'.repeat(300000);
  const raw = await RawService.start((socket, head) => {
    const path = head.split(' ')[1];
    if (path.endsWith('/length')) socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${big.length}\r\n\r\n${big}`);
    else if (path.endsWith('/chunks')) socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX: y\r\n\r\n');
    else if (path.endsWith('/close')) socket.end(`HTTP/1.1 200 OK\r\n\r\n${big}`);
    else if (path.endsWith('/close10')) socket.end('HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold');
    else if (path.endsWith('/none')) socket.write('HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n');
    else if (path.endsWith('/304')) socket.write('HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 99\r\n\r\n');
    else if (path.endsWith('/early')) socket.write('HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    else if (path.endsWith('/slow')) for (const [i, c] of [...'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'].entries()) setTimeout(() => socket.write(c), i * 2);
  });
  t.after(() => raw.close());
  const own = await Gateway.start({ services: { 'game-svc': raw } });
  t.after(() => own.close());
  const wire = await Wire.open(own.port);
  const ask = (path, options) => wire.send(get(`/api/game/${path}`)).answer(options);
  assert.equal((await ask('length')).body, big);
  const chunks = await ask('chunks');
  assert.equal(chunks.body, 'abcde');
  assert.equal(chunks.headers.trailer, undefined);
  const close = await ask('close');
  assert.equal(close.body, big);
  assert.equal(close.headers['transfer-encoding'], 'chunked');
  assert.equal((await ask('close10')).body, 'old');
  const none = await ask('none');
  assert.equal(none.status, 204);
  assert.equal(none.headers['content-length'], undefined);
  assert.equal((await ask('304')).status, 304);
  assert.equal((await ask('early')).body, 'ok');
  assert.equal((await ask('slow')).body, 'ok');
  wire.close();
  const old = await exchange(own.port, 'GET /api/game/chunks HTTP/1.0\r\n\r\n');
  assert.equal(old.body, 'abcde');
  assert.equal(old.headers['transfer-encoding'], undefined);
});

test('[P-43] a slow reader slows the service down; nothing is buffered without bound', async (t) => {
  let written = 0;
  const flood = await Service.start((req, res) => {
    res.writeHead(200, { 'Content-Length': 64 << 20 });
    const piece = Buffer.alloc(65536, 'y');
    const more = () => {
      while (written < 64 << 20) {
        written += piece.length;
        if (!res.write(piece)) return res.once('drain', more);
      }
      res.end();
    };
    more();
  });
  t.after(() => flood.close());
  const own = await Gateway.start({ services: { 'game-svc': flood } });
  t.after(() => own.close());
  const memory = own.memory().Pss;
  const wire = await Wire.open(own.port);
  wire.socket.pause();
  wire.send(get('/api/game/x'));
  let before_ = -1;
  await eventually(10000, () => {
    const still = written > 0 && written === before_;
    before_ = written;
    return still;
  }, 'the service stops writing', 300);
  assert.ok(written < 32 << 20, `${written} bytes were taken from the service`);
  assertFlat(own, memory, 2000);
  let read = 0;
  wire.socket.on('data', (part) => {
    read += part.length;
    wire.bytes = Buffer.alloc(0);
  });
  wire.socket.resume();
  await eventually(20000, () => read >= 64 << 20, 'the rest arrives once the client reads');
  wire.close();
});

test('[P-46] every request is one line of the access log, without secrets', async () => {
  await request('GET', `${gateway.url}/api/game/log?ticket=SECRET1&a=b&code=SECRET2&state=SECRET3&expires=SECRET4&signature=SECRET5&Token=SECRET6`);
  const user = newUser();
  await request('GET', `${gateway.url}/api/users/log`, { token: authority.token(user) });
  const line = await eventually(3000, () => gateway.events('request').find((entry) => entry['url.original']?.startsWith('/api/game/log')));
  assert.equal(line['url.original'], '/api/game/log?ticket=***&a=b&code=***&state=***&expires=***&signature=***&Token=***');
  assert.equal(line['http.request.method'], 'GET');
  assert.equal(line['http.response.status_code'], 200);
  assert.equal(line['client.ip'], '127.0.0.1');
  assert.match(line['http.request.id'], /^[0-9a-f]{32}$/);
  const withUser = await eventually(3000, () => gateway.events('request').find((entry) => entry['url.original'] === '/api/users/log'));
  assert.equal(withUser['user.id'], user.sub);
  assert.ok(!gateway.lines.join('\n').includes('SECRET'));
  assert.ok(!gateway.lines.join('\n').includes('eyJ'));
});

test('[P-48] metrics count per route and instance, on the admin port only', async () => {
  await request('GET', `${gateway.url}/api/game/count`);
  await eventually(4000, async () => (await gateway.metric('madang_gateway_requests_total', 'route="/api/game",service="game-svc",status="2xx"')) > 0);
  await eventually(4000, async () => (await gateway.metric('madang_gateway_upstream_requests_total', 'service="game-svc"')) > 0);
  assert.ok((await gateway.metric('madang_gateway_request_seconds_count', 'route="/api/game"')) > 0);
});

test('[P-43] a client that goes away takes its request at the service with it', async (t) => {
  let closed = 0;
  const slow = await Service.start((req, res) => res.on('close', () => closed++));
  t.after(() => slow.close());
  const own = await Gateway.start({ services: { 'game-svc': slow } });
  t.after(() => own.close());
  const wire = await Wire.open(own.port);
  wire.send(get('/api/game/x'));
  await eventually(3000, () => slow.seen.length === 1);
  wire.close();
  await eventually(4000, () => closed === 1, 'the service sees its connection end');
  await eventually(4000, async () => (await own.metric('madang_gateway_cancelled_total')) === 1);
});
