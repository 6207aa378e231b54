// Instances that go, come, hang and lie: what the gateway retries, what it must not, and how it learns who is there.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import { test } from 'node:test';
import { pause } from '../support/wait.mjs';
import { Authority, eventually, exchange, Gateway, get, keep, Lease, RawService, Redis, Service, Wire } from './world.mjs';

const P = '/api/game/x';
const post = (body, headers = '') => `POST ${P} HTTP/1.1\r\nHost: a.example\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${headers}\r\n${body}`;
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const echoBody = (req, res) => {
  const parts = [];
  req.on('data', (part) => parts.push(part));
  req.on('end', () => res.end(Buffer.concat(parts)));
};

test('[P-44] a port that refuses: another instance answers, every method, bodies too', async (t) => {
  const good = keep(t, await Service.start(echoBody));
  const own = keep(t, await Gateway.start({ services: { 'game-svc': ['127.0.0.1:1', good] } }));
  for (let i = 0; i < 40; i++) {
    const answer = await exchange(own.port, i % 2 ? get(P) : post(`body ${i}`));
    assert.equal(answer.status, 200);
    assert.equal(answer.body, i % 2 ? '' : `body ${i}`);
  }
  assert.ok(own.events('upstream_failed').length >= 1);
});

test('[P-44] no instance at all: 503 with Retry-After, at once', async (t) => {
  const own = keep(t, await Gateway.start({ services: { 'game-svc': '127.0.0.1:1' } }));
  for (const path of [P, '/api/candles']) {
    const answer = await exchange(own.port, get(path));
    assert.equal(answer.status, 503);
    assert.equal(answer.json.code, 'unavailable');
    assert.equal(answer.headers['retry-after'], '1');
  }
});

test('[P-44] the breaker opens after failures in a row and closes when the instance is back', async (t) => {
  const service = await Service.start();
  const { port } = service;
  await service.close();
  const own = keep(t, await Gateway.start({ services: { 'game-svc': `127.0.0.1:${port}` }, settings: { THREADS: '1' } }));
  for (let i = 0; i < 6; i++) assert.equal((await exchange(own.port, get(P))).status, 503);
  const breaker = async () => (await own.registry()).services[0].instances[0].breaker;
  await eventually(5000, async () => (await breaker()) !== 'closed', 'the page shows an open breaker');
  const back = await Service.start();
  t.after(() => back.close());
  await new Promise((resolve) => back.server.close(resolve));
  await back.listen(port);
  await eventually(12000, async () => (await exchange(own.port, get(P))).status === 200, 'it is used again');
  await eventually(5000, async () => (await breaker()) === 'closed', 'the page shows a closed breaker');
});

// ---- kept connections that end ----------------------------------------------------------------------------------------

/** Answers the first request of a connection; what then happens is the test's. */
const afterFirst = (then) => (socket, head) => {
  socket.count = (socket.count ?? 0) + 1;
  if (socket.count === 1) socket.write(OK);
  else then(socket, head);
};

test('[P-44] a kept connection that the service had closed: retried for every method', async (t) => {
  // The service closes right after its answer; whether the gateway notices before it sends the next request is a race that
  // many rounds hit from both sides.
  const raw = keep(t, await RawService.start((socket) => socket.end(OK)));
  const own = keep(t, await Gateway.start({ services: { 'game-svc': raw }, settings: { THREADS: '1' } }));
  const wire = await Wire.open(own.port);
  for (let i = 0; i < 300; i++) {
    const answer = await wire.send(i % 2 ? get(P) : post('hi')).answer();
    assert.equal(answer.status, 200, `round ${i}: ${answer.body}`);
  }
  wire.close();
});

test('[P-44] a request that meets a connection which had just ended is sent again, POST too', async (t) => {
  const raw = keep(t, await RawService.start((socket) => socket.write(OK)));
  const own = keep(t, await Gateway.start({ services: { 'game-svc': raw }, settings: { THREADS: '1' } }));
  const wire = await Wire.open(own.port);
  for (let round = 1; round <= 5; round++) {
    assert.equal((await wire.send(get(P)).answer()).status, 200);
    const kept = [...raw.sockets];
    assert.equal(kept.length, 1);
    // While the gateway stands still the request arrives first, then the end of the connection it will choose.
    own.signal('SIGSTOP');
    await eventually(2000, () => /^State:\s+T/m.test(fs.readFileSync(`/proc/${own.child.pid}/status`, 'utf8')));
    wire.send(post('hi'));
    await eventually(2000, () => wire.socket.writableLength === 0);
    kept[0].destroy();
    await eventually(2000, () => raw.sockets.size === 0);
    own.signal('SIGCONT');
    const answer = await wire.answer();
    assert.equal(answer.status, 200, answer.body);
    await eventually(3000, async () => (await own.metric('madang_gateway_retries_total')) === round, 'it was sent a second time');
  }
  wire.close();
});

test('[P-44] lost after the request was sent: idempotent requests are retried once, others are not', async (t) => {
  const count = {};
  const raw = keep(
    t,
    await RawService.start((socket, head) => {
      const key = head.split(' ').slice(0, 2).join(' ');
      count[key] = (count[key] ?? 0) + 1;
      if (head.includes('/first')) socket.write(OK);
      else if (head.includes('/once') && count[key] > 1) socket.write(OK);
      else socket.destroy();
    }),
  );
  const authority = keep(t, await Authority.start());
  const own = keep(t, await Gateway.start({ services: { 'game-svc': raw }, authority, settings: { THREADS: '1' } }));
  const ask = async (method, path, headers = '') => {
    // a fresh connection to the service and a kept one must make no difference
    const text = `${method} /api/game/${path} HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n${headers}\r\n`;
    assert.equal((await exchange(own.port, get('/api/game/first'))).status, 200);
    return exchange(own.port, text);
  };
  for (const method of ['GET', 'PUT', 'DELETE']) assert.equal((await ask(method, 'once')).status, 200, method);
  assert.equal((await ask('POST', 'once/key', `Idempotency-Key: "a"\r\nAuthorization: Bearer ${authority.token()}\r\n`)).status, 200);
  // a key of nobody is kept by no service: the second one would do it again
  for (const [method, path, headers] of [['POST', 'once/plain'], ['PATCH', 'once/plain'], ['POST', 'once/nobody', 'Idempotency-Key: "a"\r\n']]) {
    const answer = await ask(method, path, headers);
    assert.equal(answer.status, 502);
    assert.equal(answer.json.code, 'outcome_unknown');
    assert.equal(count[`${method} /api/game/${path}`], 1, 'it reached a handler once and no more');
  }
  const put = await ask('PUT', 'never');
  assert.equal(put.json.code, 'outcome_unknown');
  assert.equal(count['PUT /api/game/never'], 2);
  const read = await ask('GET', 'never');
  assert.equal(read.json.code, 'bad_gateway');
});

test('[P-44] a reset after the request was read is not taken for an untouched connection', async (t) => {
  let posts = 0;
  const raw = keep(
    t,
    await RawService.start(
      afterFirst((socket) => {
        posts++;
        socket.resetAndDestroy();
      }),
    ),
  );
  const own = keep(t, await Gateway.start({ services: { 'game-svc': raw }, settings: { THREADS: '1' } }));
  assert.equal((await exchange(own.port, get(P))).status, 200);
  const answer = await exchange(own.port, post('hi'));
  assert.equal(answer.json.code, 'outcome_unknown');
  assert.equal(posts, 1);
});

test('[P-44] bodies up to 64 KiB are kept for a second try, larger ones are not', async (t) => {
  let calls = 0;
  const good = keep(t, await Service.start(echoBody));
  // reads everything, then goes away
  const bad = keep(
    t,
    await Service.start((req) => {
      calls++;
      req.on('data', () => {}).on('end', () => req.socket.destroy());
    }),
  );
  const authority = keep(t, await Authority.start());
  const own = keep(t, await Gateway.start({ services: { 'user-svc': [bad, good] }, authority, settings: { THREADS: '1' } }));
  const put = (size) =>
    exchange(own.port, `PUT /api/users/me/avatar HTTP/1.1\r\nHost: a.example\r\nAuthorization: Bearer ${authority.token()}\r\nContent-Length: ${size}\r\n\r\n${'x'.repeat(size)}`);
  for (let i = 0; i < 12; i++) {
    const small = await put(60000);
    assert.equal(small.status, 200);
    assert.equal(small.body.length, 60000);
  }
  assert.ok(calls > 0, 'the bad one was tried');
  const large = [];
  await eventually(20000, async () => {
    const answer = await put(300000);
    large.push(answer.status === 200 ? 200 : answer.json.code);
    return large.includes(200) && large.includes('outcome_unknown');
  }, 'a large one ends well or with an unknown outcome');
  assert.deepEqual([...new Set(large)].sort(), [200, 'outcome_unknown']);
});

// ---- the registry -----------------------------------------------------------------------------------------------------

/** Load until stopped: every reply counted by status. Keeps `width` requests going. */
function load(port, width, make) {
  const counts = {};
  const failures = [];
  const agent = new http.Agent({ keepAlive: true, maxSockets: width });
  let going = true;
  const one = () =>
    new Promise((resolve) => {
      const options = make();
      const outgoing = http.request({ port, host: '127.0.0.1', agent, ...options }, (res) => {
        let text = '';
        res.on('data', (part) => (text += part));
        res.on('end', () => {
          counts[res.statusCode] = (counts[res.statusCode] ?? 0) + 1;
          if (res.statusCode >= 500) failures.push(`${options.method ?? 'GET'} ${res.statusCode} ${text}`);
          resolve();
        });
        res.on('error', resolve);
      });
      outgoing.on('error', (error) => {
        failures.push(`${options.method ?? 'GET'} ${error.message}`);
        resolve();
      });
      outgoing.end(options.body);
    });
  const runners = Array.from({ length: width }, async () => {
    while (going) await one();
  });
  return {
    counts,
    failures,
    total: () => Object.values(counts).reduce((a, b) => a + b, 0),
    stop: async () => {
      going = false;
      await Promise.all(runners);
      agent.destroy();
    },
  };
}

const busy = (req, res) => {
  const parts = [];
  req.on('data', (part) => parts.push(part)).on('end', () => setTimeout(() => res.end(Buffer.concat(parts)), 2));
};

test('[P-44] instances are found by the registry; a draining one fails no request', async (t) => {
  const redis = keep(t, await Redis.start());
  const [one, two] = [keep(t, await Service.start(busy)), keep(t, await Service.start(busy))];
  const own = keep(t, await Gateway.start({ redis }));
  assert.equal((await exchange(own.port, get(P))).status, 503);
  const leases = [keep(t, await Lease.take(redis, 'game-svc', one.address)), keep(t, await Lease.take(redis, 'game-svc', two.address))];
  await eventually(5000, async () => (await exchange(own.port, get(P))).status === 200, 'the first answer');
  await eventually(7000, async () => (await own.registry()).services.find((s) => s.service === 'game-svc')?.instances.length === 2, 'both are there');
  const running = load(own.port, 16, () => (Math.random() < 0.5 ? { path: P } : { path: P, method: 'POST', body: 'x' }));
  await eventually(5000, () => one.seen.length > 50 && two.seen.length > 50, 'both work');
  // as a daemon does at SIGTERM: draining first, Connection: close on every answer, then it goes
  await leases[0].set('draining');
  one.server.keepAliveTimeout = 1;
  one.handler = (req, res) => {
    res.setHeader('Connection', 'close');
    busy(req, res);
  };
  await eventually(7000, async () => {
    const told = (await own.registry()).services.find((s) => s.service === 'game-svc')?.instances.find((i) => i.address === one.address);
    return told === undefined || (told.state === 'draining' && told.in_flight === 0);
  }, 'the gateway knows, and nothing is under way there');
  await eventually(7000, async () => {
    const before = one.seen.length;
    await pause(300);
    return one.seen.length === before;
  }, 'no more requests reach it');
  await leases[0].close();
  await one.kill();
  const before = running.total();
  await eventually(20000, () => running.total() > before + 200, 'load goes on');
  await running.stop();
  assert.deepEqual(running.failures, []);
});

test('[P-48] the registry page drains an instance and takes it back, and takes no order from another page', async (t) => {
  const redis = keep(t, await Redis.start());
  const authority = keep(t, await Authority.start());
  const one = keep(t, await Service.start((req, res) => res.end('one')));
  const two = keep(t, await Service.start((req, res) => res.end('two')));
  const own = keep(t, await Gateway.start({ redis, authority }));
  const leases = [keep(t, await Lease.take(redis, 'game-svc', one.address, { instance: 'game-1' })), keep(t, await Lease.take(redis, 'game-svc', two.address, { instance: 'game-2' }))];
  const stateOf = async (name) => (await own.registry()).services.find((s) => s.service === 'game-svc')?.instances.find((i) => i.instance === name)?.state;
  assert.equal(leases.length, 2);
  await eventually(8000, async () => (await stateOf('game-1')) === 'up' && (await stateOf('game-2')) === 'up', 'both are up');
  const page = await (await fetch(`${own.admin}/registry`, { headers: { Accept: 'text/html' } })).text();
  const link = /href="([^"]*instance=game-1[^"]*)"/.exec(page)[1].replaceAll('&amp;', '&');
  const question = await (await fetch(own.admin + link, { headers: { Accept: 'text/html' } })).text();
  assert.match(question, /Drain <b>game-1<\/b> of game-svc/);
  assert.doesNotMatch(question, /No other instance/);
  assert.equal(await redis.command('EXISTS', 'registry-drain:game-svc:game-1'), ':0', 'nothing happens before somebody says yes');
  const action = /action="([^"]*instance=game-1[^"]*)"/.exec(question)[1].replaceAll('&amp;', '&');
  for (const wrong of ['service=game-svc&instance=nobody&on=1', 'service=%3Cb%3E&instance=game-1&on=1']) assert.equal((await fetch(`${own.admin}/registry/drain?${wrong}`)).status, 404, wrong);
  assert.equal((await fetch(own.admin + action, { method: 'POST', headers: { Origin: 'http://elsewhere.test' }, redirect: 'manual' })).status, 403);
  assert.equal((await fetch(`${own.admin}/registry/drain?service=game-svc&instance=nobody&on=1`, { method: 'POST', redirect: 'manual' })).status, 404);
  assert.equal((await fetch(`${own.admin}/registry/drain?service=game-svc&instance=game-1`, { method: 'POST', redirect: 'manual' })).status, 400);
  assert.equal((await fetch(own.admin + action, { method: 'POST', redirect: 'manual' })).status, 303);
  assert.equal(await redis.command('EXISTS', 'registry-drain:game-svc:game-1'), ':1');
  assert.equal((await fetch(own.admin + action.replace('on=1', 'on=0'), { method: 'POST', redirect: 'manual' })).status, 303);
  assert.equal(await redis.command('EXISTS', 'registry-drain:game-svc:game-1'), ':0');
});

test('[P-48] beside an instance of another weight each gets its share: a canary', async (t) => {
  const redis = keep(t, await Redis.start());
  const [stable, canary] = [keep(t, await Service.start((req, res) => res.end('stable'))), keep(t, await Service.start((req, res) => res.end('canary')))];
  const own = keep(t, await Gateway.start({ redis }));
  const leases = [keep(t, await Lease.take(redis, 'game-svc', stable.address, { weight: 90 })), keep(t, await Lease.take(redis, 'game-svc', canary.address, { weight: 10 }))];
  await eventually(8000, async () => (await own.registry()).services.find((s) => s.service === 'game-svc')?.instances.filter((i) => i.state === 'up').length === 2, 'both are up');
  // A thread of the gateway hears of instances and weights a moment after the page does.
  await eventually(8000, async () => (await exchange(own.port, get(P))).status === 200 && stable.seen.length && canary.seen.length, 'both work');
  const ask = async (times) => {
    const [before, first] = [canary.seen.length, stable.seen.length];
    const total = () => canary.seen.length - before + stable.seen.length - first;
    for (let i = 0; i < 2 * times && total() < times; i++) await exchange(own.port, get(P));
    return { canary: canary.seen.length - before, stable: stable.seen.length - first };
  };
  // Of 1000 independent draws at one in ten 100 +- 9.5: seven deviations either way.
  const share = await ask(1000);
  assert.equal(share.canary + share.stable, 1000);
  assert.ok(share.canary > 33 && share.canary < 167, `${share.canary} of 1000`);
  // The operator turns the weights round: the new version is the one that stays.
  for (const [i, weight] of [[0, 10], [1, 90]]) {
    leases[i].weight = weight;
    await leases[i].write();
  }
  await eventually(20000, async () => (await ask(100)).canary > 70, 'most go to the new version');
});

test('[P-44] an instance that is killed fails no idempotent request, and gets none after 6 s and one re-read', async (t) => {
  const redis = keep(t, await Redis.start());
  const [one, two] = [keep(t, await Service.start(busy)), keep(t, await Service.start(busy))];
  const leases = [keep(t, await Lease.take(redis, 'game-svc', one.address)), keep(t, await Lease.take(redis, 'game-svc', two.address))];
  const authority = keep(t, await Authority.start());
  const own = keep(t, await Gateway.start({ redis, authority }));
  await eventually(7000, async () => (await own.registry()).services.find(({ service }) => service === 'game-svc')?.instances.length === 2, 'both are there');
  const running = load(own.port, 16, () => {
    const dice = Math.random();
    if (dice < 0.5) return { path: P };
    return dice < 0.75 ? { path: P, method: 'PUT', body: 'x' } : { path: P, method: 'POST', body: 'x', headers: { 'Idempotency-Key': `"${dice}"`, Authorization: `Bearer ${authority.token()}` } };
  });
  await eventually(5000, () => one.seen.length > 50 && two.seen.length > 50, 'both work');
  const { port } = one;
  leases[0].vanish();
  await one.kill();
  // From now on its port counts who still knocks.
  let knocks = [];
  const ghost = keep(t, await Service.start());
  ghost.server.on('connection', () => knocks.push(performance.now()));
  await new Promise((resolve) => ghost.server.close(resolve));
  await eventually(15000, async () => {
    const entry = (await own.registry()).services[0].instances.find((i) => i.address === one.address);
    return !entry || entry.state === 'suspect';
  }, 'it is suspect or gone');
  await ghost.listen(port);
  knocks = [];
  const before = running.total();
  await eventually(20000, () => running.total() > before + 500, 'load goes on');
  assert.deepEqual(ghost.seen, [], 'nothing is sent to a suspect instance while another is up');
  await running.stop();
  assert.deepEqual(running.failures, []);
});

test('[P-44] Redis paused, restarted and wiped: traffic goes on', { timeout: 60000 }, async (t) => {
  const redis = keep(t, await Redis.start());
  const service = keep(t, await Service.start(busy));
  keep(t, await Lease.take(redis, 'game-svc', service.address));
  const own = keep(t, await Gateway.start({ redis }));
  await eventually(7000, async () => (await exchange(own.port, get(P))).status === 200);
  const running = load(own.port, 8, () => ({ path: P }));
  redis.pause();
  await eventually(15000, async () => (await own.registry()).stale, 'the page says that the table is old');
  let before = running.total();
  await eventually(20000, () => running.total() > before + 300, 'load goes on without Redis');
  redis.resume();
  await eventually(15000, async () => !(await own.registry()).stale, 'the table is fresh again');
  redis.child.kill('SIGKILL');
  await eventually(10000, async () => (await own.registry()).stale);
  await redis.run();
  await eventually(15000, async () => !(await own.registry()).stale, 'and again after a restart with nothing in it');
  before = running.total();
  await eventually(20000, () => running.total() > before + 300);
  await running.stop();
  assert.deepEqual(running.failures, []);
});

test('[P-44] the registry page tells services, instances, states, in flight, latency, errors and breakers', async (t) => {
  const service = keep(t, await Service.start((req, res) => res.writeHead(req.url.endsWith('bad') ? 500 : 200).end()));
  const own = keep(t, await Gateway.start({ services: { 'game-svc': service, 'user-svc': service } }));
  for (let i = 0; i < 3; i++) await exchange(own.port, get(P));
  await exchange(own.port, get('/api/game/bad'));
  const entry = await eventually(4000, async () => {
    const found = (await own.registry()).services.find((s) => s.service === 'game-svc').instances[0];
    return found.requests === 4 && found;
  });
  assert.equal(entry.state, 'up');
  assert.equal(entry.errors, 1);
  assert.equal(entry.error_percent, 25);
  assert.equal(entry.breaker, 'closed');
  assert.equal(entry.in_flight, 0);
  assert.ok(entry.latency_ms > 0, 'how long its answers took to begin');
  const page = await fetch(`${own.admin}/registry`, { headers: { Accept: 'text/html,*/*' } });
  assert.match(page.headers.get('content-type'), /text\/html/);
  const html = await page.text();
  for (const text of ['game-svc', 'user-svc', service.address, 'closed', 'up']) assert.ok(html.includes(text), text);
});

test('[P-44] the gateway announces itself and leaves the registry when it stops', async (t) => {
  const redis = keep(t, await Redis.start());
  const own = await Gateway.start({ redis, settings: { INSTANCE: 'gateway-a' } });
  await eventually(5000, async () => (await redis.command('EXISTS', 'registry:gateway:gateway-a')) === ':1');
  await own.close();
  assert.equal(await redis.command('EXISTS', 'registry:gateway:gateway-a'), ':0');
});

test('[P-44] draining: ready says no, answers say close, what is in flight ends well, tunnels end last', async (t) => {
  let release;
  const slow = keep(t, await Service.start((req, res) => (req.url.endsWith('slow') ? (release = () => res.end('done')) : res.end('ok'))));
  const authority = keep(t, await Authority.start());
  const own = await Gateway.start({ services: { 'game-svc': slow }, authority, redis: keep(t, await Redis.start()), settings: { DRAIN_SECONDS: '1' } });
  const kept = await Wire.open(own.port);
  assert.equal((await kept.send(get(P)).answer()).headers.connection, undefined);
  const waiting = await Wire.open(own.port);
  waiting.send(get('/api/game/slow'));
  await eventually(2000, () => release);
  own.signal('SIGTERM');
  await eventually(3000, async () => (await fetch(`${own.admin}/readyz`)).status === 503, 'not ready any more');
  const answer = await kept.send(get(P)).answer();
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.connection, 'close');
  await eventually(5000, async () => (await Wire.open(own.port).then((w) => (w.close(), false), () => true)), 'no new connections');
  release();
  assert.equal((await waiting.answer()).body, 'done');
  await own.close().catch((error) => assert.match(error.message, /ended with 0/));
  assert.equal(own.child.exitCode, 0);
  kept.close();
  waiting.close();
});
