// The newcomer's tour, as README tells it, through the public door of a whole stack.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Api, request } from '../support/http.mjs';
import { all, claims, logIn, names, newcomer, sessionOf, signUp } from '../support/people.mjs';
import { png } from '../support/png.mjs';
import { env } from '../support/stack.mjs';
import { eventually } from '../support/wait.mjs';

const open = new Api(env.GATEWAY_URL);

test('[P-01][M-01][M-02][D-01][S-01][S-02] sign-up gives an account with the role user, whatever the caller asks for', async () => {
  const wish = names();
  const free = await open.get(`/api/auth/availability?email=${wish.email}&handle=${wish.handle}&nickname=${wish.nickname}`);
  assert.deepEqual([free.status, free.json], [200, { email: true, handle: true, nickname: true }]);

  const admin = await open.post('/api/auth/signup', { ...wish, role: 'admin' });
  assert.deepEqual([admin.status, admin.problem], [400, 'bad_input'], 'a role in the body is an unknown field');

  const made = await open.post('/api/auth/signup', wish);
  assert.equal(made.status, 201, made.text);
  const { id, ...rest } = made.json.user;
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.deepEqual(
    [rest.handle, rest.nickname, rest.email, rest.role, rest.email_verified],
    [wish.handle, wish.nickname, wish.email, 'user', false],
  );
  assert.ok(!made.text.includes(wish.password), 'the password is never echoed');
  assert.ok(!/argon2|hash/i.test(made.text), 'nor its hash');

  for (const [change, code] of [
    [{ ...names(), email: wish.email.toUpperCase() }, 'email_taken'],
    [{ ...names(), handle: wish.handle }, 'handle_taken'],
    [{ ...names(), nickname: wish.nickname.toUpperCase() }, 'nickname_taken'],
  ]) {
    const again = await open.post('/api/auth/signup', change);
    assert.deepEqual([again.status, again.problem], [409, code]);
  }
});

test('[P-02][P-03][M-05][M-06][K-03][D-02][S-04] log-in by e-mail or handle; a wrong password and an unknown name look the same', async () => {
  const person = await signUp();
  for (const login of [person.email, person.handle]) {
    const reply = await open.post('/api/auth/login', { login, password: person.password, device_name: 'kitchen radio' });
    assert.equal(reply.status, 200, reply.text);
    assert.equal(reply.json.token_type, 'Bearer');
    assert.equal(reply.json.expires_in, 300);
    const says = claims(reply.json.access_token);
    assert.deepEqual([says.sub, says.sid, says.role, says.handle], [person.id, reply.json.session_id, 'user', person.handle]);
    assert.equal(says.exp - says.iat, 300);
  }
  const wrong = await open.post('/api/auth/login', { login: person.email, password: 'Not-this-1' });
  const unknown = await open.post('/api/auth/login', { login: names().email, password: 'Not-this-1' });
  assert.deepEqual([wrong.status, wrong.problem], [401, 'bad_credentials']);
  const bare = ({ request_id, ...rest }) => rest;
  assert.deepEqual(bare(wrong.json), bare(unknown.json));
});

test('[P-04][P-05][M-07][S-08][K-04] refresh gives a new pair; log-out ends the session and its refresh token', async () => {
  const person = await newcomer();
  const next = await open.post('/api/auth/refresh', { refresh_token: person.refresh });
  assert.equal(next.status, 200, next.text);
  assert.notEqual(next.json.refresh_token, person.refresh);
  assert.equal(next.json.session_id, person.sid);

  const session = sessionOf(next.json);
  assert.equal((await session.api.get('/api/users/me')).status, 200);
  assert.equal((await session.api.post('/api/auth/logout', { refresh_token: session.refresh })).status, 204);
  const after = await open.post('/api/auth/refresh', { refresh_token: session.refresh });
  assert.equal(after.status, 401);
  await eventually(10000, async () => (await session.api.get('/api/users/me')).problem === 'session_ended', 'the access token is refused');
});

test('[K-04] by cookie: HttpOnly, on /api/auth only, and refresh needs X-Requested-With', async () => {
  const person = await signUp();
  const reply = await open.post('/api/auth/login', { login: person.email, password: person.password, cookie: true });
  assert.equal(reply.status, 200);
  assert.equal(reply.json.refresh_token, undefined, 'not in the body too');
  const [line] = reply.headers['set-cookie'].filter((cookie) => cookie.startsWith('madang_refresh='));
  for (const part of [/;\s*HttpOnly/i, /;\s*SameSite=Lax/i, /;\s*Path=\/api\/auth/i]) assert.match(line, part);
  const Cookie = line.split(';')[0];
  const plain = await open.post('/api/auth/refresh', undefined, { headers: { Cookie } });
  assert.ok(plain.status >= 400 && plain.status < 500, `without X-Requested-With: ${plain.status}`);
  const fetched = await open.post('/api/auth/refresh', undefined, { headers: { Cookie, 'X-Requested-With': 'fetch' } });
  assert.equal(fetched.status, 200, fetched.text);
});

test('[S-06][M-06] every device is a session that its owner can see and end', async () => {
  const person = await signUp();
  const phone = await logIn(person, { device_name: 'phone' });
  const laptop = await logIn(person, { device_name: 'laptop' });
  const list = await phone.api.get('/api/auth/sessions');
  assert.deepEqual(list.json.items.map((item) => [item.device_name, item.current]).sort(), [
    ['laptop', false],
    ['phone', true],
  ]);
  assert.equal((await phone.api.delete(`/api/auth/sessions/${laptop.sid}`)).status, 204);
  await eventually(10000, async () => (await laptop.api.get('/api/users/me')).problem === 'session_ended', 'the laptop is out');
  assert.equal((await phone.api.get('/api/users/me')).status, 200);

  const third = await logIn(person),
    fourth = await logIn(person);
  assert.equal((await phone.api.delete('/api/auth/sessions')).status, 204);
  for (const other of [third, fourth]) {
    await eventually(10000, async () => (await other.api.get('/api/users/me')).problem === 'session_ended', 'all but mine are out');
  }
  assert.equal((await phone.api.get('/api/auth/sessions')).json.items.length, 1);
});

test('[S-07] single_session: a new log-in ends the others', async () => {
  const person = await signUp();
  const old = await logIn(person);
  const fresh = await logIn(person, { single_session: true });
  await eventually(10000, async () => (await old.api.get('/api/users/me')).problem === 'session_ended', 'the old one is out');
  assert.equal((await fresh.api.get('/api/users/me')).status, 200);
});

test('[P-10][P-11][M-10][M-12][K-06][D-05] a profile can be read and changed; its avatar is checked, kept and served', async () => {
  const me = await newcomer(),
    other = await newcomer();
  const first = await me.api.get('/api/users/me');
  assert.equal(first.status, 200, first.text);
  assert.deepEqual([first.json.id, first.json.email, first.json.nickname], [me.id, me.email, me.nickname]);
  const stock = await request('GET', new URL(first.json.avatar_url, env.GATEWAY_URL).href);
  assert.equal(stock.status, 200, 'without an avatar there is a stock picture');

  const changed = await me.api.patch('/api/users/me', { bio: '마당에서 만나요', interests: ['bread', 'chess'] });
  assert.equal(changed.status, 200, changed.text);
  assert.deepEqual([changed.json.bio, changed.json.interests], ['마당에서 만나요', ['bread', 'chess']]);
  const cleared = await me.api.patch('/api/users/me', { bio: '' });
  assert.equal(cleared.json.bio, '', 'empty clears');
  assert.deepEqual(cleared.json.interests, ['bread', 'chess'], 'absent leaves');

  const picture = png(32, 32);
  const put = await me.api.put('/api/users/me/avatar', picture, { headers: { 'Content-Type': 'image/png' } });
  assert.equal(put.status, 200, put.text);
  const served = await request('GET', new URL(put.json.avatar_url, env.GATEWAY_URL).href);
  assert.equal(served.status, 200);
  assert.equal(served.headers['content-type'], 'image/png');
  assert.ok(served.bytes.equals(picture), 'byte for byte');
  const script = await me.api.put('/api/users/me/avatar', '<script>alert(1)</script>', { headers: { 'Content-Type': 'image/png' } });
  assert.equal(script.status, 415, script.text);

  const seen = await eventually(
    10000,
    async () => {
      const reply = await other.api.get(`/api/users/${me.id}`);
      return reply.status === 200 && reply;
    },
    'others can read the profile',
  );
  assert.equal(seen.json.avatar_url, put.json.avatar_url);
  assert.ok(!seen.text.includes(me.email), 'strangers do not see the e-mail');
  assert.equal((await me.api.delete('/api/users/me/avatar')).status, 204);
});

test('[P-12][P-14][P-16][P-17][P-18] people are found, asked, accepted, listed and removed', async () => {
  const a = await newcomer({ prefix: 'dallae' }),
    b = await newcomer({ prefix: 'dallae' });
  const found = await eventually(
    10000,
    async () => {
      const reply = await a.api.get(`/api/users?q=${b.nickname.slice(2)}`);
      return reply.json?.items.some((item) => item.id === b.id) && reply;
    },
    'the search finds part of a nickname',
  );
  assert.ok(!found.json.items.some((item) => item.id === a.id), 'never self');
  assert.ok(!found.text.includes(b.email), 'e-mails are masked');
  assert.equal((await a.api.get(`/api/users?q=${encodeURIComponent(b.email)}`)).json.items[0]?.id, b.id, 'a whole e-mail finds');
  assert.equal((await a.api.get('/api/users?q=d')).status, 400, 'one letter is too short');

  assert.equal((await a.api.put(`/api/friends/requests/${b.id}`)).status, 201);
  assert.equal((await a.api.put(`/api/friends/requests/${b.id}`)).status, 200, 'a repeat');
  assert.deepEqual(
    (await all(b.api, '/api/friends/requests?direction=in')).map((item) => item.user.id),
    [a.id],
  );
  assert.deepEqual(
    (await all(a.api, '/api/friends/requests?direction=out')).map((item) => item.user.id),
    [b.id],
  );
  assert.equal((await b.api.post(`/api/friends/requests/${a.id}/accept`)).status, 200);
  for (const [one, two] of [
    [a, b],
    [b, a],
  ])
    assert.deepEqual(
      (await all(one.api, '/api/friends')).map((item) => item.user.id),
      [two.id],
    );
  assert.equal((await a.api.put(`/api/friends/requests/${b.id}`)).problem, 'already_friends');
  assert.equal((await b.api.delete(`/api/friends/${a.id}`)).status, 204);
  assert.equal((await a.api.delete(`/api/friends/${b.id}`)).status, 404);
});

test('[P-19][M-14] a block ends a friendship and holds in search and requests, in both directions', async () => {
  const a = await newcomer(),
    b = await newcomer();
  await eventually(10000, async () => (await a.api.get(`/api/users?q=${b.handle}`)).json?.items.length === 1, 'b is in the index');
  await eventually(10000, async () => (await b.api.get(`/api/users?q=${a.handle}`)).json?.items.length === 1, 'a is in the index');
  assert.equal((await a.api.put(`/api/friends/requests/${b.id}`)).status, 201);
  assert.equal((await b.api.post(`/api/friends/requests/${a.id}/accept`)).status, 200);
  assert.ok((await a.api.put(`/api/blocks/${b.id}`)).status < 300);
  assert.deepEqual(await all(a.api, '/api/friends'), []);
  assert.deepEqual(
    (await all(a.api, '/api/blocks')).map((item) => item.user.id),
    [b.id],
  );
  assert.deepEqual(await all(b.api, '/api/blocks'), [], 'the blocked one is not told');
  for (const [one, two] of [
    [a, b],
    [b, a],
  ]) {
    assert.equal((await one.api.get(`/api/users?q=${two.handle}`)).json.items.length, 0, 'not found');
    const asked = await one.api.put(`/api/friends/requests/${two.id}`);
    assert.deepEqual([asked.status, asked.problem], [403, 'blocked']);
  }
  assert.equal((await a.api.put(`/api/blocks/${a.id}`)).problem, 'self');
  assert.equal((await a.api.delete(`/api/blocks/${b.id}`)).status, 204);
  assert.equal((await b.api.put(`/api/friends/requests/${a.id}`)).status, 201);
});

test('[P-06][D-04][M-11][S-10] withdrawal ends sessions and log-in, and takes the person out of search and friends', async () => {
  const stays = await newcomer(),
    goes = await newcomer();
  await eventually(10000, async () => (await stays.api.get(`/api/users?q=${goes.handle}`)).json?.items.length === 1, 'found before');
  assert.equal((await stays.api.put(`/api/friends/requests/${goes.id}`)).status, 201);
  assert.equal((await goes.api.post(`/api/friends/requests/${stays.id}/accept`)).status, 200);
  const wrong = await goes.api.delete('/api/auth/account', { password: 'Not-this-1' });
  assert.ok(wrong.status === 401 || wrong.status === 403 || wrong.status === 400, `a wrong password: ${wrong.status}`);
  assert.equal((await goes.api.delete('/api/auth/account', { password: goes.password })).status, 204);
  const back = await open.post('/api/auth/login', { login: goes.email, password: goes.password });
  assert.ok([401, 403].includes(back.status), back.text);
  await eventually(10000, async () => (await goes.api.get('/api/users/me')).status === 401, 'the token is refused');
  await eventually(10000, async () => (await stays.api.get(`/api/users?q=${goes.handle}`)).json.items.length === 0, 'not found any more');
  await eventually(10000, async () => (await all(stays.api, '/api/friends')).length === 0, 'no friend any more');
});

test('[P-43] every route but the open ones asks for a token, and unknown ones are 404', async () => {
  for (const [method, path] of [
    ['GET', '/api/users/me'],
    ['PATCH', '/api/users/me'],
    ['GET', '/api/friends'],
    ['GET', '/api/blocks'],
    ['GET', '/api/users?q=ab'],
    ['GET', '/api/auth/sessions'],
    ['DELETE', '/api/auth/account'],
    ['PUT', '/api/auth/password'],
  ]) {
    const reply = await open.call(method, path);
    assert.deepEqual([reply.status, reply.problem], [401, 'token_missing'], `${method} ${path}`);
  }
  for (const path of [
    '/',
    '/nothing',
    '/internal/revoked?after=0',
    '/metrics',
    '/healthz',
    '/readyz',
    '/registry',
    '/api',
    '/apiary/users/me',
  ]) {
    const reply = await open.get(path);
    assert.deepEqual([reply.status, reply.problem], [404, 'not_found'], path);
  }
});

test('[D-53] problems speak English or Korean, carry a stable code and the request id', async () => {
  const english = await open.post(
    '/api/auth/login',
    { login: 'nobody@example.test', password: 'Wrong-1-1' },
    { headers: { 'X-Request-Id': 'tour-1' } },
  );
  const korean = await open.post(
    '/api/auth/login',
    { login: 'nobody@example.test', password: 'Wrong-1-1' },
    { headers: { 'Accept-Language': 'ko-KR,ko;q=0.9' } },
  );
  for (const reply of [english, korean]) {
    assert.match(reply.headers['content-type'], /^application\/problem\+json/);
    assert.deepEqual([reply.json.status, reply.json.code], [401, 'bad_credentials']);
    assert.ok(reply.json.type && reply.json.title);
  }
  assert.equal(english.json.request_id, 'tour-1');
  assert.equal(english.headers['x-request-id'], 'tour-1');
  assert.notEqual(english.json.title, korean.json.title);
  assert.match(korean.json.title, /[가-힣]/);
});
