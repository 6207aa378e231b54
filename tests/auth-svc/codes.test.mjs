// Codes by e-mail and SMS, proofs, and what is done with them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually } from '../support/wait.mjs';
import { World, logIn, names, newcomer, phoneNumber, refresh, said, signUp } from './world.mjs';

let world, auth;
before(async () => {
  world = await World.open();
  auth = await world.daemon();
});
after(() => world.close());

const ask = (purpose, target, daemon = auth) => daemon.api.post('/api/auth/codes', { purpose, ...target });
const confirm = (purpose, target, code) => auth.api.post('/api/auth/codes/confirm', { purpose, ...target, code });
const wrongOf = (code) => String((Number(code) + 1) % 1000000).padStart(6, '0');
/** Lets the resend interval of an address pass. */
const minuteLater = (address) => world.sql("UPDATE codes SET sent_at = sent_at - interval '61 seconds' WHERE address = $1", [address]);
const resetPassword = (proof, new_password) => auth.api.post('/api/auth/password/reset', { proof, new_password });

test('[P-07][M-03] a code is six digits, leaves as a notify.requests event, and gives a proof', async () => {
  const { email } = names();
  const reply = await ask('verify_email', { email: email.toUpperCase() });
  assert.equal(reply.status, 202);
  const event = await world.event('notify.requests', ({ to }) => to.email === email);
  assert.deepEqual([event.kind, event.channels, event.args.purpose], ['code', ['email'], 'verify_email']);
  assert.match(event.args.code, /^\d{6}$/);
  assert.ok(event.dedupe_id && event.locale === 'en');
  assert.ok(!reply.text.includes(event.args.code));
  const confirmed = await confirm('verify_email', { email }, ` ${event.args.code.slice(0, 3)}-${event.args.code.slice(3)} `);
  assert.equal(confirmed.status, 200, confirmed.text);
  assert.deepEqual(Object.keys(confirmed.json).sort(), ['expires_in', 'proof']);
  assert.equal(confirmed.json.expires_in, 600);
});

test('[P-07][P-09][M-03] codes are kept as keyed hashes and never logged', async () => {
  const { email } = names();
  await ask('verify_email', { email });
  const code = await world.code('verify_email', email);
  const [row] = await world.sql("SELECT encode(code_mac, 'hex') AS mac, codes::text AS text FROM codes WHERE address = $1", [email]);
  assert.match(row.mac, /^[0-9a-f]{64}$/);
  assert.ok(!row.text.includes(code));
  await confirm('verify_email', { email }, wrongOf(code));
  const { json } = await confirm('verify_email', { email }, code);
  const [{ proofs }] = await world.sql("SELECT string_agg(proofs::text, ' ') AS proofs FROM proofs WHERE address = $1", [email]);
  assert.ok(!proofs.includes(json.proof));
  const log = auth.log.join('\n');
  assert.ok(!log.includes(`"${code}"`) && !log.includes(json.proof));
});

test('[P-07][M-03] a code is used once, for its purpose and address only', async () => {
  const one = names();
  const two = names();
  await ask('verify_email', { email: one.email });
  await ask('verify_email', { email: two.email });
  const code = await world.code('verify_email', one.email);
  const others = await world.code('verify_email', two.email);
  if (code !== others) assert.equal((await confirm('verify_email', { email: two.email }, code)).problem, 'bad_code');
  assert.equal((await confirm('reset_password', { email: one.email }, code)).problem, 'bad_code');
  assert.equal((await confirm('verify_email', { email: one.email }, code)).status, 200);
  const again = await confirm('verify_email', { email: one.email }, code);
  assert.deepEqual([again.status, again.problem], [400, 'bad_code']);
});

test('[P-07][M-03] five tries: after five wrong ones the right one is too late, also when they come at once', async () => {
  const { email } = names();
  await ask('verify_email', { email });
  const code = await world.code('verify_email', email);
  const tries = await Promise.all(Array.from({ length: 5 }, () => confirm('verify_email', { email }, wrongOf(code))));
  for (const reply of tries) assert.deepEqual([reply.status, reply.problem], [400, 'bad_code']);
  assert.equal((await confirm('verify_email', { email }, code)).problem, 'bad_code');
  await minuteLater(email);
  await ask('verify_email', { email });
  assert.equal((await confirm('verify_email', { email }, await world.code('verify_email', email, 2))).status, 200, 'a new code has new tries');
});

test('[P-07][M-03] of 20 confirmations at once of the right code, one gets the proof', async () => {
  const { email } = names();
  await ask('verify_email', { email });
  const code = await world.code('verify_email', email);
  const replies = await Promise.all(Array.from({ length: 20 }, () => confirm('verify_email', { email }, code)));
  assert.equal(replies.filter(({ status }) => status === 200).length, 1);
});

test('[P-07][M-03] a code lives 3 minutes, a proof 10', async () => {
  const { email } = names();
  await ask('verify_email', { email });
  const code = await world.code('verify_email', email);
  const [{ life }] = await world.sql('SELECT extract(epoch FROM expires_at - sent_at)::int AS life FROM codes WHERE address = $1', [email]);
  assert.equal(life, 180);
  await world.sql('UPDATE codes SET expires_at = now() WHERE address = $1', [email]);
  assert.equal((await confirm('verify_email', { email }, code)).problem, 'bad_code');
  const person = await signUp(auth);
  const proof = await world.proof(auth, 'reset_password', person.email);
  await world.sql('UPDATE proofs SET expires_at = now() WHERE address = $1', [person.email]);
  assert.deepEqual([(await resetPassword(proof, 'Brand-new-1')).problem], ['bad_proof']);
});

test('[P-07][M-03] one code a minute, quotas per address and per client; the answer is always 202', async () => {
  const { email } = names();
  const sends = () => world.eventsOf('notify.requests', ({ to }) => to.email === email).length;
  const replies = await Promise.all(Array.from({ length: 10 }, () => ask('verify_email', { email })));
  for (const reply of replies) assert.equal(reply.status, 202);
  await world.code('verify_email', email);
  assert.equal(sends(), 1);
  await world.sql("INSERT INTO code_sends (address, ip) SELECT $1, '192.0.2.1' FROM generate_series(1, 18)", [email]);
  await minuteLater(email);
  assert.equal((await ask('verify_email', { email })).status, 202);
  await world.code('verify_email', email, 2);
  await minuteLater(email);
  assert.equal((await ask('verify_email', { email })).status, 202, 'the 21st of the day');
  const few = await world.daemon({ CODE_IP_PER_HOUR: '1' });
  const last = names().email;
  assert.equal((await ask('verify_email', { email: last }, few)).status, 202);
  const bench = await world.daemon({ CODE_IP_PER_HOUR: '1', PROFILE: 'bench' });
  const free = names().email;
  assert.equal((await ask('verify_email', { email: free }, bench)).status, 202);
  await world.code('verify_email', free);
  assert.equal(sends(), 2, 'over the quota of the address nothing leaves');
  assert.equal(world.eventsOf('notify.requests', ({ to }) => to.email === last).length, 0, 'nor over the quota of the client');
  await few.stop();
  await bench.stop();
});

test('[P-07][P-08][M-04][D-02] the same answer whether or not the account exists; nothing leaves for nobody', async () => {
  const person = await signUp(auth);
  const nobody = names().email;
  const phone = phoneNumber();
  assert.deepEqual(said(await ask('reset_password', { email: person.email })), said(await ask('reset_password', { email: nobody })));
  assert.equal((await ask('find_login', { phone })).status, 202);
  await world.code('reset_password', person.email);
  const wrong = await confirm('reset_password', { email: person.email }, wrongOf(await world.code('reset_password', person.email)));
  assert.deepEqual(said(await confirm('reset_password', { email: nobody }, '123456')), said(wrong));
  assert.equal(world.eventsOf('notify.requests', ({ to }) => to.email === nobody || to.phone === phone).length, 0);
});

test('[P-07] bad requests: unknown purpose, both or no address, no phone number', async () => {
  for (const [body, pointer] of [
    [{ purpose: 'admin', email: 'a@b.example' }, '/purpose'],
    [{ purpose: 'verify_email' }, '/email'],
    [{ purpose: 'verify_email', email: 'nobody' }, '/email'],
    [{ purpose: 'verify_email', email: 'a@b.example', phone: '010-1234-5678' }, '/phone'],
    [{ purpose: 'find_login', phone: '12' }, '/phone'],
  ]) {
    const reply = await auth.api.post('/api/auth/codes', body);
    assert.equal(reply.status, 400, JSON.stringify(body));
    assert.deepEqual(reply.json.errors.map((error) => error.pointer), [pointer]);
  }
});

test('[P-07][S-03] confirming verify_email marks the account of that address, and only then', async () => {
  const person = await signUp(auth);
  await ask('verify_email', { email: person.email });
  const code = await world.code('verify_email', person.email);
  await confirm('verify_email', { email: person.email }, wrongOf(code));
  assert.equal((await logIn(auth, person)).user.email_verified, false, 'a wrong code verifies nothing');
  await confirm('verify_email', { email: person.email }, code);
  assert.equal((await logIn(auth, person)).user.email_verified, true);
  const event = await world.event('accounts', (account) => account.user_id === person.id && account.email_verified);
  assert.deepEqual([event.version, event.verified], [2, true]);
});

test('[P-07][S-03] with AUTH_REQUIRE_VERIFIED log-in waits for the code', async () => {
  const strict = await world.daemon({ AUTH_REQUIRE_VERIFIED: 'on' });
  const person = await signUp(strict);
  const early = await strict.api.post('/api/auth/login', { login: person.email, password: person.password });
  assert.deepEqual([early.status, early.problem], [403, 'email_unverified']);
  const wrong = await strict.api.post('/api/auth/login', { login: person.email, password: 'Wrong-pass-1' });
  assert.equal(wrong.problem, 'bad_credentials', 'told only to who knows the password');
  await world.proof(strict, 'verify_email', person.email);
  await logIn(strict, person);
  await strict.stop();
});

test('[P-08] reset: only with the proof, once; all sessions end; the new password works, the old does not', async () => {
  const person = await newcomer(auth);
  const other = await logIn(auth, person);
  for (const body of [{ email: person.email, new_password: 'Brand-new-1' }, { proof: 'x'.repeat(43), new_password: 'Brand-new-1' }]) {
    assert.equal((await auth.api.post('/api/auth/password/reset', body)).status, 400);
  }
  const verifying = await world.proof(auth, 'verify_email', person.email);
  assert.equal((await resetPassword(verifying, 'Brand-new-1')).problem, 'bad_proof', 'a proof of another purpose');
  const proof = await world.proof(auth, 'reset_password', person.email);
  const same = await resetPassword(proof, person.password);
  assert.deepEqual([same.status, same.problem], [400, 'password_unchanged']);
  assert.deepEqual((await resetPassword(proof, 'short')).json.errors.map(({ pointer }) => pointer), ['/new_password']);
  assert.equal((await resetPassword(proof, person.handle.padEnd(8, '0'))).status, person.handle.length >= 8 ? 400 : 204, 'nor a name of the account');
  assert.equal((await resetPassword(proof, 'Brand-new-1')).status, 204);
  assert.equal((await resetPassword(proof, 'Brand-new-2')).problem, 'bad_proof');
  for (const token of [person.refresh, other.refresh]) assert.equal((await refresh(auth, token)).problem, 'refresh_expired');
  assert.equal((await world.event('sessions.ended', ({ sid }) => sid === other.sid)).reason, 'password_changed');
  await eventually(10000, async () => (await other.api.get('/api/auth/sessions')).problem === 'session_ended');
  assert.equal((await auth.api.post('/api/auth/login', { login: person.email, password: person.password })).status, 401);
  await logIn(auth, { ...person, password: 'Brand-new-1' });
});

test('[M-04] find my log-in: a code to the phone gives the e-mail, also when it was typed with dashes at sign-up', async () => {
  const phone = phoneNumber();
  const phone_proof = await world.proof(auth, 'verify_phone', phone);
  const person = await signUp(auth, { phone_proof });
  const dashed = { phone: `${phone.slice(0, 3)}-${phone.slice(3, 7)}-${phone.slice(7)}` };
  assert.equal((await ask('find_login', dashed)).status, 202);
  const event = await world.event('notify.requests', ({ to, args }) => to.phone === phone && args.purpose === 'find_login');
  assert.deepEqual(event.channels, ['sms']);
  assert.equal((await confirm('find_login', dashed, wrongOf(event.args.code))).problem, 'bad_code');
  const reply = await confirm('find_login', { phone }, event.args.code);
  assert.deepEqual([reply.status, reply.json], [200, { email: person.email }]);
});

test('[K-06][P-01] a new e-mail needs its proof and the password; it is verified and unique', async () => {
  const person = await newcomer(auth);
  const { email } = names();
  const proof = await world.proof(auth, 'verify_email', email);
  const put = (body, api = person.api) => api.put('/api/auth/email', body);
  assert.equal((await put({ proof })).status, 400, 'no password');
  const wrong = await put({ proof, password: 'Wrong-pass-1' });
  assert.deepEqual([wrong.status, wrong.problem], [401, 'bad_credentials']);
  assert.equal((await put({ proof: 'x'.repeat(43), password: person.password })).problem, 'bad_proof');
  const reply = await put({ proof, password: person.password });
  assert.deepEqual([reply.status, reply.json.email, reply.json.email_verified], [200, email, true], reply.text);
  await logIn(auth, { ...person, email });
  assert.equal((await auth.api.post('/api/auth/login', { login: person.email, password: person.password })).status, 401);
  assert.equal((await world.event('accounts', (account) => account.user_id === person.id && account.email === email)).version, 2);
  const rival = await newcomer(auth);
  await minuteLater(email);
  const code = (await ask('verify_email', { email })) && (await world.code('verify_email', email, 2));
  const taken = await put({ proof: (await confirm('verify_email', { email }, code)).json.proof, password: rival.password }, rival.api);
  assert.deepEqual([taken.status, taken.problem], [409, 'email_taken']);
});

test('[M-04][M-09] a new phone needs its proof', async () => {
  const person = await newcomer(auth);
  const phone = phoneNumber();
  assert.equal((await person.api.put('/api/auth/phone', { proof: 'x'.repeat(43) })).problem, 'bad_proof');
  const reply = await person.api.put('/api/auth/phone', { proof: await world.proof(auth, 'verify_phone', phone) });
  assert.deepEqual([reply.status, reply.json.phone], [200, phone]);
});

test('[D-01] the first admin is the account with the named address, once it is verified, and only while there is none', async () => {
  const [chief, next] = [names(), names()];
  const first = await world.daemon({ AUTH_FIRST_ADMIN: chief.email.toUpperCase() });
  const boss = await newcomer(first, chief);
  assert.equal(boss.user.role, 'user', 'a claimed address is not enough');
  await world.proof(first, 'verify_email', boss.email, boss.access);
  const reply = await refresh(first, boss.refresh);
  assert.equal(reply.json.user.role, 'admin');
  await first.stop();
  const second = await world.daemon({ AUTH_FIRST_ADMIN: next.email });
  const late = await newcomer(second, { ...next, proof: await world.proof(second, 'verify_email', next.email) });
  assert.equal(late.user.role, 'user', 'there is one already');
  await world.sql("UPDATE accounts SET role = 'user' WHERE role = 'admin'");
  await second.stop();
  const third = await world.daemon({ AUTH_FIRST_ADMIN: next.email });
  assert.equal((await refresh(third, late.refresh)).json.user.role, 'admin', 'named at start, when the setting came later');
  await third.stop();
});

test('[P-07] what is too old is swept', async () => {
  await world.sql("UPDATE codes SET expires_at = now() - interval '2 hours'");
  await world.sql("UPDATE proofs SET expires_at = now() - interval '1 second'");
  await world.sql("UPDATE code_sends SET at = now() - interval '2 days'");
  await eventually(10000, async () => (await world.sql('SELECT 1 FROM codes UNION ALL SELECT 1 FROM proofs UNION ALL SELECT 1 FROM code_sends')).length === 0);
});
