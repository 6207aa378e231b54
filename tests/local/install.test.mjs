// What install.sh asks apt for, shown with a machine made of stand-ins: a folder of commands, a list of packages, and a sudo that notes.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const script = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../deploy/local/install.sh');
const TOOLS = ['sh', 'sed', 'dirname', 'readlink', 'id', 'cat', 'echo'];
let home;
before(() => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), 'madang-install-'));
  fs.chmodSync(home, 0o755);
});
after(() => fs.rmSync(home, { recursive: true, force: true }));

/** A machine with these packages and commands; `obeys`: its sudo installs what it is asked for. */
function machine({ packages = [], commands = {}, obeys = true }) {
  const bin = fs.mkdtempSync(path.join(home, 'bin-'));
  const write = (name, text) => fs.writeFileSync(path.join(bin, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  for (const tool of TOOLS) fs.symlinkSync(execFileSync('sh', ['-c', `command -v ${tool}`], { encoding: 'utf8' }).trim().replace(/^echo$/, '/bin/echo'), path.join(bin, tool));
  fs.writeFileSync(path.join(bin, 'packages'), packages.map((name) => `installed ${name}\n`).join(''), { mode: 0o666 });
  fs.chmodSync(path.join(bin, 'packages'), 0o666);
  fs.writeFileSync(path.join(bin, 'asked'), '');
  fs.chmodSync(path.join(bin, 'asked'), 0o666);
  write('dpkg-query', `cat ${bin}/packages`);
  write('sudo', `shift 2; for p in "$@"; do echo $p >>${bin}/asked; ${obeys ? `echo installed $p >>${bin}/packages` : ':'}; done`);
  for (const [name, text] of Object.entries(commands)) write(name, text);
  fs.chmodSync(bin, 0o755);
  return bin;
}

function install(bin, words = [], env = {}) {
  const who = process.getuid() === 0 ? { uid: 65534, gid: 65534 } : {};
  const { status, stderr } = spawnSync(script, words, { env: { PATH: bin, RUN_DIR: '/nonexistent', ...env }, encoding: 'utf8', ...who });
  const asked = fs.readFileSync(path.join(bin, 'asked'), 'utf8').split('\n').filter(Boolean);
  return { status, stderr, asked };
}

const RUN = ['gcc', 'libc6-dev', 'libmicrohttpd-dev', 'librdkafka-dev', 'libpq-dev', 'postgresql', 'redis-server', 'maven', 'default-jre-headless'];

test('an empty machine gets everything that a group needs, once', () => {
  const bin = machine({});
  const first = install(bin);
  assert.equal(first.status, 0, first.stderr);
  for (const name of RUN) assert.ok(first.asked.includes(name), name);
  for (const name of ['nodejs', 'haproxy', 'valgrind']) assert.ok(!first.asked.includes(name), name);
  const count = first.asked.length;
  assert.equal(install(bin).asked.length, count, 'nothing is asked for again');
  const more = install(bin, ['test']).asked.slice(count);
  for (const name of ['clang', 'nodejs', 'npm', 'valgrind']) assert.ok(more.includes(name), name);
  assert.ok(!more.includes('gcc') && !more.includes('nginx'));
});

test('a command of another origin does as well as the package', () => {
  const bin = machine({ commands: { node: ':', npm: ':', mvn: ':', psql: ':' } });
  const { asked } = install(bin, ['test']);
  for (const name of ['nodejs', 'npm', 'maven', 'postgresql-client']) assert.ok(!asked.includes(name), name);
  assert.ok(asked.includes('postgresql'), 'a client is no server');
});

test('a Java that is too old is no Java', () => {
  for (const [version, wanted] of [['11.0.2', true], ['17.0.15', false], ['21', false]]) {
    const bin = machine({});
    fs.mkdirSync(path.join(bin, 'jdk/bin'), { recursive: true });
    fs.writeFileSync(path.join(bin, 'jdk/bin/java'), '#!/bin/sh\n', { mode: 0o755 });
    fs.writeFileSync(path.join(bin, 'jdk/release'), `IMPLEMENTOR="X"\nJAVA_VERSION="${version}"\n`);
    fs.symlinkSync(path.join(bin, 'jdk/bin/java'), path.join(bin, 'java'));
    assert.equal(install(bin).asked.includes('default-jre-headless'), wanted, version);
  }
});

test('servers elsewhere need none here', () => {
  const kafka = install(machine({}), [], { KAFKA_BROKERS: '192.0.2.1:9092' });
  assert.ok(!kafka.asked.includes('default-jre-headless') && !kafka.asked.includes('maven'));
  assert.ok(kafka.asked.includes('postgresql') && kafka.asked.includes('redis-server'));
  const all = install(machine({}), [], { KAFKA_BROKERS: '192.0.2.1:9092', REDIS_URL: 'redis://192.0.2.1', PG_URL: 'postgresql://192.0.2.1/x' });
  assert.ok(!all.asked.includes('postgresql') && !all.asked.includes('redis-server'));
  assert.ok(all.asked.includes('postgresql-client'));
});

test('what could not be installed is named, and so is what an ordinary user without sudo must do', () => {
  const failed = install(machine({ obeys: false }));
  assert.notEqual(failed.status, 0);
  assert.match(failed.stderr, /still missing after the installation: .*librdkafka-dev/);
  const bin = machine({});
  fs.rmSync(path.join(bin, 'sudo'));
  const alone = install(bin);
  assert.notEqual(alone.status, 0);
  assert.match(alone.stderr, /as root: apt-get install gcc /);
});
