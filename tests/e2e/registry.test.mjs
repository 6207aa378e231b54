// Instances that leave, die and come: no request of a client fails for it. Redis goes, pauses and forgets: nobody but the registry notices.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Api, request } from '../support/http.mjs';
import { load } from '../support/load.mjs';
import { crowd, logIn, newcomer, signUp } from '../support/people.mjs';
import { registryOf, runService } from '../support/single.mjs';
import { allReady, crash, crashStore, env, gateways as addresses, instances, isReady, redis, replaced, signal } from '../support/stack.mjs';
import { eventually, pause } from '../support/wait.mjs';

const long = process.env.SOAK === '1';
const doors = addresses();
const gateways = instances('gateway');

/** Clients that read and write through both gateways; `idempotent`: only what may be repeated. */
async function traffic(t, clients, { idempotent }) {
  const people = await crowd(8);
  for (const person of people)
    await eventually(10000, async () => (await person.api.get('/api/users/me')).status === 200, 'everybody is known');
  const acts = [
    (api) => api.get('/api/users/me'),
    (api) => api.get('/api/friends'),
    (api, other) => api.put(`/api/friends/requests/${other.id}`),
    (api, other) => api.delete(`/api/friends/requests/${other.id}`),
    (api) => api.get('/api/friends/requests?direction=out'),
    (api, other) => api.get(`/api/users/${other.id}`),
  ];
  if (!idempotent)
    acts.push(
      (api) => api.patch('/api/users/me', { bio: `${Math.random()}` }),
      (api, other) => api.post(`/api/friends/requests/${other.id}/reject`),
    );
  const running = load(clients, (client, turn) => {
    const one = people[client % 8],
      other = people[(client + 1 + (turn % 6)) % 8];
    return acts[turn % acts.length](new Api(doors[client % doors.length], one.access), other);
  });
  t.after(() => running.stop());
  return running;
}

test('[P-44] the registry page lists every instance of every service, as HTML and JSON', async () => {
  for (const gateway of instances('gateway')) {
    for (const service of ['auth-svc', 'user-svc']) {
      await eventually(
        10000,
        async () => (await registryOf(gateway, service)).filter((item) => item.state === 'up').length === 2,
        `${gateway.name} sees two ${service}`,
      );
    }
    const page = await request('GET', `${gateway.admin}/registry`, { headers: { Accept: 'text/html' } });
    assert.match(page.headers['content-type'], /text\/html/);
    for (const { name } of [...instances('auth-svc'), ...instances('user-svc')]) assert.ok(page.text.includes(name), name);
  }
});

test('[P-44][K-05] kill -TERM of one user-svc under load: zero failed requests', async (t) => {
  const running = await traffic(t, 24, { idempotent: false });
  await running.more(500);
  for (const instance of instances('user-svc')) {
    const pid = signal(instance.name, 'SIGTERM');
    await replaced(instance.name, pid, 30000);
    await eventually(20000, () => isReady(instance), `${instance.name} is back`);
    await running.more(500);
  }
  const { done, wrong } = await running.stop();
  assert.deepEqual(wrong, [], `of ${done} requests`);
});

test('[P-44][K-05] kill -TERM of one auth-svc under log-ins and refreshes: zero failed requests', async (t) => {
  const people = await Promise.all(Array.from({ length: 6 }, () => newcomer()));
  const running = load(
    6,
    async (client, turn) => {
      const person = people[client];
      if (turn % 4 === 0) {
        const reply = await new Api(doors[client % doors.length]).post('/api/auth/login', {
          login: person.email,
          password: person.password,
        });
        if (reply.status === 200) person.refresh = reply.json.refresh_token;
        return reply;
      }
      const reply = await new Api(doors[client % doors.length]).post('/api/auth/refresh', { refresh_token: person.refresh });
      if (reply.status === 200) person.refresh = reply.json.refresh_token;
      return reply;
    },
    (reply, error) => (error ? `no reply: ${error.message}` : reply.status !== 200 ? `${reply.status} ${reply.text}` : undefined),
  );
  t.after(() => running.stop());
  await running.more(100);
  const [instance] = instances('auth-svc');
  const pid = signal(instance.name, 'SIGTERM');
  await replaced(instance.name, pid, 30000);
  await eventually(20000, () => isReady(instance), 'auth-svc is back');
  await running.more(100);
  const { done, wrong } = await running.stop();
  assert.deepEqual(wrong, [], `of ${done} requests`);
});

test('[P-44] kill -9 of one user-svc under load: zero failed idempotent requests', async (t) => {
  const running = await traffic(t, 24, { idempotent: true });
  await running.more(500);
  for (const instance of instances('user-svc')) {
    const seen = (gateway) => registryOf(gateway, 'user-svc').then((list) => list.find((item) => item.instance === instance.name));
    const before = await Promise.all(gateways.map(seen));
    await crash(instance);
    await running.more(500);
    // It is back for its clients when every thread of the gateways has heard of it: only then may the other one go.
    for (const [i, gateway] of gateways.entries())
      await eventually(10000, async () => {
        const item = await seen(gateway);
        return item?.state === 'up' && item.everywhere && item.started_at !== before[i].started_at;
      }, `${gateway.name} sees ${instance.name} again`);
  }
  const { done, wrong } = await running.stop();
  assert.deepEqual(wrong, [], `of ${done} requests`);
});

test('[P-44] a user-svc started by hand takes part with the same tokens; killed, it fails no idempotent request, and soon none is sent there', async (t) => {
  const single = await runService('user-svc');
  try {
    const person = await newcomer();
    const direct = await eventually(
      10000,
      async () => {
        const reply = await new Api(single.url, person.access).get('/api/users/me');
        return reply.status === 200 && reply;
      },
      'it answers the same token',
    );
    const behind = await person.api.get('/api/users/me');
    assert.deepEqual(direct.json, behind.json, 'as the gateway does');
    const forged = await request('GET', `${single.url}/api/users/me`, { headers: { 'X-User-Id': person.id, 'X-User-Role': 'admin' } });
    assert.deepEqual([forged.status, forged.problem], [401, 'token_missing'], 'no header replaces a token');
    const gatewayList = instances('gateway');
    const seen = (gateway) => registryOf(gateway, 'user-svc').then((list) => list.find((item) => item.instance === single.name));
    for (const gateway of gatewayList)
      await eventually(10000, async () => (await seen(gateway))?.state === 'up', `${gateway.name} sees ${single.name}`);

    const running = await traffic(t, 24, { idempotent: true });
    await running.more(500);
    for (const gateway of gatewayList)
      await eventually(10000, async () => (await seen(gateway))?.requests > 0, `${gateway.name} sent requests there`);
    single.kill('SIGKILL');
    const killed = performance.now();
    await running.more(500);
    for (const gateway of gatewayList)
      await eventually(15000, async () => (await seen(gateway))?.state !== 'up', `${gateway.name} has noticed`);
    // 6 s of lease, one re-read of 5 s: from then on nothing goes there, whether it is still shown or not.
    while (performance.now() - killed < 11000) await running.more(10);
    const before = await Promise.all(gatewayList.map(seen));
    await running.more(2000);
    const after = await Promise.all(gatewayList.map(seen));
    gatewayList.forEach((gateway, i) =>
      assert.equal(after[i]?.requests ?? before[i]?.requests, before[i]?.requests, `${gateway.name} sent nothing more there`),
    );
    const { done, wrong } = await running.stop();
    assert.deepEqual(wrong, [], `of ${done} requests`);
    for (const gateway of gatewayList)
      await eventually(30000, async () => (await seen(gateway)) === undefined, `${gateway.name} has forgotten it`);
  } finally {
    single.kill('SIGKILL');
    await single.exited;
  }
});

/** What a wiped or absent Redis must not touch. Returns a check. */
async function belongings() {
  const person = await signUp();
  const kept = await logIn(person),
    revoked = await logIn(person);
  assert.equal((await kept.api.delete(`/api/auth/sessions/${revoked.sid}`)).status, 204);
  const refused = async () => {
    for (const door of doors) assert.equal((await new Api(door, revoked.access).get('/api/users/me')).problem, 'session_ended');
  };
  await eventually(10000, () => refused().then(() => true), 'the revoked one is out');
  return async (what) => {
    for (const door of doors)
      assert.equal((await new Api(door, kept.access).get('/api/users/me')).status, 200, `${what}: the session lives`);
    await refused();
    const next = await new Api(env.GATEWAY_URL).post('/api/auth/refresh', { refresh_token: kept.refresh });
    assert.equal(next.status, 200, `${what}: refresh: ${next.text}`);
    kept.refresh = next.json.refresh_token;
    assert.equal(
      (await new Api(env.GATEWAY_URL).post('/api/auth/refresh', { refresh_token: revoked.refresh })).status,
      401,
      `${what}: the revoked one stays dead`,
    );
    assert.equal((await logIn(person)).user.id, person.id, `${what}: log-in`);
    assert.equal((await newcomer()).user.role, 'user', `${what}: sign-up`);
  };
}

test('[S-06][M-06] FLUSHALL in Redis loses no session, no revocation, no account, and fails no request', async (t) => {
  const check = await belongings();
  const running = await traffic(t, 8, { idempotent: true });
  for (let i = 0; i < 3; i++) {
    redis('FLUSHALL');
    await check('flushed');
    await running.more(100);
  }
  const { done, wrong } = await running.stop();
  assert.deepEqual(wrong, [], `of ${done} requests`);
  for (const service of ['auth-svc', 'user-svc']) {
    await eventually(
      15000,
      () =>
        redis('--raw', 'KEYS', `registry:{${service}}:*`).split('\n').filter(Boolean).length +
          redis('--raw', 'KEYS', `registry:${service}:*`).split('\n').filter(Boolean).length ===
        2,
      `${service} has registered again`,
    );
  }
});

test('[S-06][M-06] kill -9 of Redis: traffic, log-in and refresh go on', async (t) => {
  const check = await belongings();
  const running = await traffic(t, 8, { idempotent: true });
  await crashStore('redis');
  await check('after the crash');
  await running.more(200);
  const { done, wrong } = await running.stop();
  assert.deepEqual(wrong, [], `of ${done} requests`);
  await allReady();
});

test('[S-06] Redis paused: traffic, log-in and refresh go on; only tickets answer 503', { timeout: 180000 }, async (t) => {
  const check = await belongings();
  const running = await traffic(t, 8, { idempotent: true });
  const person = await newcomer();
  const ticket = () => person.api.post('/api/auth/ws-ticket');
  assert.equal((await ticket()).status, 200);
  const pid = signal('redis', 'SIGSTOP');
  try {
    const refused = await eventually(
      10000,
      async () => {
        const reply = await ticket();
        return reply.status !== 200 && reply;
      },
      'tickets are refused',
    );
    assert.deepEqual([refused.status, refused.problem], [503, 'unavailable']);
    assert.ok(Number(refused.headers['retry-after']) > 0);
    // Long enough that calls which Redis finds when it wakes up would lock a person out, if they counted.
    const until = performance.now() + (long ? 30000 : 12000);
    while (performance.now() < until) {
      await check('while Redis is paused');
      await pause(200);
    }
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  await check('after the pause');
  await eventually(10000, async () => (await ticket()).status === 200, 'tickets are given again');
  await running.more(100);
  const { done, wrong } = await running.stop();
  assert.deepEqual(wrong, [], `of ${done} requests`);
  await allReady();
});

test('[P-44][D-53] every user-svc dead at once: a clear 5xx with Retry-After or a late answer, and all is well when they are back', async () => {
  const person = await newcomer();
  const users = instances('user-svc');
  const before = users.map(({ name }) => signal(name, 'SIGKILL'));
  for (let i = 0; i < 20; i++) {
    const reply = await person.api.get('/api/users/me');
    assert.ok([200, 502, 503, 504].includes(reply.status), `${reply.status}`);
    if (reply.status >= 500) assert.match(reply.headers['content-type'], /problem\+json/);
    if (reply.status === 503) assert.ok(Number(reply.headers['retry-after']) > 0);
  }
  for (const [i, { name }] of users.entries()) await replaced(name, before[i]);
  await allReady();
  await eventually(10000, async () => (await person.api.get('/api/users/me')).status === 200, 'user-svc is back');
});

test('[K-05][P-03] every auth-svc dead: tokens are still checked and served', async () => {
  const person = await newcomer();
  assert.equal((await person.api.get('/api/users/me')).status, 200);
  const auths = instances('auth-svc');
  const before = auths.map(({ name }) => signal(name, 'SIGKILL'));
  for (const door of doors) {
    assert.equal((await new Api(door, person.access).get('/api/users/me')).status, 200);
    assert.equal((await new Api(door, `${person.access.slice(0, -4)}AAAA`).get('/api/users/me')).problem, 'token_invalid');
  }
  for (const [i, { name }] of auths.entries()) await replaced(name, before[i]);
  await allReady();
  assert.equal((await logIn(person)).user.id, person.id);
});
