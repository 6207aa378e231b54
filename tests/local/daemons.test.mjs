// The supervisor's promises about daemons, shown with stand-ins on real stores: deploy/local/README.md.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { after, before, test } from 'node:test';
import { readEnv } from './env.mjs';
import { request } from '../support/http.mjs';
import { eventually, pause } from '../support/wait.mjs';
import { alive, DAEMONS, occupy, STORES, Yard } from './yard.mjs';

const FIRST = DAEMONS.map((name) => `${name}-1`);
let yard;
before(async () => {
  yard = await Yard.make();
  const up = await yard.stack('stores');
  assert.equal(up.status, 0, up.all);
});
after(async () => {
  await yard.remove();
});

/** Brings the daemons up anew with these settings; the stores stay. */
async function up(extra) {
  await yard.stack('daemons-down');
  const result = await yard.stack('up', extra);
  return result;
}

test('[P-44] every instance has its pid, log, url and admin file, the url answers, and status lists all of it', async () => {
  const result = await up({ SCALE: 'user-svc=2 gateway=2' });
  assert.equal(result.status, 0, result.all);
  const all = ['gateway-1', 'gateway-2', 'auth-svc-1', 'user-svc-1', 'user-svc-2'];
  for (const name of all) {
    assert.ok(alive(yard.pid(name)), name);
    assert.match(yard.read(`${name}.log`), new RegExp(`${name} listens`));
    assert.equal((await request('GET', yard.read(`${name}.url`))).text, name);
    assert.equal((await request('GET', `${yard.read(`${name}.admin`)}/readyz`)).status, 200);
  }
  const env = readEnv(yard.file('env'));
  assert.equal(env.GATEWAY_URL, yard.read('gateway-1.url'));
  assert.equal(env.GATEWAY_ADMIN_URL, yard.read('gateway-1.admin'));
  for (const name of ['PG_URL', 'REDIS_URL', 'KAFKA_BROKERS', 'ADMIN_LOGIN', 'ADMIN_PASSWORD', 'DEMO_LOGIN', 'DEMO_PASSWORD']) assert.ok(env[name], name);
  const table = (await yard.stack('status')).stdout.split('\n');
  for (const name of [...all, ...STORES]) {
    assert.match(table.find((row) => row.startsWith(`${name} `)) ?? `no row of ${name}`, new RegExp(`\\s${yard.pid(name)}\\s+running .* yes$`));
  }
  assert.deepEqual(new Set(all.map((name) => yard.seen(name).LISTEN)).size, all.length, 'ports differ');
});

test('[P-09][D-54] a daemon gets its own keys and settings, those of the shell, and no key of another', async () => {
  const result = await up({ SOME_SETTING: 'as the shell has it', AUTH_FIRST_ADMIN: 'someone@example.org', PROFILE: 'bench' });
  assert.equal(result.status, 0, result.all);
  const secrets = readEnv(yard.file('secrets'));
  const [gateway, auth, user] = FIRST.map((name) => yard.seen(name));
  for (const one of [gateway, auth, user]) {
    assert.equal(one.SOME_SETTING, 'as the shell has it');
    assert.equal(one.PROFILE, 'bench');
    assert.equal(one.INSTANCE_SLOT, '1');
    assert.match(one.KAFKA_BROKERS, /^127\.0\.0\.1:\d+$/);
    assert.match(one.REDIS_URL, /^redis:\/\/127\.0\.0\.1:\d+$/);
    assert.match(one.DATA_DIR, /\/run\/data\/(gateway|auth-svc|user-svc)$/);
    for (const name of ['PG_URL', 'PG_OWNER_PASSWORD', 'PG_ROLE_PASSWORDS', 'ADMIN_PASSWORD', 'DEMO_PASSWORD']) assert.equal(one[name], undefined, name);
  }
  assert.match(auth.AUTH_DB_URL, /^postgresql:\/\/madang_auth:/);
  assert.match(user.USER_DB_URL, /^postgresql:\/\/madang_user:/);
  assert.equal(auth.AUTH_SECRET, secrets.AUTH_SECRET);
  assert.equal(user.FILES_SECRET, secrets.FILES_SECRET);
  assert.equal(auth.AUTH_FIRST_ADMIN, 'someone@example.org');
  for (const [who, name] of [[auth, 'USER_DB_URL'], [auth, 'FILES_SECRET'], [user, 'AUTH_DB_URL'], [user, 'AUTH_SECRET'], [gateway, 'AUTH_DB_URL'], [gateway, 'AUTH_SECRET']]) {
    assert.equal(who[name], undefined, `${who.INSTANCE} has ${name}`);
  }
  for (const name of ['env', 'secrets', 'settings']) assert.equal(fs.statSync(yard.file(name)).mode & 0o777, 0o600, name);
  const words = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' });
  for (const value of Object.values(secrets)) assert.ok(!words.includes(value), 'a secret stands in the list of processes');
});

test('a killed daemon is there again, and its pid file never holds half a number', async () => {
  assert.equal((await up()).status, 0);
  let looking = true;
  const texts = new Set();
  const looks = (async () => {
    while (looking) {
      texts.add(fs.readFileSync(yard.file('user-svc-1.pid'), 'utf8'));
      await new Promise(setImmediate);
    }
  })();
  const pids = [];
  for (let i = 0; i < 5; i++) {
    const { before: old, after: fresh } = await yard.crash('user-svc-1');
    pids.push(String(old), String(fresh));
    await eventually(10000, () => yard.seen('user-svc-1') && request('GET', `${yard.read('user-svc-1.admin')}/readyz`).then((r) => r.status === 200), 'ready again');
  }
  looking = false;
  await looks;
  for (const text of texts) assert.ok(pids.includes(text.trim()) && text.endsWith('\n'), `pid file held ${JSON.stringify(text)}`);
  assert.match(yard.read('supervise.log'), /user-svc-1 was ended by signal 9; starts again in 100 ms/);
  assert.ok(alive(yard.pid('auth-svc-1')) && alive(yard.pid('gateway-1')));
});

test('one that dies at once is tried with growing pauses; up fails with its name and its last words', async () => {
  yard.addProgram('user-svc', '#!/bin/sh\necho "$INSTANCE dies of what the test asked for" >&2\nexit 3\n'); // at once, however busy the machine is
  const from = yard.read('supervise.log').length;
  const result = await up({ READY_SECONDS: '12' });
  assert.equal(result.status, 1);
  assert.match(result.stderr, /user-svc-1 is not ready/);
  assert.match(result.stderr, /user-svc-1 dies of what the test asked for/);
  assert.doesNotMatch(result.stderr, /auth-svc-1 is not ready/);
  const pauses = () => [...yard.read('supervise.log').slice(from).matchAll(/user-svc-1 ended with status 3; starts again in (\d+) ms/g)].map((match) => Number(match[1]));
  await eventually(20000, () => pauses().length >= 4, 'it is tried four times');
  assert.deepEqual(pauses().slice(0, 4), [100, 200, 400, 800]);
  yard.addDaemon('user-svc');
  assert.equal((await yard.stack('up')).status, 0, 'it comes up by itself once it can');
});

test('one that runs without getting ready is named too', async () => {
  yard.behave('auth-svc-1', 'unready');
  const result = await up({ READY_SECONDS: '2' });
  assert.equal(result.status, 1);
  assert.match(result.stderr, /auth-svc-1 is not ready/);
  assert.match((await yard.stack('status')).stdout, /^auth-svc-1 .* no$/m);
  yard.behave('auth-svc-1', '');
});

test('SUPERVISE=0: what is dead stays dead', async () => {
  assert.equal((await up({ SUPERVISE: '0' })).status, 0);
  const pid = yard.pid('gateway-1');
  process.kill(pid, 'SIGKILL');
  await eventually(5000, () => /gateway-1 was ended by signal 9$/m.test(yard.read('supervise.log')), 'its end is noted');
  await pause(1500); // longer than the supervisor waits before a restart
  assert.equal(yard.pid('gateway-1'), pid);
  assert.match((await yard.stack('status')).stdout, /^gateway-1 +\d+ +dead /m);
});

test('up twice, also at once, changes nothing', async () => {
  await yard.stack('daemons-down');
  const results = await Promise.all([yard.stack('up'), yard.stack('up'), yard.stack('up')]);
  for (const result of results) assert.equal(result.status, 0, result.all);
  const pids = yard.pids([...STORES, ...FIRST]);
  assert.equal((await yard.stack('up')).status, 0);
  assert.equal((await yard.stack('stores')).status, 0);
  assert.deepEqual(yard.pids([...STORES, ...FIRST]), pids);
  assert.equal(yard.processes().filter((one) => one.includes('keep-')).length, 2, 'one supervisor of each kind');
  const refused = await yard.stack('run');
  assert.notEqual(refused.status, 0);
  assert.match(refused.stderr, /runs already/);
  assert.equal((await yard.stack('stores-down')).status, 1, 'stores under daemons stay');
});

test('what cannot be is refused with its name', async () => {
  await yard.stack('daemons-down');
  const port = yard.port + 20; // user-svc-1
  const stranger = await occupy(port);
  const taken = await yard.stack('up');
  stranger.close();
  assert.equal(taken.status, 1);
  assert.match(taken.stderr, new RegExp(`user-svc-1 needs port ${port}, which another program uses`));
  const unknown = await yard.stack('up', { SCALE: 'usr-svc=2' });
  assert.equal(unknown.status, 1);
  assert.match(unknown.stderr, /no service usr-svc; there are gateway auth-svc user-svc/);
  const wrong = await yard.stack('up', { SCALE: 'user-svc=lots' });
  assert.match(wrong.stderr, /SCALE has user-svc=lots/);
  fs.renameSync(`${yard.home}/build/bin/auth-svc`, `${yard.home}/build/bin/not-built`);
  const missing = await yard.stack('up');
  fs.renameSync(`${yard.home}/build/bin/not-built`, `${yard.home}/build/bin/auth-svc`);
  assert.equal(missing.status, 1);
  assert.match(missing.stderr, /auth-svc is not built/);
  const second = await occupy(yard.port + 6); // where gateway-2 would be; it takes the next
  const scaled = await yard.stack('up', { SCALE: 'gateway=2' });
  second.close();
  assert.equal(scaled.status, 0, scaled.all);
  assert.equal(yard.read('gateway-2.url'), `http://127.0.0.1:${yard.port + 7}`);
});

test('one service runs beside the others, from the same settings, on a port of its own', async () => {
  assert.equal((await up()).status, 0);
  const one = yard.foreground('one user-svc');
  const seen = await eventually(15000, () => yard.seen('user-svc-dev'), 'it started');
  const listens = `http://${seen.LISTEN}`;
  assert.equal(await eventually(5000, () => request('GET', listens).then((reply) => reply.text)), 'user-svc-dev');
  assert.notEqual(listens, yard.read('user-svc-1.url'));
  assert.equal(seen.USER_DB_URL, yard.seen('user-svc-1').USER_DB_URL);
  assert.equal(seen.FILES_SECRET, yard.seen('user-svc-1').FILES_SECRET);
  assert.equal(seen.AUTH_DB_URL, undefined);
  assert.notEqual(seen.INSTANCE_SLOT, yard.seen('user-svc-1').INSTANCE_SLOT);
  assert.match(one.output, /user-svc-dev at http/);
  process.kill(-one.pid, 'SIGINT'); // as Ctrl-C does
  await one.ended;
  assert.ok(alive(yard.pid('user-svc-1')));
});

test('a log that grew too long starts anew and keeps one older part', async () => {
  assert.equal((await up()).status, 0);
  fs.truncateSync(yard.file('user-svc-1.log'), 51 * 1024 * 1024);
  await eventually(10000, () => fs.statSync(yard.file('user-svc-1.log')).size < 1024 * 1024, 'the log is short again');
  assert.equal(fs.statSync(yard.file('user-svc-1.log.1')).size, 51 * 1024 * 1024);
  await yard.crash('user-svc-1');
  await eventually(5000, () => /^user-svc-1 listens/m.test(yard.read('user-svc-1.log')), 'and goes on');
});

test('kill -9 of a supervisor takes its processes along, and up brings them back', async () => {
  const pids = Object.values(yard.pids(FIRST));
  process.kill(yard.holder('daemons'), 'SIGKILL');
  await eventually(5000, () => !pids.some(alive), 'the daemons are gone');
  assert.ok(alive(yard.pid('postgres')), 'the stores have a supervisor of their own');
  assert.equal((await yard.stack('up')).status, 0);
  const stores = Object.values(yard.pids(STORES));
  process.kill(yard.holder('stores'), 'SIGKILL');
  await eventually(5000, () => !stores.some(alive), 'the stores are gone');
  const again = await yard.stack('up');
  assert.equal(again.status, 0, again.all);
});

test('who does not hear SIGTERM is killed; down leaves no process and no pid file, and may be repeated', async () => {
  yard.behave('user-svc-1', 'deaf');
  assert.equal((await up()).status, 0);
  const down = await yard.stack('down');
  yard.behave('user-svc-1', '');
  assert.equal(down.status, 0, down.all);
  assert.equal(yard.read('heard.auth-svc-1'), 'SIGTERM');
  assert.match(yard.read('supervise.log'), /user-svc-1 does not stop; killed/);
  assert.match(yard.read('postgres.log'), /database system is shut down\s*$/);
  assert.deepEqual(yard.processes(), []);
  assert.deepEqual(fs.readdirSync(yard.dir).filter((name) => /\.(pid|url|admin)$/.test(name)), []);
  assert.equal((await yard.stack('down')).status, 0);
  assert.match((await yard.stack('status')).stdout, /nothing runs/);
});

test('in the foreground Ctrl-C stops everything, and so does kill -9', async () => {
  for (const signal of ['SIGINT', 'SIGKILL']) {
    const run = yard.foreground('run');
    await eventually(60000, () => /Madang is up/.test(run.output), `run is ready: ${signal}`);
    for (const name of [...FIRST, ...STORES]) assert.ok(alive(yard.pid(name)), name);
    if (signal === 'SIGINT') process.kill(-run.pid, signal);
    else process.kill(yard.holder('daemons'), signal);
    await run.ended;
    await eventually(30000, () => yard.processes().length === 0, 'nothing is left');
  }
});
