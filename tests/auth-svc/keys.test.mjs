// Signing keys: published before they sign, kept after, the same on every instance. Failed log-ins: counted, and for whom. The queue
// before the password hashing.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { Agent } from 'node:http';
import path from 'node:path';
import { Api, request } from '../support/http.mjs';
import { buildDir, metricsOf, root } from '../support/stack.mjs';
import { eventually } from '../support/wait.mjs';
import { World, cookieOf, count, logIn, names, newcomer, refresh, said, signUp } from './world.mjs';

let world;
before(async () => {
  world = await World.open();
});
after(() => world.close());

const kidOf = (token) => JSON.parse(Buffer.from(token.split('.')[0], 'base64url')).kid;
const published = async (daemon) => (await daemon.api.get('/.well-known/jwks.json')).json.keys.map(({ kid }) => kid);

test('[P-03][P-09][K-05] rotation: a new key is published before it signs, on both instances, and no token is ever refused for it', async () => {
  const settings = { KEY_ROTATE_SECONDS: '4', KEY_LEAD_SECONDS: '4', ACCESS_SECONDS: '8', KEY_OVERLAP_SECONDS: '18' };
  const [one, two] = await Promise.all([world.daemon(settings), world.daemon(settings)]);
  let session = await newcomer(one);
  let old = session.access; // the last token that the first key signed
  const first = kidOf(old);
  for (const daemon of [one, two]) assert.ok((await published(daemon)).includes(first));
  // Until another key signs: each new token's key was published by both instances before the token was there.
  const early = [];
  await eventually(30000, async () => {
    const [a, b] = await Promise.all([published(one), published(two)]);
    const { json } = await refresh(one, session.refresh);
    if (kidOf(json.access_token) === first) old = json.access_token;
    session = { ...session, refresh: json.refresh_token, access: json.access_token };
    if (!a.includes(kidOf(json.access_token)) || !b.includes(kidOf(json.access_token))) early.push(kidOf(json.access_token));
    for (const daemon of [one, two]) {
      assert.equal((await new Api(daemon.url, json.access_token).get('/api/auth/sessions')).status, 200);
    }
    return kidOf(json.access_token) !== first;
  }, 'a second key signs', 100);
  assert.deepEqual(early, [], 'published before it signed');
  assert.ok((await published(one)).includes(first), 'the old key is kept for the tokens that it signed');
  assert.equal((await new Api(two.url, old).get('/api/auth/sessions')).status, 200);
  await eventually(40000, async () => !(await published(one)).includes(first) && !(await published(two)).includes(first), 'and goes after the overlap');
  const [{ secrets }] = await world.sql("SELECT string_agg(private_pem, '') AS secrets FROM signing_keys");
  assert.match(secrets, /PRIVATE KEY/);
  for (const daemon of [one, two]) assert.ok(!daemon.log.join('\n').includes('PRIVATE KEY'));
  await Promise.all([one.stop(), two.stop()]);
});

test('[K-05] four instances that start at once on an empty schema make one key', async () => {
  const fresh = await World.open();
  try {
    const daemons = await Promise.all(Array.from({ length: 4 }, () => fresh.daemon({ AUTH_SECRET: '' })));
    const keys = await Promise.all(daemons.map(published));
    assert.deepEqual(keys, Array(4).fill(keys[0]));
    assert.equal(keys[0].length, 1);
    // Without AUTH_SECRET they share one that the schema keeps.
    const session = await newcomer(daemons[0]);
    assert.equal((await refresh(daemons[3], session.refresh)).status, 200);
  } finally {
    await fresh.close();
  }
});

test('[P-02][S-04] ten failed log-ins lock this account from this address; others, and the owner’s own device, go on', async () => {
  const auth = await world.daemon({ GATEWAY_ADDRESSES: '127.0.0.1', LOGIN_FAILURES_ADDRESS: '1000' });
  const person = await signUp(auth);
  const neighbour = await signUp(auth);
  const from = (address, login, password, cookie) =>
    auth.api.post('/api/auth/login', { login, password }, { headers: { 'X-Forwarded-For': address, ...(cookie && { Cookie: cookie }) } });
  const home = await from('192.0.2.7', person.email, person.password);
  const device = cookieOf(home, 'madang_device').split(';')[0];

  const tries = await Promise.all(Array.from({ length: 30 }, () => from('192.0.2.9', person.email, 'Wrong-pass-1')));
  assert.deepEqual(count(tries.map(({ problem }) => problem)), { bad_credentials: 10, rate_limited: 20 }, 'also when they come at once');
  const locked = await from('192.0.2.9', person.handle, person.password);
  assert.deepEqual([locked.status, locked.problem], [429, 'rate_limited'], 'by the other name too');
  assert.ok(Number(locked.headers['retry-after']) > 800);
  assert.equal((await from('192.0.2.9', neighbour.email, neighbour.password)).status, 200, 'another account');
  assert.equal((await from('192.0.2.8', person.email, person.password)).status, 200, 'another address');
  assert.equal((await from('192.0.2.9', person.email, person.password, device)).status, 200, 'a device that was here before');
  assert.equal((await from('192.0.2.9', neighbour.email, 'Wrong-pass-1', device)).status, 401, 'it is no pass to other accounts');

  const unknown = names().email;
  const nobody = await Promise.all(Array.from({ length: 12 }, () => from('192.0.2.9', unknown, 'Wrong-pass-1')));
  assert.deepEqual(count(nobody.map(({ problem }) => problem)), { bad_credentials: 10, rate_limited: 2 }, 'an unknown name looks the same');
  await auth.stop();
});

test('[P-02] a right password takes back the count; a known device has a count of its own', async () => {
  const auth = await world.daemon({ LOGIN_FAILURES: '3' });
  const person = await signUp(auth);
  const wrong = (headers) => auth.api.post('/api/auth/login', { login: person.email, password: 'Wrong-pass-1' }, { headers });
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 2; i++) assert.equal((await wrong()).status, 401);
    await logIn(auth, person);
  }
  const Cookie = cookieOf((await logIn(auth, person)).reply, 'madang_device').split(';')[0];
  const stolen = await Promise.all(Array.from({ length: 8 }, () => wrong({ Cookie })));
  assert.deepEqual(count(stolen.map(({ status }) => status)), { 401: 3, 429: 5 });
  await logIn(auth, person);
  await auth.stop();
});

test('[P-02][S-09] the password of a stolen session can not be guessed through the account calls', async () => {
  const auth = await world.daemon({ LOGIN_FAILURES: '3' });
  const person = await newcomer(auth);
  const tries = [];
  for (let i = 0; i < 3; i++) tries.push(await person.api.put('/api/auth/password', { old_password: `Wrong-pass-${i}`, new_password: 'Brand-new-1' }));
  tries.push(await person.api.delete('/api/auth/account', { password: person.password }));
  assert.deepEqual(tries.map(({ status }) => status), [401, 401, 401, 429]);
  await auth.stop();
});

test('[P-02] a limit per address alone, which PROFILE=bench lifts', async () => {
  for (const [profile, expected] of [['production', { 401: 5, 429: 5 }], ['bench', { 401: 10 }]]) {
    const auth = await world.daemon({ LOGIN_FAILURES_ADDRESS: '5', PROFILE: profile, GATEWAY_ADDRESSES: '127.0.0.1' });
    const replies = await Promise.all(
      Array.from({ length: 10 }, () =>
        auth.api.post('/api/auth/login', { login: names().email, password: 'Wrong-pass-1' }, { headers: { 'X-Forwarded-For': '198.51.100.1' } })),
    );
    assert.deepEqual(count(replies.map(({ status }) => status)), expected, profile);
    await auth.stop();
  }
});

test('[P-02][K-05] without Redis failures are counted by the process itself', async () => {
  const auth = await world.daemon({ REDIS_URL: 'redis://127.0.0.1:1', LOGIN_FAILURES: '4' }, '/healthz');
  const person = await signUp(auth);
  const replies = await Promise.all(Array.from({ length: 9 }, () => auth.api.post('/api/auth/login', { login: person.email, password: 'Wrong-pass-1' })));
  assert.deepEqual(count(replies.map(({ status }) => status)), { 401: 4, 429: 5 });
  await auth.stop();
});

test('[K-05][P-02] a storm of log-ins: some wait, too many get 503 with Retry-After, and refresh goes on meanwhile', async () => {
  const auth = await world.daemon({ HASH_QUEUE: '20', WORKERS: '4', LOGIN_FAILURES: '1000', LOGIN_FAILURES_ADDRESS: '100000', HASH_MEMORY_KIB: '65536' });
  const person = await newcomer(auth);
  const many = new Agent({ keepAlive: true, maxSockets: 300 });
  const storm = Promise.all(
    Array.from({ length: 120 }, () =>
      request('POST', `${auth.url}/api/auth/login`, { body: { login: person.email, password: person.password }, via: many, timeout: 300000 })),
  );
  let stormy = true;
  let refreshed = 0;
  let token = person.refresh;
  const meanwhile = (async () => {
    while (stormy) {
      const next = await refresh(auth, token);
      assert.equal(next.status, 200);
      token = next.json.refresh_token;
      refreshed++;
    }
  })();
  const replies = await storm;
  stormy = false;
  await meanwhile;
  many.destroy();
  const counts = count(replies.map(({ status, problem }) => problem ?? status));
  assert.deepEqual(Object.keys(counts).sort(), ['200', 'overloaded'], JSON.stringify(counts));
  assert.ok(counts[200] >= 20, 'who waited got in');
  for (const { status, headers } of replies) if (status === 503) assert.ok(Number(headers['retry-after']) > 0);
  assert.ok(refreshed > counts[200], `refresh did not queue behind ${counts[200]} hashes: ${refreshed}`);
  await eventually(10000, async () => {
    const metrics = await metricsOf(auth);
    assert.equal(metrics['madang_auth_logins_total{result="ok"}'], counts[200] + 1);
    assert.equal(metrics['madang_auth_logins_total{result="overloaded"}'], counts.overloaded);
    assert.equal(metrics['madang_auth_refreshes_total{result="ok"}'], refreshed);
    assert.equal(metrics.madang_auth_hash_waiting, 0);
    return true;
  }, 'all is counted');
  await auth.stop();
});

test('[S-04] a log-in hashes again with today’s parameters when they have grown; also two at once', async () => {
  const small = await world.daemon({ HASH_MEMORY_KIB: '64', HASH_PASSES: '1' });
  const person = await signUp(small);
  const hash = async () => (await world.sql('SELECT password_hash FROM accounts WHERE id = $1', [person.id]))[0].password_hash;
  assert.match(await hash(), /m=64,t=1,/);
  await logIn(small, person);
  assert.match(await hash(), /m=64,t=1,/);
  await small.stop();
  const grown = await world.daemon();
  await Promise.all(Array.from({ length: 6 }, () => logIn(grown, person)));
  assert.match(await hash(), /m=19456,t=2,/);
  const made = await hash();
  await logIn(grown, person);
  assert.equal(await hash(), made, 'and only then');
  await grown.stop();
});

test('[P-09] --help lists the settings, a wrong one stops the start with its name, secrets stay unseen', async () => {
  const help = execFileSync(path.join(buildDir, 'bin/auth-svc'), ['--help'], { encoding: 'utf8', env: { AUTH_SECRET: 'hush-hush' } });
  const readme = fs.readFileSync(path.join(root, 'auth-svc/README.md'), 'utf8');
  for (const name of ['AUTH_DB_URL', 'AUTH_SECRET', 'ACCESS_SECONDS', 'SOCIAL_OIDC', 'LISTEN']) assert.match(help, new RegExp(`\\b${name}\\b`));
  assert.ok(!help.includes('hush-hush'));
  for (const name of help.match(/^ *[A-Z][A-Z0-9_]{3,}/gm)) assert.ok(readme.includes(name.trim()), `README names ${name.trim()}`);
  const daemon = await world.daemon({ ACCESS_SECONDS: '0' }).catch((error) => error);
  assert.match(String(daemon), /ACCESS_SECONDS/);
  const brief = await world.daemon({ ACCESS_SECONDS: '300', KEY_OVERLAP_SECONDS: '309' }).catch((error) => error);
  assert.match(String(brief), /KEY_OVERLAP_SECONDS: must be at least ACCESS_SECONDS and the verifiers' leeway of 10 s, that is 310, is 309/);
  const secret = await world.daemon({ SOCIAL_OIDC: '[{"name":"Bad Name","client_secret":"hush-hush"}]' }).catch((error) => error);
  assert.match(String(secret), /SOCIAL_OIDC/);
  assert.ok(!String(secret).includes('hush-hush'));
});

test('[P-02] what a log-in says does not depend on why it failed', async () => {
  const auth = await world.daemon();
  const person = await signUp(auth);
  const wrong = await auth.api.post('/api/auth/login', { login: person.email, password: 'Wrong-pass-1' });
  const long = await auth.api.post('/api/auth/login', { login: person.email, password: 'x'.repeat(1000) });
  const odd = await auth.api.post('/api/auth/login', { login: person.email, password: 'a\u0007b' });
  assert.deepEqual([said(long), said(odd)], [said(wrong), said(wrong)]);
  await auth.stop();
});
