// verdicts.mjs - what must hold once everything runs again: what was acknowledged is there, events arrived, nothing happened twice.
import { sql } from '../support/db.mjs';
import { Api } from '../support/http.mjs';
import { all } from '../support/people.mjs';
import { readTopic } from '../support/topics.mjs';
import { eventually } from '../support/wait.mjs';
import { seen } from './actor.mjs';

const SHOWN = 8; // of many broken things, so many are printed

let passed = 0,
  failed = 0;

/** Runs one check: it returns a list of what is wrong. */
export async function verdict(title, check) {
  let wrong;
  try {
    wrong = await check();
  } catch (error) {
    wrong = [error.stack];
  }
  wrong.length ? failed++ : passed++;
  console.log(`${wrong.length ? 'not ok' : 'ok    '} ${title}`);
  for (const line of wrong.slice(0, SHOWN)) console.log(`         ${line}`);
  if (wrong.length > SHOWN) console.log(`         and ${wrong.length - SHOWN} more`);
}

export const counts = () => ({ passed, failed });

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const logIn = (api, { email, password }) => api.post('/api/auth/login', { login: email, password }, { timeout: 30000 });

async function inBatches(list, size, work) {
  const out = [];
  for (let i = 0; i < list.length; i += size) out.push(...(await Promise.all(list.slice(i, i + size).map(work))));
  return out.flat();
}

/** First appearances of the versions of one key must rise (from `first`, or from 1: who changes a profile before user-svc has heard of the account begins
 * there), and a version that comes again must be the same event. */
function orderOf(records, { consecutive, first = 1 }) {
  const keys = new Map();
  const wrong = [];
  for (const { key, value } of records) {
    if (!keys.has(key)) keys.set(key, { versions: new Map(), last: first - 1 });
    const state = keys.get(key);
    const text = JSON.stringify(value),
      known = state.versions.get(value.version);
    if (known !== undefined && known !== text) wrong.push(`${key} version ${value.version} is two events: ${known} and ${text}`);
    if (known === undefined) {
      if (consecutive ? value.version !== state.last + 1 : value.version <= state.last)
        wrong.push(`${key}: version ${value.version} follows ${state.last}`);
      state.last = value.version;
      state.versions.set(value.version, text);
    }
    state.final = value;
  }
  for (const [key, { last, final }] of keys)
    if (final.version !== last) wrong.push(`${key} ends with version ${final.version}, not ${last}: a reader keeps old news`);
  return { wrong, final: new Map([...keys].map(([key, { final }]) => [key, final])) };
}

export async function judge({ base, doors, readyWithin, newcomers, editors, couples, devices }) {
  const api = new Api(base);

  await verdict('every store and daemon is ready again', () => readyWithin());
  await verdict('no client waited three minutes for a certain answer', () => seen.stuck);
  await verdict('every certain answer was a right one', () => seen.surprises);
  await verdict('[D-53] no reply was 500: a dead store is 503, a lost upstream 502', () => [...new Set(seen.internal)]);

  await verdict('[P-01] every acknowledged sign-up is one account that can log in', async () => {
    const made = newcomers.flatMap((client) => client.made);
    const rows = await sql('SELECT email_folded AS email, count(*) AS n FROM auth.accounts WHERE email_folded = ANY($1) GROUP BY 1', [
      made.map(({ email }) => email),
    ]);
    const found = new Map(rows.map(({ email, n }) => [email, n]));
    const wrong = made.filter(({ email }) => found.get(email) !== 1).map(({ email }) => `${email}: ${found.get(email) ?? 0} accounts`);
    if (made.length === 0) wrong.push('nobody signed up');
    const sample = made.filter((_, i) => i % Math.ceil(made.length / 40) === 0);
    return wrong.concat(
      await inBatches(sample, 4, async (person) => {
        const reply = await logIn(api, person);
        return reply.status === 200 ? [] : [`${person.email}: ${reply.status} ${reply.text}`];
      }),
    );
  });

  await verdict('[P-11] every profile is what was acknowledged last', () =>
    inBatches(
      editors.flatMap((client) => client.profiles),
      4,
      async ({ person, bio, writes }) => {
        if (writes === 0) return [];
        const session = await logIn(api, person);
        const now = await new Api(base, session.json.access_token).get('/api/users/me');
        return now.json?.bio === bio ? [] : [`${person.email}: "${now.json?.bio}", acknowledged was "${bio}"`];
      },
    ),
  );

  await verdict('[P-13][P-14][P-19] every pair stands as its client was told, on both sides', () =>
    inBatches(
      couples.flatMap((client) => client.pairs.map((pair) => ({ client, pair }))),
      2,
      async ({ client, pair }) => {
        const wrong = [];
        const apis = [];
        for (const person of pair.people) apis.push(new Api(base, (await logIn(api, person)).json.access_token));
        for (const x of [0, 1]) {
          const other = pair.people[1 - x].id;
          const has = async (path) => (await all(apis[x], path)).some(({ user }) => user.id === other);
          const now = [
            await has('/api/friends'),
            await has('/api/friends/requests?direction=out'),
            await has('/api/friends/requests?direction=in'),
            await has('/api/blocks'),
          ];
          const { friend, from, blocks } = pair.state;
          const told = [friend, from === x, from === 1 - x, blocks[x]];
          if (!same(now, told)) wrong.push(`${client.name}, side ${x}: friend, out, in, blocks are ${now}, acknowledged were ${told}`);
        }
        return wrong;
      },
    ),
  );

  await verdict('[P-14] one row per pair, and friendships stand in both directions', async () => {
    const lopsided = await sql(
      `SELECT p.a, p.b, p.friends_since, count(f.*) AS n FROM users.pairs p
       LEFT JOIN users.friends f ON (f.user_id, f.friend_id) IN ((p.a, p.b), (p.b, p.a))
       GROUP BY 1, 2, 3 HAVING count(f.*) <> CASE WHEN p.friends_since IS NULL THEN 0 ELSE 2 END`,
    );
    const strays = await sql(
      `SELECT f.user_id, f.friend_id FROM users.friends f LEFT JOIN users.pairs p ON p.a = least(f.user_id, f.friend_id) AND p.b = greatest(f.user_id, f.friend_id)
       WHERE p.friends_since IS NULL`,
    );
    return [...lopsided, ...strays].map((row) => JSON.stringify(row));
  });

  await verdict('[P-04][P-05][S-06] living sessions live, ended ones are dead, nobody has one more', () =>
    inBatches(devices, 2, async (client) => {
      const wrong = [];
      const me = await logIn(api, client.person);
      const listed = (await new Api(base, me.json.access_token).get('/api/auth/sessions')).json.items.map(({ id }) => id);
      const extra = listed.filter((id) => id !== me.json.session_id && !client.sessions.some((session) => session.sid === id));
      if (extra.length > client.lostLogIns)
        wrong.push(`${client.name}: ${extra.length} sessions that no answer told of, after ${client.lostLogIns} open log-ins`);
      for (const session of client.sessions) {
        if (listed.includes(session.sid) !== session.alive)
          wrong.push(`${client.name}: session ${session.sid} is ${session.alive ? 'lost' : 'alive again'}`);
        const reply = await api.post('/api/auth/refresh', { refresh_token: session.refresh });
        if ((reply.status === 200) !== session.alive)
          wrong.push(`${client.name}: refresh of a${session.alive ? ' living' : 'n ended'} session: ${reply.status} ${reply.text}`);
        if (session.alive) continue;
        for (const door of doors) {
          const visit = await new Api(door, session.access).get('/api/users/me');
          if (visit.status !== 401) wrong.push(`${client.name}: an ended session is served: ${visit.status}`);
        }
      }
      return wrong;
    }),
  );

  await verdict('the outboxes are empty', async () => {
    const left = () => sql('SELECT (SELECT count(*) FROM auth.outbox) AS auth, (SELECT count(*) FROM users.outbox) AS users');
    return eventually(30000, async () => (await left()).every(({ auth, users }) => auth + users === 0), 'empty outboxes')
      .then(() => [])
      .catch(async () => [JSON.stringify(await left())]);
  });

  await verdict('topic accounts: every change once and in order, the last one as in the database', async () => {
    const { wrong, final } = orderOf(await readTopic('accounts'), { consecutive: true });
    for (const row of await sql(
      'SELECT id, handle, nickname, email, role, version, withdrawn_at IS NOT NULL AS withdrawn FROM auth.accounts',
    )) {
      const event = final.get(row.id);
      const told = event && [event.handle, event.nickname, event.email, event.role, event.version, event.withdrawn];
      const kept = [row.handle ?? '', row.nickname ?? '', row.email ?? '', row.role, row.version, row.withdrawn];
      if (!same(told, kept)) wrong.push(`${row.id}: told ${JSON.stringify(told)}, kept ${JSON.stringify(kept)}`);
    }
    return wrong;
  });

  await verdict('user-svc knows every account as auth-svc does', () => {
    const behind = () =>
      sql(
        'SELECT a.id, a.version, p.account_version FROM auth.accounts a LEFT JOIN users.people p ON p.user_id = a.id WHERE p.account_version IS DISTINCT FROM a.version LIMIT 20',
      );
    return eventually(30000, async () => (await behind()).length === 0, 'the read copy has caught up')
      .then(() => [])
      .catch(async () => (await behind()).map((row) => JSON.stringify(row)));
  });

  await verdict('topic profiles: every change once and in order, the last one as in the database', async () => {
    const { wrong, final } = orderOf(await readTopic('profiles'), { consecutive: true, first: 0 });
    for (const row of await sql(
      'SELECT user_id AS id, bio, location, interests, profile_version AS version FROM users.people WHERE profile_version > 0',
    )) {
      const event = final.get(row.id);
      const told = event && [event.bio, event.location, event.interests, event.version];
      const kept = [row.bio, row.location, row.interests, row.version];
      if (!same(told, kept)) wrong.push(`${row.id}: told ${JSON.stringify(told)}, kept ${JSON.stringify(kept)}`);
    }
    return wrong;
  });

  await verdict('topic relations: in order, the last one as in the database', async () => {
    const { wrong, final } = orderOf(await readTopic('relations'), { consecutive: false });
    for (const row of await sql(
      'SELECT a, b, friends_since IS NOT NULL AS friend, a_blocked_at IS NOT NULL AS a_blocks, b_blocked_at IS NOT NULL AS b_blocks, version FROM users.pairs',
    )) {
      const event = final.get(`${row.a}:${row.b}`);
      const told = [event?.friend ?? false, [...(event?.blocked_by ?? [])].sort()];
      const kept = [row.friend, [row.a_blocks && row.a, row.b_blocks && row.b].filter(Boolean).sort()];
      if (!same(told, kept)) wrong.push(`${row.a}:${row.b}: told ${JSON.stringify(told)}, kept ${JSON.stringify(kept)}`);
      if ((event?.version ?? 0) > row.version) wrong.push(`${row.a}:${row.b}: told version ${event.version}, kept ${row.version}`);
    }
    return wrong;
  });

  await verdict('topic sessions.ended: every ended session is told of', async () => {
    const told = new Set((await readTopic('sessions.ended')).map(({ value }) => value.sid));
    return (await sql('SELECT id FROM auth.sessions WHERE ended_at IS NOT NULL')).filter(({ id }) => !told.has(id)).map(({ id }) => id);
  });

  await verdict('[P-20] topic notify.requests: no request to a friend is told more often than it was made', async () => {
    const ids = new Map();
    for (const { value } of await readTopic('notify.requests')) {
      if (value?.kind !== 'friend_request') continue;
      const to = value.to.user;
      if (!ids.has(to)) ids.set(to, new Set());
      ids.get(to).add(value.dedupe_id);
    }
    const asked = new Map(); // how often a person can have been asked
    for (const { pairs } of couples)
      for (const pair of pairs)
        for (const x of [0, 1]) asked.set(pair.people[1 - x].id, (asked.get(pair.people[1 - x].id) ?? 0) + pair.asked[x]);
    return [...asked]
      .filter(([id, n]) => (ids.get(id)?.size ?? 0) > n)
      .map(([id, n]) => `${id}: asked ${n} times, told ${ids.get(id).size} times`);
  });
}
