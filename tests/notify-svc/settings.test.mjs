// Settings per user and kind, quiet hours; Redis away; a full instance.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import { freePort } from '../support/http.mjs';
import { readTopic } from '../support/topics.mjs';
import { eventually } from '../support/wait.mjs';
import { Stream } from './sse.mjs';
import { World, uuid } from './world.mjs';

const world = new World();
const STREAMS_MAX = 8;
let redis, redisPort;

async function startRedis() {
  redis = spawn('redis-server', ['--port', String(redisPort), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'], { stdio: 'ignore' });
  await eventually(10000, () => execFileSync('redis-cli', ['-p', String(redisPort), 'PING'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim() === 'PONG', 'Redis answers');
}
async function stopRedis() {
  const gone = new Promise((resolve) => redis.on('exit', resolve));
  redis.kill('SIGKILL');
  await gone;
}

before(async () => {
  redisPort = await freePort();
  await startRedis();
  await world.start({ instances: 2, redisUrl: `redis://127.0.0.1:${redisPort}`, settings: { NOTIFY_STREAMS_MAX: String(STREAMS_MAX) } });
});
after(async () => {
  try {
    await world.stop();
  } finally {
    await stopRedis();
  }
});

const get = async (person) => (await person.api.get('/api/notifications/settings')).json;
const put = (person, body) => person.api.put('/api/notifications/settings', body);
const pushesOf = async (person) => (await readTopic('push.requests')).filter(({ key }) => key === person.id).map(({ value }) => value);

test('[P-42][M-54] settings: defaults of the table, changes by kind and channel, the rest stays', async () => {
  const kim = world.person();
  const first = await get(kim);
  assert.deepEqual(first.kinds.friend_request, { inbox: true, push: true, email: false, slack: false });
  assert.deepEqual(first.kinds.code, { inbox: false, push: false, email: true, slack: false });
  assert.equal(first.quiet_hours, null);
  const same = await put(kim, first);
  assert.deepEqual([same.status, same.json], [200, first], 'what was got can be put');
  const changed = await put(kim, { kinds: { friend_request: { push: false }, comment_reply: { email: true } } });
  assert.deepEqual(changed.json.kinds.friend_request, { inbox: true, push: false, email: false, slack: false });
  assert.equal((await put(kim, { kinds: { friend_request: { email: true } } })).json.kinds.friend_request.push, false);
  assert.deepEqual((await get(kim)).kinds.comment_reply, { inbox: true, push: true, email: true, slack: false });
  const back = await put(kim, { kinds: { friend_request: { push: true, email: false } } });
  assert.deepEqual(back.json.kinds.friend_request, first.kinds.friend_request);
  assert.deepEqual((await get(world.person())), first, 'of nobody else');
});

test('[P-42] what is off is not told there, and what is on elsewhere is', async () => {
  const [kim, lee] = [world.person(), world.person()];
  await put(kim, { kinds: { friend_request: { push: false } } });
  await put(lee, { kinds: { friend_request: { inbox: false } } });
  await world.fill(kim, 2);
  world.tell(lee, world.request(lee), world.request(lee, { kind: 'friend_accepted' }));
  await eventually(15000, async () => (await world.lastSeq(lee)) === 1, 'told');
  const pushes = await eventually(15000, async () => (await pushesOf(lee)).length === 2 && pushesOf(lee), 'pushed');
  assert.deepEqual(pushes.map(({ data }) => data.kind), ['friend_request', 'friend_accepted']);
  // What comes behind them has left: so would they have.
  world.tell(kim, world.request(kim, { kind: 'friend_accepted' }));
  const of = await eventually(15000, async () => (await pushesOf(kim)).some(({ data }) => data.kind === 'friend_accepted') && pushesOf(kim), 'pushed');
  assert.deepEqual(of.map(({ data }) => data.kind), ['friend_accepted']);
});

test('[P-42][S-45] security kinds can not be switched off, and are told whatever the settings say', async () => {
  const kim = world.person();
  for (const kinds of [{ code: { email: false } }, { session_reused: { inbox: false } }, { session_reused: { slack: true } }]) {
    const reply = await put(kim, { kinds: { friend_request: { push: false }, ...kinds } });
    assert.deepEqual([reply.status, reply.problem], [422, 'kind_locked']);
  }
  assert.equal((await get(kim)).kinds.friend_request.push, true, 'all or nothing');
  world.tell(kim, world.request(kim, { kind: 'session_reused', args: { device_name: 'd', ip: '192.0.2.1' } }));
  const [push] = await eventually(15000, async () => (await pushesOf(kim)).length && pushesOf(kim), 'pushed');
  assert.equal(push.urgent, true, 'quiet hours do not hold it');
});

test('[P-42] quiet hours and switches go to push-svc by topic notify.settings, newest version last', async () => {
  const kim = world.person();
  const quiet = { from: '22:30', to: '07:00', time_zone: 'Asia/Seoul' };
  assert.deepEqual((await put(kim, { quiet_hours: quiet })).json.quiet_hours, quiet);
  assert.deepEqual((await put(kim, { kinds: { chat_message: { push: false } } })).json.quiet_hours, quiet, 'not named: it stays');
  assert.equal((await put(kim, { quiet_hours: null })).json.quiet_hours, null);
  const told = await eventually(15000, async () => {
    const mine = (await readTopic('notify.settings')).filter(({ key }) => key === kim.id).map(({ value }) => value);
    return mine.length === 3 && mine;
  }, 'three records');
  assert.deepEqual(told.map(({ kind, user_id, quiet_hours, push_off, version }) => [kind, user_id, quiet_hours, push_off, version]), [
    ['notify_settings', kim.id, quiet, [], 1], ['notify_settings', kim.id, quiet, ['chat_message'], 2], ['notify_settings', kim.id, null, ['chat_message'], 3],
  ]);
});

test('[P-42] bad settings are 400 with the place', async () => {
  const kim = world.person();
  const quiet = (more) => ({ quiet_hours: { from: '22:00', to: '07:00', time_zone: 'Asia/Seoul', ...more } });
  const cases = [
    [{ kinds: { pigeon: {} } }, '/kinds/pigeon'], [{ kinds: { friend_request: { sms: true } } }, '/kinds/friend_request/sms'], [{ kinds: { friend_request: { push: 1 } } }, '/kinds/friend_request/push'],
    [{ kinds: { friend_request: null } }, '/kinds/friend_request'], [{ kinds: [] }, '/kinds'], [{ kinds: { chat_message: { email: true } } }, '/kinds'], [{ other: 1 }, '/other'],
    [quiet({ from: '24:00' }), '/quiet_hours/from'], [quiet({ from: '7:00' }), '/quiet_hours/from'], [quiet({ to: '22:00' }), '/quiet_hours/to'], [quiet({ to: '07:60' }), '/quiet_hours/to'],
    [quiet({ time_zone: 'Mars/Olympus' }), '/quiet_hours/time_zone'], [quiet({ time_zone: '../../etc/passwd' }), '/quiet_hours/time_zone'], [quiet({ time_zone: '' }), '/quiet_hours/time_zone'],
    [{ quiet_hours: 'always' }, '/quiet_hours'], [{ quiet_hours: { from: '22:00', to: '07:00' } }, null],
  ];
  for (const [body, pointer] of cases) {
    const reply = await put(kim, body);
    assert.deepEqual([reply.status, reply.problem], [400, 'bad_input'], JSON.stringify(body));
    if (pointer) assert.equal(reply.json.errors[0].pointer ?? reply.json.errors[0].field, pointer, reply.text);
  }
  assert.equal(await world.one('SELECT count(*) FROM preferences WHERE user_id = $1', [kim.id]), 0, 'nothing was stored');
});

test('[P-42] twenty changes at once: each counts, versions have no hole', async () => {
  const kim = world.person();
  const kinds = Object.entries((await get(kim)).kinds).filter(([name, { push }]) => push && name !== 'session_reused').map(([name]) => name);
  // A busy machine may say 503: the change is then made again.
  await Promise.all(kinds.map((name, i) => eventually(30000, async () => (await kim.at(world.instances[i % 2]).put('/api/notifications/settings', { kinds: { [name]: { push: false } } })).status === 200, name)));
  const now = await get(kim);
  for (const name of kinds) assert.equal(now.kinds[name].push, false, name);
  const versions = await eventually(15000, async () => {
    const told = (await readTopic('notify.settings')).filter(({ key }) => key === kim.id).map(({ value }) => value.version);
    return told.length >= kinds.length && told;
  }, 'each change is told');
  assert.deepEqual(versions, versions.map((_, i) => i + 1));
});

test('[S-45][K-43] a full instance says 503 with Retry-After, and takes the next one when there is room', async () => {
  const kim = world.person();
  const streams = [];
  for (let i = 0; i < STREAMS_MAX; i++) streams.push(await Stream.open(world.instances[0], { token: kim.token }));
  assert.deepEqual(streams.map(({ status }) => status), Array(STREAMS_MAX).fill(200));
  const refused = await Stream.open(world.instances[0], { token: world.person().token });
  assert.deepEqual([refused.status, (await refused.problem()).code], [503, 'overloaded']);
  assert.ok(Number(refused.headers['retry-after']) > 0);
  streams.pop().close();
  const next = await eventually(10000, async () => {
    const one = await Stream.open(world.instances[0], { token: kim.token });
    if (one.status !== 200) return one.close();
    return one;
  }, 'there is room again');
  await next.hello();
  for (const stream of [...streams, next]) stream.close();
  await eventually(10000, async () => (await world.instances[0].metric('madang_notify_streams')) === 0, 'all are gone');
});

test('[K-44][K-43] Redis dead: notices and read marks reach every instance\'s streams within seconds; back again: at once', async () => {
  const kim = world.person();
  const streams = await Promise.all(world.instances.map((instance) => Stream.open(instance, { token: kim.token })));
  for (const stream of streams) await stream.hello();
  await stopRedis();
  await world.fill(kim, 3);
  for (const stream of streams) await stream.until('three', ({ seqs }) => seqs.length === 3, 15000);
  await kim.api.post('/api/notifications/read', { up_to: 3 });
  for (const stream of streams) await stream.until('read', (one) => one.of('read').length === 1, 15000);
  const ticket = await Stream.open(world.instances[0], { path: `/api/notifications/stream?ticket=${world.auth.ticket(kim)}` });
  assert.deepEqual([ticket.status, (await ticket.problem()).code], [503, 'unavailable'], 'a ticket can not be spent');
  await startRedis();
  await eventually(15000, () => execFileSync('redis-cli', ['-p', String(redisPort), 'PUBSUB', 'NUMSUB', 'notify:wake'], { encoding: 'utf8' }).trim().endsWith('2'), 'both listen again');
  await world.fill(kim, 1);
  for (const stream of streams) {
    await stream.until('the fourth', ({ seqs }) => seqs.length === 4);
    assert.deepEqual(stream.seqs, [1, 2, 3, 4]);
    stream.close();
  }
});

test('[P-45] the role of notify-svc sees no other schema', async () => {
  const { as } = await import('../support/db.mjs');
  await world.sql('CREATE SCHEMA auth; CREATE TABLE auth.accounts (id uuid, password_hash text)');
  await as(world.role, async (query) => {
    assert.equal((await query('SELECT count(*) FROM notify.notices')).rows.length, 1);
    for (const statement of ['SELECT * FROM auth.accounts', 'CREATE TABLE public.intruder (a int)', 'CREATE SCHEMA intruder']) await assert.rejects(query(statement), { code: '42501' }, statement);
  });
});

test('[K-44] uuid of a stranger in the wake-up channel, and other nonsense there, harms nothing', async () => {
  const kim = world.person();
  const stream = await Stream.open(world.instances[0], { token: kim.token });
  await stream.hello();
  for (const text of ['', '|', 'x', `x|${uuid()}`, 'x|,,,', `x|${'a'.repeat(100000)}`, `x|${kim.id},${kim.id}`]) execFileSync('redis-cli', ['-p', String(redisPort), '-x', 'PUBLISH', 'notify:wake'], { input: text });
  await world.fill(kim, 1);
  await stream.until('told once', ({ seqs }) => seqs.length === 1);
  assert.equal(stream.events.length, 2);
  stream.close();
});
