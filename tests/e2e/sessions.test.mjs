// Refresh families and revocation, through two gateways and straight at every service.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Api } from '../support/http.mjs';
import { logIn, newcomer, sessionOf, signUp } from '../support/people.mjs';
import { crash, env, gateways, instances } from '../support/stack.mjs';
import { eventually } from '../support/wait.mjs';

const open = new Api(env.GATEWAY_URL);
const refresh = (token, base = env.GATEWAY_URL) => new Api(base).post('/api/auth/refresh', { refresh_token: token });
const visit = (base, session) => new Api(base, session.access).get('/api/users/me');

/** Every door refuses the session, soon. */
async function refusedEverywhere(session, doors = [...gateways(), ...instances('user-svc').map((service) => service.url)]) {
  for (const door of doors) await eventually(5000, async () => (await visit(door, session)).problem === 'session_ended', `${door} refuses`);
}

test('[P-04][K-05] two tabs that refresh at once get the same successor, and both go on', async () => {
  const person = await newcomer();
  const doors = gateways();
  const replies = await Promise.all(Array.from({ length: 8 }, (_, i) => refresh(person.refresh, doors[i % doors.length])));
  for (const reply of replies) assert.equal(reply.status, 200, reply.text);
  assert.equal(new Set(replies.map((reply) => reply.json.refresh_token)).size, 1);
  for (const reply of replies) assert.equal((await visit(doors[0], sessionOf(reply.json))).status, 200);
  assert.equal((await refresh(replies[7].json.refresh_token)).status, 200);
  assert.equal((await person.api.get('/api/auth/sessions')).json.items.length, 1, 'still one session');
});

test('[P-04][M-06] a replayed refresh token kills its family and no other session', async () => {
  const person = await signUp();
  const robbed = await logIn(person, { device_name: 'robbed' });
  const other = await logIn(person, { device_name: 'other' });
  const next = sessionOf((await refresh(robbed.refresh)).json);
  // Within ten seconds the old token gives the same successor (two tabs); then it is a replay.
  const replay = await eventually(
    20000,
    async () => {
      const reply = await refresh(robbed.refresh);
      return reply.status !== 200 && reply;
    },
    'the replay is noticed',
    500,
  );
  assert.deepEqual([replay.status, replay.problem], [401, 'refresh_reused']);
  assert.equal((await refresh(next.refresh)).status, 401, 'the successor is dead too');
  await refusedEverywhere(next);
  assert.equal((await other.api.get('/api/users/me')).status, 200, 'the other device lives');
  assert.equal((await refresh(other.refresh)).status, 200);
});

test('[P-05][M-07] revoke beats a refresh that races it', async () => {
  const person = await signUp();
  const master = await logIn(person);
  for (let round = 0; round < 10; round++) {
    const session = await logIn(person);
    const [revoked, ...racing] = await Promise.all([
      master.api.delete(`/api/auth/sessions/${session.sid}`),
      ...gateways().map((door) => refresh(session.refresh, door)),
    ]);
    assert.equal(revoked.status, 204, revoked.text);
    for (const reply of racing) {
      assert.ok([200, 401].includes(reply.status), reply.text);
      if (reply.status !== 200) continue;
      const won = sessionOf(reply.json);
      assert.equal((await refresh(won.refresh)).status, 401, 'the new refresh token is dead');
      await refusedEverywhere(won);
    }
    assert.equal((await refresh(session.refresh)).status, 401);
  }
});

test('[P-05][S-06][K-05] a revoked session is refused by every gateway and service within 2 s, and still after kill -9 of both gateways', async () => {
  const person = await signUp();
  const master = await logIn(person),
    victim = await logIn(person);
  for (const door of gateways()) assert.equal((await visit(door, victim)).status, 200);
  assert.ok(gateways().length >= 2, 'two gateways run');
  assert.equal((await master.api.delete(`/api/auth/sessions/${victim.sid}`)).status, 204);
  await refusedEverywhere(victim);
  await Promise.all(instances('gateway').map((gateway) => crash(gateway)));
  // Not a moment of grace: a gateway is not ready before it knows who was revoked.
  for (const door of gateways()) {
    const reply = await visit(door, victim);
    assert.deepEqual([reply.status, reply.problem], [401, 'session_ended']);
    assert.equal((await visit(door, master)).status, 200);
  }
});

test('[P-08][S-09] a new password ends the other sessions', async () => {
  const person = await signUp();
  const mine = await logIn(person),
    other = await logIn(person);
  const same = await mine.api.put('/api/auth/password', { old_password: person.password, new_password: person.password });
  assert.deepEqual([same.status, same.problem], [400, 'password_unchanged']);
  const changed = await mine.api.put('/api/auth/password', { old_password: person.password, new_password: `${person.password}x` });
  assert.equal(changed.status, 204, changed.text);
  await refusedEverywhere(other);
  assert.equal((await refresh(other.refresh)).status, 401);
  assert.equal((await open.post('/api/auth/login', { login: person.email, password: person.password })).problem, 'bad_credentials');
});
