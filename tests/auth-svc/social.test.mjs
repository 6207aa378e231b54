// Social log-in against stand-ins of Kakao, Naver, Google and a generic OpenID Connect provider.
import assert from 'node:assert/strict';
import { createHmac, randomInt } from 'node:crypto';
import { after, before, test } from 'node:test';
import { Api } from '../support/http.mjs';
import { eventually } from '../support/wait.mjs';
import { CLIENTS, Oidc } from '../standins/oidc.mjs';
import { World, claims, cookieOf, count, logIn, names, newcomer, phoneNumber, refresh, sessionOf, signUp } from './world.mjs';

const HOME = 'https://app.example/login';
const APP = 'madang://signed-in';
let world, auth, idp;
before(async () => {
  world = await World.open();
  idp = await Oidc.start();
  auth = await world.daemon({ ...idp.settings('http://localhost:8080'), SOCIAL_RETURN_TO: `${HOME}, ${APP}`, SOCIAL_KEYS_SECONDS: '1', SOCIAL_TIMEOUT_MS: '4000' });
});
after(async () => {
  await world.close();
  await idp.stop();
});

let strangers = 0;
/** Somebody the providers know: an id beyond 2^53, and a verified e-mail unless said otherwise. */
const person = (more = {}) => ({ id: 9007199254740993n * 100n + BigInt(process.pid * 1000 + ++strangers), nickname: '바깥 이름', name: 'Out Sider', email: names().email, email_verified: true, ...more });

/** Goes to the provider as a browser: {location, cookie}. */
async function start(provider, query = '', cookie) {
  const reply = await auth.api.get(`/api/auth/social/${provider}${query}`, { headers: cookie ? { Cookie: cookie } : {} });
  assert.equal(reply.status, 302, reply.text);
  return { location: reply.headers.location, cookie: cookieOf(reply, 'madang_social').split(';')[0] };
}

/** The callback, as the browser makes it: where it leads. */
async function callback(address, cookie) {
  const url = new URL(address);
  const reply = await auth.api.get(url.pathname + url.search, { headers: cookie ? { Cookie: cookie } : {} });
  assert.equal(reply.status, 302, reply.text);
  const [to, fragment] = reply.headers.location.split('#');
  assert.ok(!/token|eyJ/.test(reply.headers.location), 'no token in a URL');
  return { to, ...Object.fromEntries(new URLSearchParams(fragment)) };
}

async function goAround(provider, who, { query, ...options } = {}) {
  idp.people.set(provider, who);
  const { location, cookie } = await start(provider, query);
  return callback(await idp.authorize(location, options), cookie);
}

const exchange = (code, more = {}) => auth.api.post('/api/auth/social/exchange', { code, ...more });

/** All of it: a session. */
async function enter(provider, who) {
  const back = await goAround(provider, who);
  assert.ok(back.code, JSON.stringify(back));
  const reply = await exchange(back.code, { device_name: 'browser' });
  assert.equal(reply.status, 200, reply.text);
  return sessionOf(auth, reply);
}

test('[S-05][M-08][D-03][K-01] each provider: first a new guest, later the same account', async () => {
  for (const provider of ['kakao', 'naver', 'google', 'school']) {
    const who = person();
    const first = await enter(provider, who);
    assert.equal(first.user.role, 'guest', provider);
    assert.equal(first.user.email, who.email);
    assert.equal(first.user.email_verified, provider !== 'naver', 'Naver has no such flag');
    assert.match(first.user.nickname, /^guest\d{8}$/, 'a name of ours until there is one of their own');
    assert.equal(claims(first.access).role, 'guest');
    const again = await enter(provider, { ...who, email: names().email });
    assert.equal(again.user.id, first.user.id, 'the id counts, not the e-mail');
    const [identity] = await world.sql('SELECT subject FROM identities WHERE user_id = $1', [first.user.id]);
    assert.equal(identity.subject, String(who.id), 'no digit of the id is lost');
    assert.equal((await world.event('accounts', (account) => account.user_id === first.user.id)).role, 'guest');
  }
});

test('[M-08][K-01] what we ask of each provider', async () => {
  const query = async (provider) => Object.fromEntries(new URL((await start(provider)).location).searchParams);
  for (const provider of ['kakao', 'naver', 'google', 'school']) {
    const sent = await query(provider);
    assert.equal(sent.client_id, CLIENTS[provider].id);
    assert.equal(sent.response_type, 'code');
    assert.equal(sent.redirect_uri, `http://localhost:8080/api/auth/social/${provider}/callback`);
    assert.ok(sent.state.length >= 22, '128 random bits at least');
    assert.equal(Boolean(sent.nonce), provider !== 'naver');
    assert.equal(sent.code_challenge_method, ['google', 'school'].includes(provider) ? 'S256' : undefined);
    assert.notEqual((await query(provider)).state, sent.state);
  }
  const { scope } = await query('kakao');
  assert.equal(scope, 'openid,profile_nickname,account_email', 'the consent items are a setting');
  for (const call of idp.callsOf('kakao', 'token')) assert.ok(!call.headers.authorization && call.form.client_secret, 'Kakao wants the secret in the form');
  for (const call of idp.callsOf('school', 'token')) assert.ok(call.headers.authorization.startsWith('Basic '), 'as its discovery says');
});

test('[M-09] a guest completes and becomes a user; the old token is stale, both refresh tokens go on, an Idempotency-Key repeats', async () => {
  const guest = await enter('kakao', person());
  for (const path of ['/api/auth/email', '/api/auth/phone', '/api/auth/password']) {
    assert.equal((await guest.api.put(path, {})).problem, 'forbidden', 'guests may not');
  }
  const wish = names();
  const phone = phoneNumber();
  const proof = await world.proof(auth, 'verify_phone', phone);
  const body = { nickname: wish.nickname, handle: wish.handle, name: '김 바깥', gender: 'male', birth_date: '2000-02-29', phone_proof: proof };
  const taken = await guest.api.post('/api/auth/complete', { ...body, nickname: (await signUp(auth)).nickname });
  assert.deepEqual([taken.status, taken.problem], [409, 'nickname_taken']);
  assert.deepEqual((await guest.api.post('/api/auth/complete', { nickname: 'x' })).json.errors.map(({ pointer }) => pointer), ['/nickname']);
  const headers = { 'Idempotency-Key': `"${wish.handle}"` };
  const reply = await guest.api.post('/api/auth/complete', body, { headers });
  assert.equal(reply.status, 200, reply.text);
  const { user } = reply.json;
  assert.deepEqual([user.role, user.nickname, user.handle, user.phone, reply.json.session_id], ['user', wish.nickname, wish.handle, phone, guest.sid]);
  assert.equal(claims(reply.json.access_token).rv, 2);
  const stored = await world.sql('SELECT idempotency_keys::text AS row FROM idempotency_keys');
  assert.equal(stored.length, 1);
  for (const { row } of stored) assert.ok(!row.includes('eyJ') && !row.includes(reply.json.refresh_token), 'no token is stored');
  const again = await guest.api.post('/api/auth/complete', body, { headers });
  assert.ok([200, 401].includes(again.status), 'done already, or the guest token is known to be stale');
  if (again.status === 200) assert.deepEqual(again.json.user, user);
  await eventually(10000, async () => (await guest.api.get('/api/auth/sessions')).problem === 'token_stale');
  const member = new Api(auth.url, reply.json.access_token);
  const twice = await member.post('/api/auth/complete', body);
  assert.deepEqual([twice.status, twice.problem], [409, 'already_complete']);
  const last = again.status === 200 ? again.json.refresh_token : reply.json.refresh_token;
  const next = await refresh(auth, last);
  assert.deepEqual([next.status, next.json.user?.role], [200, 'user'], next.text);
  assert.equal((await refresh(auth, next.json.refresh_token)).status, 200);
});

test('[M-09] a reply to completing that got lost harms nobody: the refresh token from before goes on', async () => {
  const guest = await enter('kakao', person());
  assert.equal((await guest.api.post('/api/auth/complete', { nickname: names().nickname })).status, 200);
  const next = await refresh(auth, guest.refresh);
  assert.deepEqual([next.status, next.json.user.role], [200, 'user']);
});

test('[S-05][M-08][D-03] a verified e-mail of a verified account links; unverified ones never do', async () => {
  for (const provider of ['kakao', 'google', 'school']) {
    const { email, ...wish } = names();
    const local = await newcomer(auth, { ...wish, email, proof: await world.proof(auth, 'verify_email', email) });
    assert.equal((await goAround(provider, person({ email, email_verified: false }))).error, 'email_taken', provider);
    const session = await enter(provider, person({ email: email.toUpperCase() }));
    assert.deepEqual([session.user.id, session.user.role], [local.id, 'user'], provider);
    await logIn(auth, local);
    assert.equal((await refresh(auth, local.refresh)).status, 200, 'the password and the sessions stay');
  }
  const local = await signUp(auth);
  assert.equal((await goAround('naver', person({ email: local.email }))).error, 'email_taken');
  const notValid = await enter('kakao', person({ email: local.email, is_email_valid: false }));
  assert.equal(notValid.user.email, null, 'an address that Kakao calls invalid is nobody’s');
});

test('[M-08] who signed up with somebody’s address unproved does not share the account when its owner comes', async () => {
  const squatter = await newcomer(auth);
  const owner = await enter('google', person({ email: squatter.email }));
  assert.deepEqual([owner.user.id, owner.user.email_verified], [squatter.id, true]);
  assert.equal((await auth.api.post('/api/auth/login', { login: squatter.email, password: squatter.password })).problem, 'bad_credentials');
  assert.equal((await refresh(auth, squatter.refresh)).status, 401);
  await eventually(10000, async () => (await squatter.api.get('/api/auth/sessions')).problem === 'session_ended');
  assert.equal((await owner.api.put('/api/auth/password', { old_password: squatter.password, new_password: 'Brand-new-1' })).problem, 'no_password');
});

test('[M-08][P-05] a reset of an address that its holder never proved leaves no way in to who was there before: no identity, no code under way', async () => {
  const email = names().email;
  const stranger = person({ email });
  const squatter = await enter('naver', stranger); // Naver vouches for no address
  assert.deepEqual([squatter.user.email, squatter.user.email_verified], [email, false]);
  const { code } = await goAround('naver', stranger); // not exchanged yet
  const proof = await world.proof(auth, 'reset_password', email);
  assert.equal((await auth.api.post('/api/auth/password/reset', { proof, new_password: 'Owner-is-here-1' })).status, 204);
  const owner = await auth.api.post('/api/auth/login', { login: email, password: 'Owner-is-here-1' });
  assert.deepEqual([owner.status, owner.json.user.id, owner.json.user.email_verified], [200, squatter.user.id, true]);
  assert.equal((await exchange(code)).problem, 'bad_code');
  assert.equal((await goAround('naver', stranger)).error, 'email_taken');
  assert.equal((await refresh(auth, squatter.refresh)).status, 401);
});

test('[M-08] a code confirmed by nobody in particular says that the address is good, not whose the account is', async () => {
  const squatter = await newcomer(auth);
  await world.proof(auth, 'verify_email', squatter.email); // its owner, for a sign-up of his own
  assert.equal((await refresh(auth, squatter.refresh)).json.user.email_verified, true);
  const owner = await enter('google', person({ email: squatter.email }));
  assert.equal(owner.user.id, squatter.id);
  assert.equal((await auth.api.post('/api/auth/login', { login: squatter.email, password: squatter.password })).problem, 'bad_credentials');
  const holder = await newcomer(auth); // logged in as he confirms: it is his
  await world.proof(auth, 'verify_email', holder.email, holder.access);
  assert.equal((await enter('google', person({ email: holder.email }))).user.id, holder.id);
  await logIn(auth, holder);
});

test('[M-08][S-05] without an e-mail, and with one that is none', async () => {
  for (const [provider, email] of [['kakao', undefined], ['naver', undefined], ['google', undefined], ['school', undefined], ['naver', 'not an address']]) {
    const session = await enter(provider, person({ email }));
    assert.deepEqual([session.user.email, session.user.email_verified, session.user.role], [null, false, 'guest'], provider);
  }
});

test('[M-08][K-01] a double callback, also at the same moment, leads to the same place; the code is swapped once', async () => {
  idp.people.set('google', person());
  const { location, cookie } = await start('google', `?return_to=${encodeURIComponent(APP)}`);
  const address = await idp.authorize(location);
  const calls = idp.callsOf('google', 'token').length;
  const all = await Promise.all(Array.from({ length: 10 }, () => callback(address, cookie)));
  assert.equal(new Set(all.map((back) => JSON.stringify(back))).size, 1);
  assert.equal(idp.callsOf('google', 'token').length, calls + 1, 'the provider is asked once');
  assert.equal(all[0].to, APP);
  const swaps = await Promise.all(Array.from({ length: 10 }, () => exchange(all[0].code)));
  assert.deepEqual(count(swaps.map(({ status, problem }) => problem ?? status)), { 200: 1, bad_code: 9 });
  assert.deepEqual(await callback(address, cookie), all[0]);
});

test('[M-08] two first log-ins of one person at once make one account', async () => {
  const who = person();
  idp.people.set('kakao', who);
  const ways = await Promise.all(Array.from({ length: 6 }, () => start('kakao')));
  const backs = await Promise.all(ways.map(async ({ location, cookie }) => callback(await idp.authorize(location), cookie)));
  const ids = await Promise.all(backs.map(async ({ code }) => (await exchange(code)).json.user.id));
  assert.equal(new Set(ids).size, 1);
});

test('[K-01] the one-time code is short-lived and of one use; nonsense is refused', async () => {
  const { code } = await goAround('naver', person());
  await world.sql("UPDATE social_logins SET decided_at = decided_at - interval '2 minutes' WHERE code_hash IS NOT NULL");
  const late = await exchange(code);
  assert.deepEqual([late.status, late.problem], [400, 'bad_code']);
  assert.equal((await exchange('nonsense')).problem, 'bad_code');
  assert.equal((await auth.api.post('/api/auth/social/exchange', {})).status, 400);
});

test('[M-08][K-01] the state: random, of this browser, of this provider, ten minutes', async () => {
  idp.people.set('google', person());
  const mine = await start('google');
  const address = await idp.authorize(mine.location);
  const stranger = await start('google');
  for (const [where, cookie] of [
    [address, undefined],
    [address, stranger.cookie],
    [address.replace('/google/', '/naver/'), mine.cookie],
    [address.replace(/state=[^&]*/, 'state=made-up'), mine.cookie],
    [address.replace(/state=[^&]*&?/, ''), mine.cookie],
  ]) {
    assert.deepEqual(await callback(where, cookie), { to: HOME, error: 'failed' });
  }
  const calls = idp.callsOf('google', 'token').length;
  await world.sql("UPDATE social_logins SET expires_at = now() - interval '1 second'");
  assert.equal((await callback(address, mine.cookie)).error, 'failed');
  assert.equal(idp.callsOf('google', 'token').length, calls, 'the provider is never asked');
  const first = await start('google');
  const second = await start('google', '', first.cookie);
  assert.equal(first.cookie, second.cookie, 'two tabs share the browser’s cookie');
});

test('[S-05][M-08] return_to must be on the list; unknown providers are 404', async () => {
  const bad = await auth.api.get(`/api/auth/social/google?return_to=${encodeURIComponent('https://evil.example/')}`);
  assert.deepEqual([bad.status, bad.problem], [400, 'bad_input']);
  assert.equal((await auth.api.get('/api/auth/social/orkut')).status, 404);
  assert.equal((await auth.api.get('/api/auth/social/orkut/callback?state=x')).status, 404);
  const bare = await world.daemon();
  assert.equal((await bare.api.get('/api/auth/social/kakao')).status, 404, 'without a client id it is not offered');
  await bare.stop();
});

test('[S-05][M-08] who says no at the provider comes back with provider_denied, also twice', async () => {
  for (const provider of ['kakao', 'naver', 'google', 'school']) {
    assert.deepEqual(await goAround(provider, person(), { deny: true }), { to: HOME, error: 'provider_denied' }, provider);
  }
  idp.people.set('kakao', person());
  const { location, cookie } = await start('kakao');
  const back = new URL(await idp.authorize(location));
  back.searchParams.delete('code');
  back.searchParams.set('error', 'server_error');
  assert.equal((await callback(back.href, cookie)).error, 'failed');
});

test('[M-08][P-09] used code, odd replies, silence: failed, and no secret in the log', async () => {
  const fails = {
    'kakao token': [
      (response) => response.writeHead(401, { 'Content-Type': 'application/json' }).end('{"error":"invalid_client","error_code":"KOE010"}'),
      (response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<html>'),
      (response) => response.destroy(),
      () => {}, // never answers
    ],
    'naver token': [(response) => response.writeHead(200).end('{"error":"invalid_request","error_description":"no"}')],
    'naver user': [
      (response) => response.writeHead(200).end('{"resultcode":"024","message":"Authentication failed"}'),
      (response) => response.writeHead(200).end('{"resultcode":"00","message":"success","response":{"id":""}}'),
    ],
    'kakao user': [
      (response) => response.writeHead(403).end('{"msg":"insufficient scopes.","code":-402}'),
      (response) => response.writeHead(200).end('{"id":"text"}'),
      (response) => response.writeHead(200).end('{"id":12345}'), // somebody else than the id_token says
    ],
    'school user': [(response) => response.writeHead(200).end('{"sub":"somebody else","email":"a@b.example"}')],
  };
  for (const [place, answers] of Object.entries(fails)) {
    for (const answer of answers) {
      idp.fail[place] = answer;
      assert.equal((await goAround(place.split(' ')[0], person())).error, 'failed', `${place}: ${answer}`);
      delete idp.fail[place];
    }
  }
  const used = person();
  idp.people.set('google', used);
  const one = await start('google');
  const two = await start('google');
  const address = new URL(await idp.authorize(one.location));
  assert.ok((await callback(address.href, one.cookie)).code);
  const reused = new URL(await idp.authorize(two.location));
  reused.searchParams.set('code', address.searchParams.get('code'));
  assert.equal((await callback(reused.href, two.cookie)).error, 'failed', 'a code of another flow');
  const log = auth.log.join('\n');
  for (const { secret } of Object.values(CLIENTS)) assert.ok(!log.includes(secret));
  for (const code of idp.codes.keys()) assert.ok(!log.includes(code));
});

test('[M-08] a wrong client secret leads to failed, with each provider', async () => {
  const settings = idp.settings('http://localhost:8080');
  const wrong = { KAKAO_CLIENT_SECRET: 'x', NAVER_CLIENT_SECRET: 'x', GOOGLE_CLIENT_SECRET: 'x', SOCIAL_OIDC: settings.SOCIAL_OIDC.replace(CLIENTS.school.secret, 'x') };
  const daemon = await world.daemon({ ...settings, ...wrong, SOCIAL_RETURN_TO: HOME });
  for (const provider of ['kakao', 'naver', 'google', 'school']) {
    idp.people.set(provider, person());
    const reply = await daemon.api.get(`/api/auth/social/${provider}`);
    const back = new URL(await idp.authorize(reply.headers.location));
    const Cookie = cookieOf(reply, 'madang_social').split(';')[0];
    const end = await daemon.api.get(back.pathname + back.search, { headers: { Cookie } });
    assert.equal(end.headers.location, `${HOME}#error=failed`, provider);
  }
  await daemon.stop();
});

test('[M-08][P-03] a bad id_token is refused: other issuer, audience, nonce, time, algorithm, key', async () => {
  const now = () => Math.floor(Date.now() / 1000);
  const hmac = (claimed, header) => {
    header.alg = 'HS256';
    createHmac('sha256', 'x');
  };
  const bad = {
    issuer: (says) => (says.iss = 'https://evil.example'),
    audience: (says) => (says.aud = 'another-client'),
    'audience list without us': (says) => (says.aud = ['a', 'b']),
    'audience list without azp': (says) => (says.aud = [says.aud, 'b']),
    nonce: (says) => (says.nonce = 'another'),
    'no nonce': (says) => delete says.nonce,
    expired: (says) => (says.exp = now() - 61),
    future: (says) => (says.iat = now() + 120),
    'no subject': (says) => delete says.sub,
    none: (says, header) => (header.alg = 'none'),
    HS256: hmac,
    'unknown key': (says, header) => (header.kid = 'nobody'),
  };
  for (const provider of ['google', 'school']) {
    for (const [what, tamper] of Object.entries(bad)) {
      idp.tamper[provider] = tamper;
      assert.equal((await goAround(provider, person())).error, 'failed', `${provider}: ${what}`);
    }
    const good = {
      'clock skew': (says) => Object.assign(says, { exp: now() - 30, iat: now() + 30 }),
      'audience list with azp': (says) => Object.assign(says, { aud: [says.aud, 'b'], azp: says.aud }),
    };
    for (const [what, tamper] of Object.entries(good)) {
      idp.tamper[provider] = tamper;
      assert.ok((await goAround(provider, person())).code, `${provider}: ${what}`);
    }
    delete idp.tamper[provider];
  }
});

test('[M-08] providers rotate their keys: a new one is fetched when it is met', async () => {
  await enter('google', person());
  await enter('school', person());
  idp.rotate();
  await eventually(5000, async () => (await goAround('google', person())).code && (await goAround('school', person())).code, 'the new keys are known');
});

test('[D-03][P-06] who has left can not come back through a provider', async () => {
  const who = person();
  const session = await enter('kakao', who);
  assert.equal((await session.api.delete('/api/auth/account')).status, 204, 'a social account has no password to ask for');
  const { code } = await goAround('kakao', who);
  const reply = await exchange(code);
  assert.deepEqual([reply.status, reply.problem], [403, 'withdrawn']);
});

test('[S-05] a social account gets a password by a code to its e-mail', async () => {
  const { email } = names();
  const session = await enter('google', person({ email }));
  assert.equal((await auth.api.post('/api/auth/login', { login: email, password: 'Whatever-1' })).problem, 'bad_credentials');
  const proof = await world.proof(auth, 'reset_password', email);
  assert.equal((await auth.api.post('/api/auth/password/reset', { proof, new_password: `Brand-new-${randomInt(1000)}` })).status, 204);
  assert.equal((await refresh(auth, session.refresh)).status, 401);
});

test('[K-01][K-04] exchange can put the refresh token into the cookie', async () => {
  const { code } = await goAround('google', person());
  const reply = await exchange(code, { cookie: true });
  assert.equal(reply.json.refresh_token, undefined);
  assert.match(cookieOf(reply, 'madang_refresh'), /HttpOnly/i);
});
