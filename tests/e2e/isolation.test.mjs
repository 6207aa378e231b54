// What is closed stays closed: schemas, admin ports, secrets.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { as, sql } from '../support/db.mjs';
import { request } from '../support/http.mjs';
import { logIn, newcomer } from '../support/people.mjs';
import { daemons, env, instances, readEnv, runDir } from '../support/stack.mjs';
import { eventually } from '../support/wait.mjs';

const tables = async (schema) => (await sql('SELECT tablename FROM pg_tables WHERE schemaname = $1', [schema])).map((row) => row.tablename);

test('[P-45] the role of user-svc can neither read nor write the tables of auth-svc, nor the other way round', async () => {
  for (const [url, schema] of [
    [env.USER_DB_URL, 'auth'],
    [env.AUTH_DB_URL, 'users'],
  ]) {
    const names = await tables(schema);
    assert.ok(names.length > 3, `${schema} has tables`);
    await as(url, async (query) => {
      for (const name of names) {
        for (const statement of [
          `SELECT * FROM ${schema}."${name}" LIMIT 1`,
          `DELETE FROM ${schema}."${name}"`,
          `TRUNCATE ${schema}."${name}"`,
          `DROP TABLE ${schema}."${name}"`,
        ]) {
          await assert.rejects(query(statement), { code: '42501' }, statement);
        }
      }
      await assert.rejects(query(`CREATE TABLE ${schema}.intruder (a int)`), { code: '42501' });
      await assert.rejects(query(`CREATE SCHEMA intruder`), { code: '42501' });
      await assert.rejects(query(`SET ROLE postgres`), { code: '42501' });
      await assert.rejects(query(`SELECT rolpassword FROM pg_authid`), { code: '42501' });
    });
  }
});

test('[D-54][P-48] every daemon has health and metrics on its admin port, and on no other', async () => {
  const all = daemons();
  assert.ok(all.length >= 3);
  for (const daemon of all) {
    for (const [where, type] of [
      ['/healthz', /./],
      ['/readyz', /./],
      ['/metrics', /text\/plain/],
    ]) {
      const reply = await request('GET', daemon.admin + where);
      assert.equal(reply.status, 200, `${daemon.name} ${where}: ${reply.text}`);
      assert.match(reply.headers['content-type'] ?? '', type);
      assert.equal((await request('GET', daemon.url + where)).status, 404, `${daemon.name} ${where} on the public side`);
    }
    assert.match((await request('GET', `${daemon.admin}/metrics`)).text, /^# TYPE \w+ (counter|gauge|histogram)$/m);
  }
});

test('[P-09][P-46][D-54] logs are one JSON object a line, carry request ids across services, and never a secret', async () => {
  const mark = `trace-${process.pid}-${Date.now()}`;
  const person = await newcomer();
  const session = await logIn(person);
  await session.api.get('/api/users/me', { headers: { 'X-Request-Id': mark } });
  await session.api.post('/api/auth/refresh', { refresh_token: session.refresh });
  await session.api.post('/api/auth/login', { login: person.email, password: `${person.password}-wrong` });
  const accessLogs = instances('gateway').map(({ name }) => path.join(runDir, `${name}.log`));
  await eventually(
    5000,
    () => accessLogs.some((file) => fs.readFileSync(file, 'utf8').includes(mark)),
    'the access log has the request id',
  );
  const secrets = Object.values(readEnv(path.join(runDir, 'secrets')));
  assert.ok(secrets.length > 5);
  const forbidden = [...secrets, person.password, session.access, session.refresh, session.access.split('.')[2]];
  for (const daemon of daemons()) {
    const text = fs.readFileSync(path.join(runDir, `${daemon.name}.log`), 'utf8');
    for (const secret of forbidden) assert.ok(!text.includes(secret), `${daemon.name} logs a secret`);
    // The last piece may be a line that is being written.
    for (const line of text.split('\n').slice(0, -1))
      assert.doesNotThrow(() => JSON.parse(line), `${daemon.name} logs a line that is no JSON: ${line.slice(0, 200)}`);
  }
});

test('[P-09] no secret stands on a command line', () => {
  const secrets = Object.values(readEnv(path.join(runDir, 'secrets')));
  for (const name of fs.readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    let line;
    try {
      line = fs.readFileSync(`/proc/${name}/cmdline`, 'utf8');
    } catch {
      continue; // it has just ended
    }
    for (const secret of secrets) assert.ok(!line.includes(secret), `process ${name}: ${line.split('\0')[0]}`);
  }
});
