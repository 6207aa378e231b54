// Backups: what was written before the base backup, while it was made and after it is there after a restore; a mistake can be left out; half a backup is refused.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { freePort } from '../support/http.mjs';
import { eventually } from '../support/wait.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const schema = 'kept_things';
const version = fs.readdirSync('/usr/lib/postgresql').sort((a, b) => a - b).at(-1);
const bin = `/usr/lib/postgresql/${version}/bin`;
const environment = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
// PostgreSQL does not run as root: the user of the local stores (deploy/local/install.sh makes it) runs these too.
const owner = process.getuid() === 0 ? (process.env.STORE_USER ?? 'madang') : null;
const password = randomBytes(12).toString('hex');
const asOwner = (command, ...args) => (owner ? ['setpriv', ['--reuid', owner, '--regid', owner, '--clear-groups', command, ...args]] : [command, args]);
let home, url, primary, receiver;
const servers = [];

async function connect(address) {
  const client = new pg.Client({ connectionString: address });
  client.on('error', () => {}); // a server that is stopped under it
  await client.connect();
  return client;
}
const write = (from, to) => primary.query(`INSERT INTO ${schema}.kept SELECT n, md5(n::text) FROM generate_series($1::int, $2::int) n`, [from, to]);
const script = (name, ...args) => execFileSync(...asOwner('env', `PATH=${environment.PATH}`, `PG_URL=${url}`, path.join(root, 'deploy/postgres', name), ...args), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], cwd: '/' });

/** Starts PostgreSQL on a data directory, and gives a connection that answers when replay is over. */
async function start(name) {
  const port = await freePort();
  const [command, args] = asOwner(path.join(bin, 'postgres'), '-D', path.join(home, name), '-c', `port=${port}`, '-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories=', '-c', `hba_file=${path.join(root, 'deploy/postgres/pg_hba.conf')}`);
  const server = spawn(command, args, { stdio: ['ignore', 'ignore', fs.openSync(path.join(home, `${name}.log`), 'w')], cwd: '/' });
  servers.push(server);
  const address = `postgresql://postgres:${password}@127.0.0.1:${port}/postgres`;
  const client = await eventually(60000, async () => {
    const one = await connect(address).catch(() => null);
    if (!one) return null;
    const { rows } = await one.query('SELECT pg_is_in_recovery() AS busy');
    if (!rows[0].busy) return one;
    await one.end();
    return null;
  }, `${name} opens`);
  return { client, address };
}
async function restored(name, ...target) {
  script('restore.sh', path.join(home, 'backups'), path.join(home, name), ...target);
  return (await start(name)).client;
}

before(async () => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), 'madang-backup-'));
  if (owner) execFileSync('chown', [owner, home]);
  fs.writeFileSync(path.join(home, 'word'), password, { mode: 0o644 });
  execFileSync(...asOwner(path.join(bin, 'initdb'), '-D', path.join(home, 'primary'), '-U', 'postgres', '--pwfile', path.join(home, 'word'), '--auth=scram-sha-256', '--encoding=UTF8', '--locale=C.UTF-8', '--no-sync'), { cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] });
  ({ client: primary, address: url } = await start('primary'));
  await primary.query(`CREATE SCHEMA ${schema}`);
  await primary.query(`CREATE TABLE ${schema}.kept (n int PRIMARY KEY, word text NOT NULL)`);
});
after(async () => {
  receiver?.kill('SIGINT');
  for (const server of servers) server.kill('SIGQUIT');
  await Promise.all([...servers, receiver].filter(Boolean).map((child) => child.exitCode ?? child.signalCode ?? new Promise((done) => child.once('exit', done))));
  await primary?.end().catch(() => {});
  fs.rmSync(home, { recursive: true, force: true });
});

test('[S-54][I1] a restored database has everything up to the last change received, or up to just before a mistake', async () => {
  const backups = path.join(home, 'backups');
  await write(1, 1000);
  const [command, args] = asOwner('env', `PATH=${environment.PATH}`, `PG_URL=${url}`, path.join(root, 'deploy/postgres/backup.sh'), 'wal', backups);
  receiver = spawn(command, args, { stdio: 'ignore', cwd: '/' });
  await eventually(20000, async () => (await primary.query("SELECT active FROM pg_replication_slots WHERE slot_name = 'madang_backup'")).rows[0]?.active, 'WAL is received');
  const base = script('backup.sh', 'base', backups).trim();
  await write(1001, 2000);
  await primary.query("SELECT pg_create_restore_point('before_the_mistake')");
  await primary.query(`DELETE FROM ${schema}.kept WHERE n % 2 = 0`);
  const { rows: [{ lsn }] } = await primary.query('SELECT pg_current_wal_flush_lsn() AS lsn');
  await eventually(20000, async () => (await primary.query("SELECT coalesce(bool_or(flush_lsn >= $1::pg_lsn), false) AS there FROM pg_stat_replication WHERE application_name = 'pg_receivewal'", [lsn])).rows[0].there, 'the last change is received');

  const sum = async (client) => (await client.query(`SELECT count(*)::int AS count, count(*) FILTER (WHERE word = md5(n::text))::int AS right FROM ${schema}.kept`)).rows[0];
  const all = await restored('all');
  assert.deepEqual(await sum(all), { count: 1000, right: 1000 }, 'the mistake is in the log, too');
  await all.end();
  const earlier = await restored('earlier', 'point:before_the_mistake');
  assert.deepEqual(await sum(earlier), { count: 2000, right: 2000 });
  await earlier.query(`INSERT INTO ${schema}.kept VALUES (3000, 'open')`); // it takes writes
  await earlier.end();

  assert.throws(() => script('restore.sh', backups, path.join(home, 'all')), /is there already/);
  const broken = path.join(home, 'broken');
  fs.cpSync(backups, broken, { recursive: true });
  if (owner) execFileSync('chown', ['-R', owner, broken]);
  const file = path.join(broken, path.basename(base), 'base.tar.gz');
  fs.truncateSync(file, fs.statSync(file).size - 5000);
  assert.throws(() => script('restore.sh', broken, path.join(home, 'from-broken')));
  assert.ok(!fs.existsSync(path.join(home, 'from-broken')), 'half a backup leaves nothing that could be started');
});

test('[S-54] old backups go, with the WAL that only they need', async () => {
  const backups = path.join(home, 'backups');
  await primary.query('SELECT pg_switch_wal()');
  await write(4000, 4100);
  await eventually(20000, () => script('backup.sh', 'base', backups) && fs.readdirSync(backups).filter((name) => name.startsWith('base-')).length > 1, 'a second base backup');
  const segments = () => fs.readdirSync(path.join(backups, 'wal')).filter((name) => /^[0-9A-F]{24}/.test(name)).sort();
  const before = segments();
  script('backup.sh', 'keep', backups, '1');
  assert.equal(fs.readdirSync(backups).filter((name) => name.startsWith('base-')).length, 1);
  assert.ok(segments().length < before.length, 'WAL went');
  const last = await restored('after-keep');
  assert.equal((await last.query(`SELECT count(*)::int AS count FROM ${schema}.kept`)).rows[0].count, 1101);
  await last.end();
});
