// history.mjs - a page of 50 from a room of 1,000,000 messages, at its newest, middle and oldest, beside a room of 1,000 (the length should cost nothing),
// and how the store finds it.
//     node tests/bench/history.mjs build/gcc [--messages 1000000] [--seconds 5] [--connections 16]
// Brings up stores of its own and one chat-svc; every reply is checked. Everything shares the machine's cores.
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { file, folder, load, machine } from './rig.mjs';

const build = process.argv[2] ?? 'build/gcc';
const option = (name, value) => (process.argv.includes(`--${name}`) ? Number(process.argv[process.argv.indexOf(`--${name}`) + 1]) : value);
const messages = option('messages', 1000000), seconds = option('seconds', 5), connections = option('connections', 16);
const SMALL = 1000, MEMBERS = 100, PAGE = 50;

const ports = { GATEWAY_PORT: 18480, SERVICE_PORT_BASE: 17500, ADMIN_PORT_BASE: 17700, PG_PORT: 15832, REDIS_PORT: 16779, KAFKA_PORT: 19492, KAFKA_CONTROLLER_PORT: 19493 };
Object.assign(process.env, { RUN_DIR: path.join(folder, 'run'), BUILD: build }, Object.fromEntries(Object.entries(ports).map(([key, value]) => [key, String(value)])));
for (const name of ['PG_URL', 'REDIS_URL', 'KAFKA_BROKERS']) delete process.env[name];
const stack = (command) => execFileSync('deploy/local/stack.sh', [command], { stdio: ['ignore', 'ignore', 'inherit'] });
process.prependListener('exit', () => stack('stores-down')); // before the folder goes
stack('stores');

const { World, uuid } = await import('../chat-svc/world.mjs'); // reads RUN_DIR
const world = new World();
await world.start({ LOG_LEVEL: 'warn' }, 1);
const people = await world.people(MEMBERS);

/** A group whose members have read up to different places, filled as the owner would leave it. */
async function room(count) {
  const id = uuid();
  await world.sql("INSERT INTO rooms (id, kind, created_at, active_at, member_count, last_seq, rev) VALUES ($1, 'group', now(), now(), $2, $3, $3)", [id, MEMBERS, count]);
  await world.sql('INSERT INTO members (room_id, user_id, joined_at, read_seq) SELECT $1, user_id, now(), $3 * n / $4 FROM unnest($2::uuid[]) WITH ORDINALITY AS x (user_id, n)', [
    id, people.map((person) => person.id), count, MEMBERS,
  ]);
  await world.sql(
    `INSERT INTO messages (room_id, seq, rev, id, client_id, sender_id, kind, content, reactions, at)
     SELECT $1, n, n, gen_random_uuid(), n::text, ($2::uuid[])[1 + (n % $3::int)::int], 'text', 'message ' || n || repeat(' 안녕', (n % 20)::int), CASE WHEN n % 50 = 0 THEN '{"👍": 1}'::jsonb ELSE '{}' END, now()
     FROM generate_series(1, $4::bigint) n`,
    [id, people.map((person) => person.id), MEMBERS, count],
  );
  await world.sql("INSERT INTO reactions SELECT $1, n, $2, '👍' FROM generate_series(50, $3::bigint, 50) n", [id, people[0].id, count]);
  return id;
}
const [large, small] = [await room(messages), await room(SMALL)];
await world.sql('VACUUM ANALYZE messages, members, reactions, people');

const tokens = file('history.tokens', people.map((person) => person.token).join('\n') + '\n');
async function measure(name, id, query) {
  const url = `${world.instances[0].url}/api/chat/rooms/${id}/messages?limit=${PAGE}${query}`;
  const page = await people[0].api.get(url.slice(world.instances[0].url.length));
  if (page.status !== 200 || page.json.items.length !== PAGE) throw new Error(page.text);
  const row = { case: name };
  for (const [label, count] of [['one', 1], ['many', connections]]) {
    const figures = await load(build, '0,1', ['--url', url, '--connections', count, '--seconds', seconds, '--warmup', 1, '--tokens', tokens, '--pid', `chat=${world.instances[0].child.pid}`]);
    Object.assign(row, { [`${label}: p50 ms`]: figures.p50_ms, [`${label}: p99 ms`]: figures.p99_ms, [`${label}: pages/s`]: figures.rate, [`${label}: errors`]: figures.errors + figures.not_2xx });
    if (count > 1) row['chat-svc us'] = figures.cpu_us_chat;
  }
  return row;
}

/** How the store finds a page: what it read, and that it walked the key of (room, sequence) only. */
async function plan(id, edge) {
  const rows = await world.sql(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM messages WHERE room_id = '${id}' AND seq < ${edge} ORDER BY seq DESC LIMIT ${PAGE + 1}`);
  const [{ Plan: top }] = rows[0]['QUERY PLAN'];
  return `${top.Plans[0]['Node Type']} ${top.Plans[0]['Index Name']}, ${top['Shared Hit Blocks'] + top['Shared Read Blocks']} blocks`;
}

const rows = [
  await measure(`1 of ${SMALL.toLocaleString('en')}, newest`, small, ''),
  await measure(`1 of ${messages.toLocaleString('en')}, newest`, large, ''),
  await measure('middle', large, `&before=${Math.floor(messages / 2)}`),
  await measure('oldest', large, `&before=${PAGE + 1}`),
  await measure('oldest first', large, '&after=0'),
];
console.log(`${machine()}; load generator, chat-svc and PostgreSQL share the cores; pages of ${PAGE}, ${MEMBERS} members at ${MEMBERS} marks, ${connections} connections for "many"`);
console.table(rows);
console.log(`plan in the middle: ${await plan(large, Math.floor(messages / 2))}; in the small room: ${await plan(small, SMALL / 2)}`);
const errors = rows.reduce((sum, row) => sum + row['one: errors'] + row['many: errors'], 0);
await world.stop();
process.exit(errors ? 1 : 0);
