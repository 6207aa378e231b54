// What people change of their accounts, leaving, roles, and tickets.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Api } from '../support/http.mjs';
import { eventually } from '../support/wait.mjs';
import { World, claims, count, logIn, names, newcomer, phoneNumber, refresh, said, signUp } from './world.mjs';

let world, auth, admin;
before(async () => {
  world = await World.open();
  const chief = names();
  auth = await world.daemon({ AUTH_FIRST_ADMIN: chief.email });
  admin = await newcomer(auth, { ...chief, proof: await world.proof(auth, 'verify_email', chief.email) });
});
after(() => world.close());

const rename = (person, body, headers) => person.api.patch('/api/auth/account', body, { headers });

test('[S-09][M-10] new names: event, next token and log-in have them; nothing to change is 400', async () => {
  const person = await newcomer(auth);
  const next = names();
  const reply = await rename(person, { nickname: `  ${next.nickname.toUpperCase()} ` });
  assert.equal(reply.status, 200, reply.text);
  assert.deepEqual([reply.json.nickname, reply.json.handle, reply.headers.etag], [next.nickname.toUpperCase(), person.handle, '"2"']);
  assert.equal((await rename(person, { handle: next.handle })).json.handle, next.handle);
  const event = await world.event('accounts', (account) => account.user_id === person.id && account.version === 3);
  assert.deepEqual([event.handle, event.nickname], [next.handle, next.nickname.toUpperCase()]);
  const says = claims((await refresh(auth, person.refresh)).json.access_token);
  assert.deepEqual([says.handle, says.name], [next.handle, next.nickname.toUpperCase()]);
  assert.equal((await auth.api.post('/api/auth/login', { login: person.handle, password: person.password })).status, 401);
  await logIn(auth, { ...person, email: next.handle });
  const nothing = await rename(person, {});
  assert.deepEqual([nothing.status, nothing.problem], [400, 'bad_input']);
});

test('[S-09][M-01][M-02] names that others have, or nobody may have, are refused', async () => {
  const [person, other] = [await newcomer(auth), await signUp(auth)];
  for (const [body, status, problem] of [
    [{ nickname: other.nickname.toUpperCase() }, 409, 'nickname_taken'],
    [{ handle: other.handle }, 409, 'handle_taken'],
    [{ nickname: 'b-i-t-c-h' }, 400, 'bad_input'],
    [{ handle: 'Ä' }, 400, 'bad_input'],
    [{ nickname: person.nickname.toUpperCase() }, 200, undefined],
  ]) {
    const reply = await rename(person, body);
    assert.deepEqual([reply.status, reply.problem], [status, problem], JSON.stringify(body));
  }
});

test('[S-09] of 30 renames to one nickname one wins; If-Match keeps two editors apart', async () => {
  const crowd = await Promise.all(Array.from({ length: 10 }, () => newcomer(auth)));
  const { nickname } = names();
  const replies = await Promise.all(crowd.map((person) => rename(person, { nickname })));
  assert.deepEqual(count(replies.map(({ status }) => status)), { 200: 1, 409: 9 });
  const [person] = crowd;
  const { headers } = await rename(person, { nickname: names().nickname });
  const both = await Promise.all([0, 1].map(() => rename(person, { nickname: names().nickname }, { 'If-Match': headers.etag })));
  assert.deepEqual(count(both.map(({ status, problem }) => problem ?? status)), { 200: 1, stale_version: 1 });
  for (const wrong of ['"0"', 'W/"1"', '7', '"99"']) assert.equal((await rename(person, { nickname: names().nickname }, { 'If-Match': wrong })).status, 412, wrong);
  assert.equal((await rename(person, { nickname: names().nickname }, { 'If-Match': '*' })).status, 200);
});

test('[S-09][P-08] a new password needs the old one, ends the other sessions, keeps this one', async () => {
  const person = await newcomer(auth);
  const other = await logIn(auth, person);
  const put = (old_password, new_password) => person.api.put('/api/auth/password', { old_password, new_password });
  const wrong = await put('Wrong-pass-1', 'Brand-new-1');
  assert.deepEqual([wrong.status, wrong.problem], [401, 'bad_credentials']);
  assert.equal((await put(person.password, person.password)).problem, 'password_unchanged');
  assert.equal((await put(person.password, 'short')).status, 400);
  assert.equal((await put(person.password, person.email)).status, 400);
  assert.equal((await put(person.password, 'Brand-new-1')).status, 204);
  assert.equal((await refresh(auth, other.refresh)).status, 401);
  assert.equal((await refresh(auth, person.refresh)).status, 200);
  assert.equal((await auth.api.post('/api/auth/login', { login: person.email, password: person.password })).status, 401);
  await logIn(auth, { ...person, password: 'Brand-new-1' });
});

test('[P-06][M-11][D-04][S-10] leaving: the password is needed; log-in fails, tokens die, names are free, the others are told', async () => {
  const phone = phoneNumber();
  const wish = names();
  const person = await newcomer(auth, { ...wish, phone_proof: await world.proof(auth, 'verify_phone', phone) });
  const other = await logIn(auth, person);
  assert.equal((await person.api.delete('/api/auth/account')).status, 400);
  assert.equal((await person.api.delete('/api/auth/account', { password: 'Wrong-pass-1' })).problem, 'bad_credentials');
  const reply = await person.api.delete('/api/auth/account', { password: person.password });
  assert.equal(reply.status, 204, reply.text);

  for (const login of [person.email, person.handle]) {
    const right = await auth.api.post('/api/auth/login', { login, password: person.password });
    assert.deepEqual([right.status, right.problem], [403, 'withdrawn']);
    const wrong = await auth.api.post('/api/auth/login', { login, password: 'Wrong-pass-1' });
    assert.deepEqual(said(wrong), said(await auth.api.post('/api/auth/login', { login: names().email, password: 'Wrong-pass-1' })));
  }
  for (const token of [person.refresh, other.refresh]) assert.equal((await refresh(auth, token)).problem, 'refresh_expired');
  await eventually(10000, async () => (await other.api.get('/api/auth/sessions')).problem === 'session_ended');
  assert.equal((await world.event('sessions.ended', ({ sid }) => sid === other.sid)).reason, 'withdrawn');
  const event = await world.event('accounts', (account) => account.user_id === person.id && account.withdrawn);
  assert.deepEqual([event.handle, event.nickname, event.email, event.phone, event.email_verified, event.version], ['', '', '', '', false, 2]);
  const { users } = (await auth.api.get('/internal/revoked?after=0')).json;
  assert.equal(users.find(({ user_id }) => user_id === person.id).least_rv, 2);
  const [row] = await world.sql('SELECT email, handle, nickname, phone, name FROM accounts WHERE id = $1', [person.id]);
  assert.deepEqual(row, { email: null, handle: null, nickname: null, phone: null, name: null });
  assert.equal((await auth.api.post('/api/auth/codes', { purpose: 'find_login', phone })).status, 202);

  const again = await newcomer(auth, { ...wish, password: 'Another-one-2' });
  assert.notEqual(again.id, person.id, 'the names are free');
  const old = await auth.api.post('/api/auth/login', { login: person.email, password: person.password });
  assert.equal(old.problem, 'bad_credentials', 'and belong to who has them now');
  assert.equal(world.eventsOf('notify.requests', ({ to }) => to.phone === phone).length, 1, 'only the code of the sign-up');
});

test('[P-06] of log-ins that race with leaving, none has a session afterwards', async () => {
  const person = await newcomer(auth);
  const [left, ...logins] = await Promise.all([
    person.api.delete('/api/auth/account', { password: person.password }),
    ...Array.from({ length: 8 }, () => auth.api.post('/api/auth/login', { login: person.email, password: person.password })),
  ]);
  assert.equal(left.status, 204);
  for (const { status, json } of logins) {
    assert.ok([200, 403].includes(status));
    if (status === 200) assert.equal((await refresh(auth, json.refresh_token)).status, 401);
  }
  assert.deepEqual(await world.sql('SELECT id FROM sessions WHERE user_id = $1 AND ended_at IS NULL', [person.id]), []);
});

test('[D-02][M-09][D-07] a new role: older tokens are stale at once, refresh gives the new one, the session stays', async () => {
  const person = await newcomer(auth);
  const path = `/api/auth/users/${person.id}/role`;
  assert.equal((await person.api.put(path, { role: 'admin' })).problem, 'forbidden');
  assert.equal((await auth.api.put(path, { role: 'admin' })).status, 401);
  assert.equal((await admin.api.put(path, { role: 'king' })).status, 400);
  assert.equal((await admin.api.put(path, { role: 'tutor' })).status, 204);
  await eventually(10000, async () => (await person.api.get('/api/auth/sessions')).problem === 'token_stale');
  const next = await refresh(auth, person.refresh);
  assert.deepEqual([next.json.user.role, next.json.session_id], ['tutor', person.sid]);
  assert.deepEqual([claims(next.json.access_token).role, claims(next.json.access_token).rv], ['tutor', 2]);
  assert.equal((await new Api(auth.url, next.json.access_token).get('/api/auth/sessions')).status, 200);
  assert.equal((await world.event('accounts', (account) => account.user_id === person.id && account.version === 2)).role, 'tutor');
  assert.equal((await admin.api.put(path, { role: 'tutor' })).status, 204, 'the same again changes nothing');
  assert.equal((await refresh(auth, next.json.refresh_token)).json.user.role, 'tutor');
  for (const id of ['01980000-0000-7000-8000-000000000000', 'nonsense']) assert.equal((await admin.api.put(`/api/auth/users/${id}/role`, { role: 'user' })).status, 404);
});

test('[D-02][D-01] a demoted admin is one no more at once; the last one stays', async () => {
  const alone = await admin.api.put(`/api/auth/users/${admin.id}/role`, { role: 'user' });
  assert.deepEqual([alone.status, alone.problem], [409, 'last_admin']);
  const person = await newcomer(auth);
  assert.equal((await admin.api.put(`/api/auth/users/${person.id}/role`, { role: 'admin' })).status, 204);
  const boss = new Api(auth.url, (await refresh(auth, person.refresh)).json.access_token);
  assert.equal((await boss.put(`/api/auth/users/${person.id}/role`, { role: 'admin' })).status, 204);
  assert.equal((await admin.api.put(`/api/auth/users/${person.id}/role`, { role: 'user' })).status, 204);
  const late = await boss.put(`/api/auth/users/${person.id}/role`, { role: 'admin' });
  assert.deepEqual([late.status, late.problem], [401, 'token_stale'], 'not even within the two seconds');
});

test('[P-03] a ticket is an ES256 token for sockets: aud ticket, jti, 30 s', async () => {
  const person = await newcomer(auth);
  const reply = await person.api.post('/api/auth/ws-ticket');
  assert.deepEqual([reply.status, reply.json.expires_in], [200, 30], reply.text);
  const { iat, exp, jti, ...says } = claims(reply.json.ticket);
  assert.equal(exp - iat, 30);
  assert.match(jti, /^[0-9a-f-]{36}$/);
  assert.deepEqual(says, { iss: 'madang', aud: 'ticket', sub: person.id, sid: person.sid, role: 'user', rv: 1, handle: person.handle, name: person.nickname });
  assert.notEqual(claims((await person.api.post('/api/auth/ws-ticket')).json.ticket).jti, jti);
  assert.equal((await new Api(auth.url, reply.json.ticket).get('/api/auth/sessions')).problem, 'token_invalid', 'no access token');
  assert.equal((await auth.api.post('/api/auth/ws-ticket')).status, 401);
});

test('[K-05] without Redis: log-in and refresh go on, tickets answer 503', async () => {
  const daemon = await world.daemon({ REDIS_URL: 'redis://127.0.0.1:1' }, '/healthz');
  const person = await newcomer(daemon);
  assert.equal((await refresh(daemon, person.refresh)).status, 200);
  const ticket = await person.api.post('/api/auth/ws-ticket');
  assert.deepEqual([ticket.status, ticket.problem], [503, 'unavailable']);
  assert.ok(Number(ticket.headers['retry-after']) > 0);
  await daemon.stop();
});

test('[K-05] every problem is problem+json with code, title and request id, in the reader’s language', async () => {
  const korean = await auth.api.post('/api/auth/login', { login: 'a', password: 'b' }, { headers: { 'Accept-Language': 'ko-KR,ko;q=0.9', 'X-Request-Id': 'tour-1' } });
  assert.match(korean.headers['content-type'], /^application\/problem\+json/);
  assert.equal(korean.json.title, '아이디 또는 비밀번호가 올바르지 않습니다');
  assert.deepEqual([korean.json.status, korean.json.code, korean.json.request_id], [401, 'bad_credentials', 'tour-1']);
  assert.equal((await auth.api.get('/api/auth/nothing')).status, 404);
  const method = await auth.api.get('/api/auth/login');
  assert.deepEqual([method.status, method.headers.allow], [405, 'POST']);
});
