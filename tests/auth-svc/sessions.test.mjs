// Log-in, refresh, log-out, the session list, revocation, and what two daemons on one schema agree on.
import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import { after, before, test } from 'node:test';
import { Api, request } from '../support/http.mjs';
import { eventually } from '../support/wait.mjs';
import { World, claims, cookieOf, count, logIn, names, newcomer, refresh, said, signUp } from './world.mjs';

let world, auth, second;
before(async () => {
  world = await World.open();
  auth = await world.daemon();
  second = await world.daemon();
});
after(() => world.close());

const feed = async (after = 0, daemon = auth) => (await daemon.api.get(`/internal/revoked?after=${after}`)).json;
const refused = (session, code, daemon = auth) =>
  eventually(10000, async () => (await new Api(daemon.url, session.access).get('/api/auth/sessions')).problem === code, `refused with ${code}`);

test('[P-02][P-03][M-05][M-06][K-02][K-03][D-02][S-04] log-in by e-mail or handle gives an ES256 token with our claims, good for 5 minutes', async () => {
  const person = await signUp(auth);
  for (const login of [person.email, person.email.toUpperCase(), person.handle]) {
    const reply = await auth.api.post('/api/auth/login', { login, password: person.password, device_name: 'kitchen radio' });
    assert.equal(reply.status, 200, reply.text);
    const { access_token, refresh_token, session_id, ...rest } = reply.json;
    assert.deepEqual(rest, { token_type: 'Bearer', expires_in: 300, user: person.user });
    const [header, , signature] = access_token.split('.');
    const { alg, kid } = JSON.parse(Buffer.from(header, 'base64url'));
    const { iat, exp, ...says } = claims(access_token);
    assert.deepEqual(says, {
      iss: 'madang', aud: 'madang', sub: person.id, sid: session_id, role: 'user', rv: 1, handle: person.handle, name: person.nickname,
    });
    assert.equal(exp - iat, 300);
    assert.ok(Math.abs(iat - Date.now() / 1000) < 60);
    assert.equal(alg, 'ES256');
    const jwk = (await auth.api.get('/.well-known/jwks.json')).json.keys.find((key) => key.kid === kid);
    const input = access_token.slice(0, access_token.lastIndexOf('.'));
    assert.ok(verify('sha256', Buffer.from(input), { key: createPublicKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url')));
    assert.match(refresh_token, /^[\w-]{86}$/);
    assert.equal(reply.headers['cache-control'], 'no-store');
  }
  const [{ last_login_at }] = await world.sql('SELECT last_login_at FROM accounts WHERE id = $1', [person.id]);
  assert.ok(Date.now() - last_login_at < 60000, 'the time of the log-in is kept');
});

test('[P-03][P-09] the key set has public EC keys only, with kid, use and alg', async () => {
  const { json } = await auth.api.get('/.well-known/jwks.json');
  assert.equal(json.keys.length, 1);
  for (const key of json.keys) assert.deepEqual(Object.keys(key).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
  assert.deepEqual(json, (await second.api.get('/.well-known/jwks.json')).json, 'both instances publish the same');
});

test('[P-02][S-04][D-02][M-05] an unknown name and a wrong password say the same', async () => {
  const person = await signUp(auth);
  const wrong = await auth.api.post('/api/auth/login', { login: person.email, password: 'Wrong-pass-1' });
  assert.deepEqual([wrong.status, wrong.problem], [401, 'bad_credentials']);
  for (const login of [names().email, names().handle, '@', 'a b', '가'.repeat(50)]) {
    assert.deepEqual(said(await auth.api.post('/api/auth/login', { login, password: 'Wrong-pass-1' })), said(wrong), login);
  }
});

test('[P-04][K-04] refresh gives a new pair; the old token is then the one before', async () => {
  const session = await newcomer(auth);
  const next = await refresh(second, session.refresh);
  assert.equal(next.status, 200, next.text);
  assert.notEqual(next.json.refresh_token, session.refresh);
  assert.equal(next.json.session_id, session.sid);
  assert.deepEqual(next.json.user, session.user);
  const again = await refresh(auth, next.json.refresh_token);
  assert.equal(again.status, 200);
});

test('[P-04] the e-mail of somebody is no way to tokens', async () => {
  const person = await newcomer(auth);
  for (const body of [{ email: person.email }, { refresh_token: person.email }, { refresh_token: person.id }, { refresh_token: person.sid }]) {
    const reply = await auth.api.post('/api/auth/refresh', body);
    assert.ok(reply.status === 400 || reply.status === 401, JSON.stringify(body));
  }
  const none = await auth.api.post('/api/auth/refresh', {});
  assert.deepEqual([none.status, none.problem], [401, 'token_missing']);
  const garbage = await refresh(auth, 'A'.repeat(86));
  assert.deepEqual([garbage.status, garbage.problem], [401, 'refresh_expired']);
  assert.equal((await refresh(auth, person.refresh)).status, 200, 'and guesses end nobody’s session');
});

test('[P-04][M-06] fifty tabs refreshing at once, on two instances, all go on with the same successor', async () => {
  const session = await newcomer(auth);
  const replies = await Promise.all(Array.from({ length: 50 }, (_, i) => refresh(i % 2 ? auth : second, session.refresh)));
  assert.deepEqual(count(replies.map(({ status }) => status)), { 200: 50 });
  assert.equal(new Set(replies.map(({ json }) => json.refresh_token)).size, 1);
  assert.equal((await refresh(auth, replies[0].json.refresh_token)).status, 200);
});

test('[P-04][K-04] a replay kills its family only, and its owner is told', async () => {
  const person = await signUp(auth);
  const victim = await logIn(auth, person, { device_name: 'lost phone' });
  const other = await logIn(auth, person);
  const next = (await refresh(auth, victim.refresh)).json;
  const third = (await refresh(auth, next.refresh_token)).json; // now the first is older than the one before
  const replay = await refresh(auth, victim.refresh);
  assert.deepEqual([replay.status, replay.problem], [401, 'refresh_reused']);
  assert.equal((await refresh(auth, third.refresh_token)).status, 401, 'the family is dead');
  await refused({ access: third.access_token }, 'session_ended');
  await refused({ access: third.access_token }, 'session_ended', second);
  assert.equal((await refresh(auth, other.refresh)).status, 200, 'the other session lives');
  const notice = await world.event('notify.requests', ({ kind, to }) => kind === 'session_reused' && to.user === person.id);
  assert.equal(notice.args.device_name, 'lost phone');
  assert.deepEqual(notice.channels, ['inbox', 'push', 'email']);
  const ended = await world.event('sessions.ended', ({ sid }) => sid === victim.sid);
  assert.deepEqual([ended.user_id, ended.reason], [person.id, 'refresh_reused']);
});

test('[P-04] the token before is good for the grace only', async () => {
  const session = await newcomer(auth);
  assert.equal((await refresh(auth, session.refresh)).status, 200);
  await world.sql("UPDATE sessions SET rotated_at = now() - interval '11 seconds' WHERE id = $1", [session.sid]);
  assert.equal((await refresh(auth, session.refresh)).problem, 'refresh_reused');
});

test('[P-05][M-07][S-08][K-04] log-out ends the session: its tokens are refused everywhere within 2 s', async () => {
  const person = await signUp(auth);
  for (const [how, options] of [
    ['access token', (session) => [undefined, { token: session.access }]],
    ['refresh token', (session) => [{ refresh_token: session.refresh }, {}]],
    ['both', (session) => [{ refresh_token: session.refresh }, { token: session.access }]],
  ]) {
    const session = await logIn(auth, person);
    assert.equal((await session.api.get('/api/auth/sessions')).status, 200, how);
    const reply = await auth.api.post('/api/auth/logout', ...options(session));
    assert.equal(reply.status, 204, how);
    assert.equal((await refresh(second, session.refresh)).problem, 'refresh_expired', how);
    await Promise.all([refused(session, 'session_ended'), refused(session, 'session_ended', second)]);
    assert.equal((await world.event('sessions.ended', ({ sid }) => sid === session.sid)).reason, 'logout');
    assert.equal((await auth.api.post('/api/auth/logout', ...options(session))).status, how === 'access token' ? 401 : 204, 'again');
  }
  assert.equal((await auth.api.post('/api/auth/logout')).problem, 'token_missing');
});

test('[K-04][M-05] cookie: HttpOnly, Lax, on /api/auth; refresh by it needs X-Requested-With; log-out clears it', async () => {
  const person = await signUp(auth);
  const reply = await auth.api.post('/api/auth/login', { login: person.email, password: person.password, cookie: true });
  assert.equal(reply.json.refresh_token, undefined);
  const line = cookieOf(reply, 'madang_refresh');
  for (const part of [/; HttpOnly/i, /; SameSite=Lax/i, /; Path=\/api\/auth(;|$)/i, /; Max-Age=1209600/i]) assert.match(line, part);
  assert.doesNotMatch(line, /secure/i, 'localhost');
  const Cookie = line.split(';')[0];
  const plain = await auth.api.post('/api/auth/refresh', undefined, { headers: { Cookie } });
  assert.deepEqual([plain.status, plain.problem], [403, 'forbidden']);
  const next = await auth.api.post('/api/auth/refresh', undefined, { headers: { Cookie, 'X-Requested-With': 'fetch' } });
  assert.equal(next.status, 200, next.text);
  assert.equal(next.json.refresh_token, undefined);
  const nextCookie = cookieOf(next, 'madang_refresh').split(';')[0];
  assert.notEqual(nextCookie, Cookie);
  const out = await auth.api.post('/api/auth/logout', undefined, { headers: { Cookie: nextCookie } });
  assert.equal(out.status, 204);
  assert.match(cookieOf(out, 'madang_refresh'), /^madang_refresh=;.*Max-Age=0/i);
  assert.equal((await auth.api.post('/api/auth/refresh', undefined, { headers: { Cookie: nextCookie, 'X-Requested-With': 'fetch' } })).status, 401);
});

test('[K-04] elsewhere than on localhost the cookies are Secure', async () => {
  const far = await world.daemon({ PUBLIC_URL: 'https://yard.example' });
  const person = await signUp(far);
  const reply = await far.api.post('/api/auth/login', { login: person.email, password: person.password, cookie: true });
  for (const name of ['madang_refresh', 'madang_device']) assert.match(cookieOf(reply, name), /; Secure/i);
  await far.stop();
});

test('[S-06][M-06][P-05] the list shows each device; one or all others can be ended', async () => {
  const person = await signUp(auth);
  const phone = await logIn(auth, person, { device_name: 'phone' });
  const laptop = await logIn(second, person, {}, { headers: { 'User-Agent': 'Yardbrowser/1.0' } });
  const radio = await logIn(auth, person, { device_name: 'radio' });
  const stranger = await newcomer(auth);
  const { items } = (await phone.api.get('/api/auth/sessions')).json;
  assert.deepEqual(items.map(({ id, device_name, current }) => [id, device_name, current]).sort(), [
    [phone.sid, 'phone', true], [laptop.sid, 'Yardbrowser/1.0', false], [radio.sid, 'radio', false],
  ].sort());
  for (const item of items) {
    assert.equal(item.ip, '127.0.0.1');
    assert.ok(Date.parse(item.created_at) <= Date.parse(item.last_used_at));
  }
  assert.equal((await stranger.api.delete(`/api/auth/sessions/${radio.sid}`)).status, 404, 'not mine');
  assert.equal((await phone.api.delete(`/api/auth/sessions/${radio.sid}`)).status, 204);
  assert.equal((await phone.api.delete(`/api/auth/sessions/${radio.sid}`)).status, 404, 'gone');
  assert.equal((await phone.api.delete('/api/auth/sessions/nonsense')).status, 404);
  await refused(radio, 'session_ended', second);
  assert.equal((await phone.api.delete('/api/auth/sessions')).status, 204);
  assert.deepEqual((await phone.api.get('/api/auth/sessions')).json.items.map(({ id }) => id), [phone.sid]);
  await refused(laptop, 'session_ended');
  assert.equal((await refresh(auth, laptop.refresh)).status, 401);
  assert.equal((await refresh(auth, phone.refresh)).status, 200);
});

test('[S-07] single_session: a new log-in ends every other session, and of ten racing ones one remains', async () => {
  const person = await signUp(auth);
  const old = await logIn(auth, person);
  const newest = await logIn(auth, person, { single_session: true });
  assert.equal((await world.event('sessions.ended', ({ sid }) => sid === old.sid)).reason, 'single_session');
  await refused(old, 'session_ended');
  assert.equal((await refresh(auth, newest.refresh)).status, 200);
  const racing = await Promise.all(Array.from({ length: 10 }, (_, i) => logIn(i % 2 ? auth : second, person, { single_session: true })));
  const alive = await Promise.all(racing.map(({ refresh: token }) => refresh(auth, token)));
  assert.deepEqual(count(alive.map(({ status }) => status)), { 200: 1, 401: 9 });
});

test('[S-07] by deployment: the setting does the same for every log-in', async () => {
  const strict = await world.daemon({ AUTH_SINGLE_SESSION: 'on' });
  const person = await signUp(strict);
  const old = await logIn(strict, person);
  await logIn(strict, person);
  assert.equal((await refresh(strict, old.refresh)).status, 401);
  await strict.stop();
});

test('[P-04][P-05] revoke beats a racing refresh: whatever wins, no token works afterwards', async () => {
  const person = await signUp(auth);
  const keeper = await logIn(auth, person);
  for (let i = 0; i < 15; i++) {
    const session = await logIn(auth, person);
    const [, ...refreshed] = await Promise.all([
      keeper.api.delete(`/api/auth/sessions/${session.sid}`),
      refresh(auth, session.refresh),
      refresh(second, session.refresh),
    ]);
    for (const { status, json } of refreshed) {
      assert.ok([200, 401].includes(status));
      if (status === 200) {
        assert.equal((await refresh(auth, json.refresh_token)).status, 401, 'the successor is dead');
        await refused({ access: json.access_token }, 'session_ended', second);
      }
    }
  }
});

test('[P-05] the feed is numbered in commit order: a reader that asks as fast as it can misses nothing', async () => {
  const person = await signUp(auth);
  const sessions = await Promise.all(Array.from({ length: 30 }, () => logIn(auth, person)));
  let after = (await feed()).last;
  const seen = [];
  let reading = true;
  const reader = (async () => {
    while (reading) {
      const page = await feed(after, seen.length % 2 ? auth : second);
      for (const entry of page.sessions) {
        assert.ok(entry.n > after && entry.n <= page.last);
        seen.push(entry.sid);
      }
      after = page.last;
    }
  })();
  await Promise.all(sessions.map((session, i) => (i % 2 ? auth : second).api.post('/api/auth/logout', undefined, { token: session.access })));
  await eventually(5000, () => seen.length >= 30, 'all thirty are read');
  reading = false;
  await reader;
  assert.deepEqual(seen.sort(), sessions.map(({ sid }) => sid).sort());
});

test('[P-05] the feed: form, pages, and a reader from another database starts again', async () => {
  const session = await newcomer(auth);
  await auth.api.post('/api/auth/logout', undefined, { token: session.access });
  const all = await feed();
  assert.deepEqual(Object.keys(all).sort(), ['last', 'more', 'sessions', 'users']);
  const entry = all.sessions.find(({ sid }) => sid === session.sid);
  assert.ok(entry.until > Date.now() + 300000 && entry.until < Date.now() + 400000, 'for the life of an access token');
  assert.deepEqual(await feed(all.last), { last: all.last, sessions: [], users: [], more: false });
  assert.deepEqual((await feed(all.last + 1000000)).sessions.length, all.sessions.length);
  assert.equal((await auth.api.get('/internal/revoked?after=x')).status, 400);
  await world.sql(`WITH c AS (UPDATE revocation_counter SET n = n + 1500 RETURNING n)
    INSERT INTO revocations (n, session_id, until) SELECT c.n - 1500 + i, gen_random_uuid(), now() + interval '1 minute' FROM c, generate_series(1, 1500) i`);
  const first = await feed(all.last);
  assert.deepEqual([first.sessions.length, first.more, first.last], [1000, true, all.last + 1000]);
  const rest = await feed(first.last);
  assert.deepEqual([rest.sessions.length, rest.more, rest.last], [500, false, all.last + 1500]);
});

test('[P-05] revocations survive a restart of the daemon', async () => {
  const session = await newcomer(auth);
  await session.api.post('/api/auth/logout');
  const third = await world.daemon();
  assert.equal((await new Api(third.url, session.access).get('/api/auth/sessions')).problem, 'session_ended', 'known before it is ready');
  await third.stop('SIGKILL');
});

test('[P-04] a session ends when its refresh token is too old, and the others are told', async () => {
  const short = await world.daemon({ REFRESH_SECONDS: '1' });
  const session = await newcomer(short);
  const event = await world.event('sessions.ended', ({ sid }) => sid === session.sid);
  assert.equal(event.reason, 'expired');
  assert.equal((await refresh(short, session.refresh)).problem, 'refresh_expired');
  await refused(session, 'session_ended', short);
  await short.stop();
});

test('[P-03] bad tokens are refused: none, garbage, another algorithm, a changed claim, expired', async () => {
  const session = await newcomer(auth);
  const ask = (token) => request('GET', `${auth.url}/api/auth/sessions`, { token });
  const [header, payload, signature] = session.access.split('.');
  const none = Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url');
  const admin = Buffer.from(JSON.stringify({ ...claims(session.access), role: 'admin' })).toString('base64url');
  assert.equal((await ask(undefined)).problem, 'token_missing');
  for (const token of ['x', 'a.b.c', `${none}.${payload}.`, `${header}.${admin}.${signature}`, `${session.access}x`, session.refresh]) {
    const reply = await ask(token);
    assert.deepEqual([reply.status, reply.problem], [401, 'token_invalid'], token.slice(0, 30));
  }
});

test('[K-05] a session of one instance works on the other, and after both restarted', async () => {
  const session = await newcomer(auth);
  assert.equal((await new Api(second.url, session.access).get('/api/auth/sessions')).status, 200);
  const third = await world.daemon();
  assert.equal((await new Api(third.url, session.access).get('/api/auth/sessions')).status, 200);
  assert.equal((await refresh(third, session.refresh)).status, 200);
  assert.equal(await third.stop(), 0, `SIGTERM ends it cleanly: ${third.log.slice(-5).join('\n')}`);
});
