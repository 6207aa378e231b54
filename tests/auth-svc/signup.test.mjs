// Sign-up, availability, and the rules of names, against a daemon of our own.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { World, count, logIn, names, phoneNumber, signUp } from './world.mjs';

let world, auth;
before(async () => {
  world = await World.open();
  auth = await world.daemon();
});
after(() => world.close());

const post = (wish) => auth.api.post('/api/auth/signup', wish);

test('[P-01][M-01][S-01][D-01] sign-up gives 201 and an account that can log in at once; the event says the same', async () => {
  const wish = { ...names(), name: '김 마당', gender: 'female', birth_date: '1999-12-31' };
  const reply = await post(wish);
  assert.equal(reply.status, 201, reply.text);
  const { user } = reply.json;
  assert.deepEqual(user, { id: user.id, handle: wish.handle, nickname: wish.nickname, email: wish.email, role: 'user', email_verified: false });
  assert.ok(!reply.text.includes(wish.password) && !reply.text.includes('argon2'), 'no password, no hash');
  await logIn(auth, wish);
  const event = await world.event('accounts', (account) => account.user_id === user.id);
  const { id, at, created_at, ...rest } = event;
  assert.match(id, /^[0-9a-f-]{36}$/);
  assert.ok(Date.parse(at) && Date.parse(created_at));
  assert.deepEqual(rest, {
    v: 1, kind: 'account', user_id: user.id, handle: wish.handle, nickname: wish.nickname, email: wish.email, email_verified: false,
    phone: '', locale: 'en', role: 'user', verified: false, withdrawn: false, version: 1,
  });
  const [row] = await world.sql('SELECT name, gender, birth_date::text, password_hash FROM accounts WHERE id = $1', [user.id]);
  assert.deepEqual([row.name, row.gender, row.birth_date], ['김 마당', 'female', '1999-12-31']);
  assert.match(row.password_hash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
});

test('[P-01] a handle is made when none is given', async () => {
  const { handle, ...wish } = names();
  const reply = await post(wish);
  assert.equal(reply.status, 201);
  assert.match(reply.json.user.handle, /^[a-z0-9_.]{2,30}$/);
});

test('[D-01] nobody chooses a role at sign-up', async () => {
  const reply = await post({ ...names(), role: 'admin' });
  assert.deepEqual([reply.status, reply.problem], [400, 'bad_input']);
  assert.deepEqual(reply.json.errors.map(({ pointer }) => pointer), ['/role']);
});

test('[P-01][S-01][M-01][M-02] every wrong field is told, and nothing is stored', async () => {
  const wish = names();
  const reply = await post({ ...wish, email: 'nobody', password: 'short', nickname: 'x', handle: 'Not OK', birth_date: '2999-01-01' });
  assert.deepEqual([reply.status, reply.problem], [400, 'bad_input']);
  assert.deepEqual(reply.json.errors.map(({ pointer }) => pointer).sort(), ['/birth_date', '/email', '/handle', '/nickname', '/password']);
  assert.ok(!reply.text.includes('short'), 'the password is not echoed');
  for (const [change, pointer] of [
    [{ password: wish.email }, '/password'],
    [{ password: wish.handle }, '/password'],
    [{ nickname: `Nick ${wish.handle}`.slice(0, 20), password: `nick ${wish.handle}`.slice(0, 20) }, '/password'],
    [{ password: 'lettersonly' }, '/password'],
    [{ password: '1234567890' }, '/password'],
    [{ password: 'a1'.repeat(65) }, '/password'],
    [{ nickname: '가'.repeat(21) }, '/nickname'],
    [{ nickname: 'f.u.c.k 1' }, '/nickname'],
    [{ nickname: '시1발' }, '/nickname'],
    [{ email: `${'a'.repeat(245)}@yard.example` }, '/email'],
    [{ handle: 'h'.repeat(31) }, '/handle'],
    [{ gender: 'cat' }, '/gender'],
    [{ nickname: 7 }, '/nickname'],
    [{ nickname: undefined }, '/nickname'],
  ]) {
    const refused = await post({ ...wish, ...change });
    assert.equal(refused.status, 400, JSON.stringify(change));
    assert.deepEqual(refused.json.errors.map((error) => error.pointer), [pointer], JSON.stringify(change));
  }
  assert.equal((await post(wish)).status, 201, 'none of them took a name');
});

test('[P-01][S-02][M-01] e-mail, handle and nickname are unique whatever the case; the code says which', async () => {
  const person = await signUp(auth);
  for (const [change, code] of [
    [{ email: person.email.toUpperCase() }, 'email_taken'],
    [{ handle: person.handle }, 'handle_taken'],
    [{ nickname: person.nickname.toUpperCase() }, 'nickname_taken'],
    [{ nickname: person.nickname.replace(/[0-9]/g, (digit) => String.fromCodePoint(0xff10 + Number(digit))) }, 'nickname_taken'],
  ]) {
    const reply = await post({ ...names(), ...change });
    assert.deepEqual([reply.status, reply.problem], [409, code]);
  }
});

test('[P-01][S-01][M-01] of 40 sign-ups at once with one name, one wins and 39 are told which name', async () => {
  for (const [member, code] of [['email', 'email_taken'], ['handle', 'handle_taken'], ['nickname', 'nickname_taken']]) {
    const shared = names()[member];
    const replies = await Promise.all(Array.from({ length: 40 }, () => post({ ...names(), [member]: shared })));
    assert.deepEqual(count(replies.map(({ status, problem }) => problem ?? status)), { 201: 1, [code]: 39 });
  }
});

test('[S-02][M-02] availability: true is free; taken, profane and impossible names are not', async () => {
  const person = await signUp(auth);
  const free = names();
  const ask = async (query) => {
    const reply = await auth.api.get(`/api/auth/availability?${new URLSearchParams(query)}`);
    assert.equal(reply.status, 200, reply.text);
    return reply.json;
  };
  assert.deepEqual(await ask({ email: free.email, handle: free.handle, nickname: free.nickname }), { email: true, handle: true, nickname: true });
  assert.deepEqual(await ask({ email: person.email.toUpperCase(), handle: person.handle, nickname: person.nickname.toUpperCase() }), {
    email: false, handle: false, nickname: false,
  });
  assert.deepEqual(await ask({ nickname: '개-새-끼' }), { nickname: false });
  assert.deepEqual(await ask({ nickname: 's h 1 i t' }), { nickname: false });
  assert.deepEqual(await ask({ handle: 'No Good' }), { handle: false });
  const nothing = await auth.api.get('/api/auth/availability');
  assert.deepEqual([nothing.status, nothing.problem], [400, 'bad_input']);
});

test('[M-03][P-07][S-03] sign-up with a proof: the e-mail is verified; a proof is for its address and once', async () => {
  const wish = names();
  const proof = await world.proof(auth, 'verify_email', wish.email);
  const other = await post({ ...names(), proof });
  assert.deepEqual([other.status, other.problem], [400, 'bad_proof'], 'another address');
  const taken = await post({ ...wish, proof, nickname: (await signUp(auth)).nickname });
  assert.equal(taken.problem, 'nickname_taken');
  const reply = await post({ ...wish, email: wish.email.toUpperCase(), proof });
  assert.equal(reply.status, 201, 'a refused sign-up leaves the proof good');
  assert.equal(reply.json.user.email_verified, true);
  const again = await post({ ...names(), email: wish.email, proof });
  assert.equal(again.status >= 400, true);
  const made = await post({ ...names(), proof: 'x'.repeat(43) });
  assert.deepEqual([made.status, made.problem], [400, 'bad_proof']);
});

test('[M-01][M-04] a phone needs its proof and is kept without dashes', async () => {
  const phone = phoneNumber();
  const dashed = `${phone.slice(0, 3)}-${phone.slice(3, 7)}-${phone.slice(7)}`;
  assert.equal((await auth.api.post('/api/auth/codes', { purpose: 'verify_phone', phone: dashed })).status, 202);
  const confirmed = await auth.api.post('/api/auth/codes/confirm', {
    purpose: 'verify_phone', phone: `+82 ${phone.slice(1)}`, code: await world.code('verify_phone', phone),
  });
  assert.equal(confirmed.status, 200, confirmed.text);
  const person = await signUp(auth, { phone_proof: confirmed.json.proof });
  assert.equal(person.user.phone, phone);
  assert.equal((await world.event('accounts', (account) => account.user_id === person.id)).phone, phone);
  const again = await post({ ...names(), phone_proof: confirmed.json.proof });
  assert.equal(again.problem, 'bad_proof');
});

test('[P-09][D-54] bad bodies get one clear error each, and nothing is stored', async () => {
  const accounts = async () => (await world.sql('SELECT count(*) FROM accounts'))[0].count;
  const before = await accounts();
  const send = (body, headers = { 'Content-Type': 'application/json' }) => auth.api.call('POST', '/api/auth/signup', { body, headers });
  for (const body of ['', '{', '[]', 'null', '{"email":"a","email":"b"}', '{"email":"\ud800"}', Buffer.from([0x7b, 0xff, 0x7d]), '['.repeat(5000), `{"a":${'9'.repeat(5000)}}`]) {
    const reply = await send(body);
    assert.equal(reply.status, 400, `${String(body).slice(0, 20)}: ${reply.text}`);
    assert.equal(reply.problem, 'bad_input');
  }
  assert.equal((await send(Buffer.alloc(200000, 0x20))).status, 413);
  const injected = names();
  const reply = await post({ ...injected, nickname: "o'); DROP TABLE" });
  assert.equal(reply.status, 201, 'just a name');
  assert.equal(await accounts(), before + 1);
});
