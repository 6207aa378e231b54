// The private stores: who runs them, where their data lie, what a service's role may do, and servers of somebody else.
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { eventually } from '../support/wait.mjs';
import { readEnv } from './env.mjs';
import { alive, DAEMONS, STORES, Yard } from './yard.mjs';

const root = process.getuid() === 0;
const SERVICES = { auth: 'auth', user: 'users', chat: 'chat', presence: 'presence', push: 'push', match: 'match', order: 'orders', notify: 'notify', game: 'game' };
let yard;
let env;
before(async () => {
  yard = await Yard.make();
  const up = await yard.stack('stores');
  assert.equal(up.status, 0, up.all);
  env = readEnv(yard.file('env'));
});
after(async () => {
  await yard.remove();
});

/** One statement by psql: {status, out}; out is the rows, or what the server said. */
function sql(url, statement) {
  return new Promise((resolve) => {
    execFile('psql', ['-qAtX', '-v', 'ON_ERROR_STOP=1', url, '-c', statement], { timeout: 20000 }, (error, stdout, stderr) => {
      resolve({ status: error ? 1 : 0, out: (stdout + stderr).trim() });
    });
  });
}
const rows = async (url, statement) => {
  const { status, out } = await sql(url, statement);
  assert.equal(status, 0, out);
  return out;
};
const urlOf = (name) => env[`${name.toUpperCase()}_DB_URL`];
const ownerOf = (pid) => fs.statSync(`/proc/${pid}`).uid;
const redisAnswers = (url) => execFileSync('redis-cli', ['-u', url, 'PING'], { encoding: 'utf8', stdio: 'pipe' }).trim() === 'PONG';
const kafkaAnswers = (brokers) => /1 brokers/.test(execFileSync('kcat', ['-L', '-b', brokers, '-m', '5'], { encoding: 'utf8', stdio: 'pipe' }));

test('[P-45] every service has a schema and a log-in of its own, and no way into another', async () => {
  for (const [name, schema] of Object.entries(SERVICES)) {
    assert.equal(await rows(urlOf(name), 'SHOW search_path'), schema);
    await rows(urlOf(name), `CREATE TABLE private_${name} (secret text); INSERT INTO private_${name} VALUES ('mine')`);
    assert.equal(await rows(env.PG_URL, `SELECT schemaname FROM pg_tables WHERE tablename = 'private_${name}'`), schema);
  }
  for (const name of Object.keys(SERVICES)) {
    for (const [other, schema] of Object.entries(SERVICES)) {
      if (other === name) continue;
      for (const statement of [`SELECT * FROM ${schema}.private_${other}`, `CREATE TABLE ${schema}.mine ()`, `SET ROLE madang_${other}`, `DROP SCHEMA ${schema} CASCADE`]) {
        const { status, out } = await sql(urlOf(name), statement);
        assert.equal(status, 1, `${name}: ${statement}`);
        assert.match(out, /permission denied|must be owner/);
      }
    }
    for (const statement of ['CREATE TABLE public.mine ()', 'CREATE SCHEMA mine', 'CREATE ROLE mine', 'CREATE DATABASE mine', 'SELECT * FROM pg_authid']) {
      const { status, out } = await sql(urlOf(name), statement);
      assert.equal(status, 1, `${name}: ${statement}`);
      assert.match(out, /permission denied/);
    }
    const elsewhere = await sql(urlOf(name).replace(/\/madang$/, '/postgres'), 'SELECT 1');
    assert.match(elsewhere.out, /permission denied for database/);
  }
});

test('a password is needed, and preparing the database again keeps what is there', async () => {
  for (const url of [urlOf('auth').replace(/:[^:@]*@/, ':wrong@'), env.PG_URL.replace(/:[^:@]*@/, ':wrong@')]) {
    assert.match((await sql(url, 'SELECT 1')).out, /password authentication failed/);
  }
  await rows(urlOf('chat'), 'CREATE TABLE kept AS SELECT 42 AS answer');
  assert.equal((await yard.stack('stores-down')).status, 0);
  assert.equal((await yard.stack('stores')).status, 0);
  assert.equal(await rows(urlOf('chat'), 'SELECT answer FROM kept'), '42');
  assert.deepEqual(readEnv(yard.file('env')), env, 'addresses and passwords stay');
});

test('a killed store is there again, PostgreSQL too while the children of the last one are still going', async () => {
  const busy = Array.from({ length: 5 }, () => sql(env.PG_URL, 'SELECT pg_sleep(60)'));
  await eventually(10000, async () => (await rows(env.PG_URL, "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'")) === '5');
  for (const store of STORES) await yard.crash(store);
  await Promise.all(busy);
  await eventually(30000, async () => (await sql(env.PG_URL, 'SELECT 1')).out === '1', 'PostgreSQL answers', 50);
  await eventually(30000, () => redisAnswers(env.REDIS_URL), 'Redis answers', 50);
  await eventually(60000, () => kafkaAnswers(env.KAFKA_BROKERS), 'Kafka answers', 100);
  assert.equal(await rows(urlOf('chat'), 'SELECT answer FROM kept'), '42');
});

// A stopped process cannot see that its postmaster is gone, and no new one starts while it holds the shared memory.
test('what a killed PostgreSQL or a killed supervisor leaves behind is in the way of none', async () => {
  const stopOne = async () => {
    const pid = Number(await rows(env.PG_URL, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"));
    process.kill(pid, 'SIGSTOP');
    return pid;
  };
  const first = await stopOne();
  await yard.crash('postgres');
  await eventually(30000, async () => (await sql(env.PG_URL, 'SELECT 1')).out === '1', 'PostgreSQL answers', 50);
  assert.ok(!alive(first));
  const second = await stopOne();
  process.kill(yard.holder('stores'), 'SIGKILL');
  const again = await yard.stack('stores');
  assert.equal(again.status, 0, again.all);
  assert.ok(!alive(second));
  const third = await stopOne();
  const postmaster = yard.pid('postgres');
  process.kill(yard.holder('stores'), 'SIGKILL');
  await eventually(5000, () => !alive(postmaster), 'the postmaster went with its supervisor');
  assert.ok(alive(third));
  assert.equal((await yard.stack('down')).status, 0);
  await eventually(5000, () => !alive(third), 'down clears up what no supervisor watches');
  assert.deepEqual(yard.processes(), []);
  assert.equal((await yard.stack('stores')).status, 0);
});

test('started by root they run as a plain user', { skip: !root && 'needs root' }, () => {
  for (const store of STORES) assert.notEqual(ownerOf(yard.pid(store)), 0, store);
  assert.equal(fs.statSync(yard.file('secrets')).uid, 0);
});

test('servers of somebody else are used as they are', async () => {
  await rows(env.PG_URL, 'CREATE DATABASE elsewhere');
  await rows(env.PG_URL, "CREATE ROLE landlord LOGIN CREATEROLE PASSWORD 'la%nd'; ALTER DATABASE elsewhere OWNER TO landlord");
  const guest = await Yard.make();
  // Roles are of the whole server, so these get the other yard's passwords.
  fs.mkdirSync(guest.dir);
  fs.copyFileSync(yard.file('secrets'), guest.file('secrets'));
  const PG_URL = env.PG_URL.replace(/\/\/.*@/, '//landlord:la%25nd@').replace(/madang$/, 'elsewhere');
  await rows(env.PG_URL, Object.keys(SERVICES).map((name) => `GRANT madang_${name} TO landlord WITH ADMIN OPTION`).join(';'));
  try {
    const up = await guest.stack('up', { PG_URL, REDIS_URL: env.REDIS_URL, KAFKA_BROKERS: env.KAFKA_BROKERS });
    assert.equal(up.status, 0, up.all);
    const its = readEnv(guest.file('env'));
    assert.deepEqual([its.PG_URL, its.REDIS_URL, its.KAFKA_BROKERS], [PG_URL, env.REDIS_URL, env.KAFKA_BROKERS]);
    assert.equal(await rows(its.AUTH_DB_URL, 'SELECT current_database() || current_schema()'), 'elsewhereauth');
    assert.deepEqual(STORES.filter((store) => fs.existsSync(guest.file(`${store}.pid`))), []);
    for (const name of DAEMONS) assert.equal(guest.seen(`${name}-1`).KAFKA_BROKERS, env.KAFKA_BROKERS);
    assert.match((await guest.stack('status')).stdout, /^kafka +- +external .* yes$/m);
  } finally {
    await guest.remove();
  }
  for (const store of STORES) assert.ok(alive(yard.pid(store)), `${store} is none of the guest's business`);
});

test('a shell that has sourced .run/env still means the private servers', async () => {
  const again = await yard.stack('stores', { PG_URL: env.PG_URL, REDIS_URL: env.REDIS_URL, KAFKA_BROKERS: env.KAFKA_BROKERS });
  assert.equal(again.status, 0, again.all);
  assert.equal((await yard.stack('stores-down')).status, 0);
  const fresh = await yard.stack('stores', { PG_URL: env.PG_URL, REDIS_URL: env.REDIS_URL, KAFKA_BROKERS: env.KAFKA_BROKERS });
  assert.equal(fresh.status, 0, fresh.all);
  for (const store of STORES) assert.ok(alive(yard.pid(store)), store);
});

test('a checkout where the plain user cannot go: the data lie in /var/tmp, and clean-data removes them', { skip: !root && 'needs root' }, async () => {
  const hidden = await Yard.make({ mode: 0o700 });
  let data;
  try {
    const up = await hidden.stack('stores');
    assert.equal(up.status, 0, up.all);
    data = fs.realpathSync(hidden.file('stores'));
    assert.match(data, /^\/var\/tmp\/madang-[0-9a-f]{16}$/);
    for (const store of STORES) assert.notEqual(ownerOf(hidden.pid(store)), 0, store);
    assert.equal(await rows(readEnv(hidden.file('env')).USER_DB_URL, 'SELECT 1'), '1');
    assert.equal((await hidden.stack('stores-down')).status, 0);
    assert.equal((await hidden.stack('stores')).status, 0, 'a second time');
  } finally {
    assert.ok(await hidden.remove());
  }
  assert.ok(!fs.existsSync(data), data);
});

test('an ordinary user runs everything as that user', { skip: !root && 'is what the other tests do then' }, async () => {
  const uid = Number(execFileSync('id', ['-u', 'nobody'], { encoding: 'utf8' }));
  const gid = Number(execFileSync('id', ['-g', 'nobody'], { encoding: 'utf8' }));
  const theirs = await Yard.make({ owner: { uid, gid } });
  try {
    const up = await theirs.stack('up');
    assert.equal(up.status, 0, up.all);
    for (const unit of [...STORES, ...DAEMONS.map((name) => `${name}-1`)]) assert.equal(ownerOf(theirs.pid(unit)), uid, unit);
    assert.equal(fs.realpathSync(theirs.file('stores')), path.join(theirs.dir, 'stores'));
    assert.equal((await theirs.stack('down')).status, 0);
    assert.deepEqual(theirs.processes(), []);
  } finally {
    await theirs.remove();
  }
});

test('two names of one port are told apart: a store whose port is taken says so', async () => {
  assert.equal((await yard.stack('stores')).status, 0);
  const other = await Yard.make();
  const { port } = new URL(env.REDIS_URL);
  const refused = await other.stack('stores', { REDIS_PORT: port });
  await other.remove();
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, new RegExp(`redis needs port ${port}, which another program uses \\(REDIS_PORT chooses another\\)`));
});
