// push.mjs - how many pushes leave in a second, and what one costs: requests on the topic -> the real push-svc -> a stand-in for FCM in a process of its own. Beside it, in
// turn, a plain client that only sends the same messages over one HTTP/2 connection (what the SDKs do: no queue, no policy, nothing written down).
// Stores must run (make stores), no push-svc of the stack.  node tests/bench/push.mjs [sends] [delay of the provider in ms] [streams]
import { fork } from 'node:child_process';
import fs from 'node:fs';
import http2 from 'node:http2';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { certificate } from '../standins/tls.mjs';
import { uuid, World } from '../push-svc/world.mjs';
import { eventually } from '../support/wait.mjs';
import { machine, median } from './rig.mjs';

const [count, delay, streams] = [Number(process.argv[2] ?? 20000), Number(process.argv[3] ?? 0), Number(process.argv[4] ?? 100)];
const ROUNDS = 3;
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'madang-bench-push-'));
const tls = certificate(folder);

const provider = fork(fileURLToPath(new URL('../standins/fcm.mjs', import.meta.url)), [folder, String(delay)], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
const { url, credentials } = JSON.parse(await new Promise((resolve) => provider.stdout.once('data', resolve)));
const figures = () =>
  new Promise((resolve) => {
    provider.once('message', resolve);
    provider.send('figures');
  });

/** User and system time of a process, in seconds. */
function cpu(pid) {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

const world = new World();
world.credentials = { FCM_CREDENTIALS: credentials, FCM_URL: url, PUSH_CA_FILE: tls.file, PUSH_ALLOW_INNER: 'on' };
await world.start({ PUSH_STREAMS: String(streams), PUSH_PER_MINUTE: '100000000', PUSH_QUEUE_MAX: '10000000', PUSH_SEND_TIMEOUT_MS: '15000', PUSH_CLAIM_SECONDS: '60' }, { sink: true });
await world.sql(`INSERT INTO devices (user_id, device_id, session_id, platform, address, address_hash)
  SELECT gen_random_uuid(), 'phone', gen_random_uuid(), 'android', t, sha256(t::bytea) FROM (SELECT 'fcm-' || md5(n::text) || md5((n + 1)::text) || repeat('x', 80) AS t FROM generate_series(1, $1) n) t`, [Math.min(count, 20000)]);
const users = (await world.sql('SELECT user_id FROM devices')).map(({ user_id }) => ({ id: user_id }));

async function ours() {
  const { pid } = world.instances[0].child;
  const lines = Array.from({ length: count }, (_, i) => world.pushEvent(users[i % users.length], { title: 'kim', body: 'a message of sixty characters or so, as people write in chat', data: { room_id: uuid(), seq: String(i) }, collapse_key: uuid() }));
  const before = (await figures()).sends;
  const [started, used] = [performance.now(), cpu(pid)];
  for (let i = 0; i < lines.length; i += 5000) world.push(...lines.slice(i, i + 5000));
  await eventually(600000, async () => (await figures()).sends - before >= count, 'all are sent', 50);
  const seconds = (performance.now() - started) / 1000;
  await eventually(60000, async () => (await world.one('SELECT count(*) FROM sends WHERE done_at IS NULL')) === 0, 'all is written down');
  const result = { rate: count / seconds, us: ((cpu(pid) - used) / count) * 1e6 };
  await world.sql('TRUNCATE requests, sends');
  return result;
}

/** One connection, so many streams, nothing else. */
async function plain() {
  const program = `
    import http2 from 'node:http2';
    const [url, project, ca, token, count, streams] = JSON.parse(process.argv[1]);
    const session = http2.connect(url, { ca });
    let sent = 0, done = 0;
    const next = () => {
      if (sent >= count) return;
      const n = sent++;
      const body = JSON.stringify({ message: { token: 'fcm-' + n + 'x'.repeat(140), notification: { title: 'kim', body: 'a message of sixty characters or so, as people write in chat' }, data: { seq: String(n) }, android: { priority: 'HIGH', ttl: '3600s', collapse_key: 'room' + n } } });
      const stream = session.request({ ':method': 'POST', ':path': '/v1/projects/' + project + '/messages:send', authorization: 'Bearer ' + token, 'content-type': 'application/json' });
      stream.on('response', (headers) => { if (headers[':status'] !== 200) { console.error(headers[':status']); process.exit(1); } });
      stream.resume();
      stream.on('end', () => { if (++done === count) { const { user, system } = process.cpuUsage(); process.send({ cpu: user + system }); session.close(); process.disconnect(); } else next(); });
      stream.end(body);
    };
    for (let i = 0; i < streams; i++) next();`;
  const file = path.join(folder, 'plain.mjs');
  fs.writeFileSync(file, program.replace('process.argv[1]', 'process.argv[2]'));
  const started = performance.now();
  const child = fork(file, [JSON.stringify([url, JSON.parse(credentials).project_id, tls.cert.toString(), await accessToken(), count, streams])]);
  const { cpu: used } = await new Promise((resolve, reject) => {
    child.once('message', resolve);
    child.once('exit', () => reject(new Error('the plain client ended')));
  });
  return { rate: count / ((performance.now() - started) / 1000), us: used / count };
}

/** As push-svc gets one. */
async function accessToken() {
  const { createSign } = await import('node:crypto');
  const account = JSON.parse(credentials);
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const input = `${part({ alg: 'RS256', typ: 'JWT', kid: account.private_key_id })}.${part({ iss: account.client_email, scope: 'https://www.googleapis.com/auth/firebase.messaging', aud: account.token_uri, iat: now, exp: now + 3600 })}`;
  const assertion = `${input}.${createSign('RSA-SHA256').update(input).sign(account.private_key).toString('base64url')}`;
  const session = http2.connect(url, { ca: tls.cert });
  const stream = session.request({ ':method': 'POST', ':path': '/token', 'content-type': 'application/x-www-form-urlencoded' });
  stream.end(new URLSearchParams({ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion }).toString());
  let text = '';
  for await (const bytes of stream) text += bytes;
  session.close();
  return JSON.parse(text).access_token;
}

try {
  await ours(); // warm
  const results = { ours: [], plain: [] };
  for (let round = 0; round < ROUNDS; round++) {
    results.ours.push(await ours());
    results.plain.push(await plain());
  }
  const line = (name) => `${name.padEnd(34)} ${median(results[name === 'push-svc' ? 'ours' : 'plain'].map(({ rate }) => rate)).toFixed(0).padStart(7)} sends/s  ${median(results[name === 'push-svc' ? 'ours' : 'plain'].map(({ us }) => us)).toFixed(1).padStart(7)} us of CPU a send`;
  const { connections, refusals } = await figures();
  console.log(`${machine()}, load ${os.loadavg()[0].toFixed(1)}; ${count} sends, provider answers after ${delay} ms, ${streams} streams; medians of ${ROUNDS}`);
  console.log(line('push-svc'));
  console.log(line('plain client, one connection'));
  console.log(`connections of push-svc, one after the other: ${connections - 2 * ROUNDS}; refused: ${refusals}`); // the plain client makes two a round
  if (refusals > 0) process.exitCode = 1;
} finally {
  provider.kill();
  await world.stop();
  fs.rmSync(folder, { recursive: true, force: true });
}
