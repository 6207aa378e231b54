// realtime.mjs - what must hold of rooms, sockets, presence and notices once everything runs again.
import { sql } from '../support/db.mjs';
import { Api } from '../support/http.mjs';
import { readTopic } from '../support/topics.mjs';
import { eventually } from '../support/wait.mjs';
import { verdict } from './verdicts.mjs';

const SETTLED_MS = 30000;

const logIn = async (base, { email, password }) =>
  new Api(base, (await new Api(base).post('/api/auth/login', { login: email, password }, { timeout: 30000 })).json.access_token);

/** The room from its first message on, as a member reads it. */
async function history(api, room) {
  const items = [];
  for (let after = 0; ; after = items.at(-1).seq) {
    const reply = await api.get(`/api/chat/rooms/${room}/messages?after=${after}&limit=100`);
    if (reply.status !== 200) throw new Error(`history: ${reply.status} ${reply.text}`);
    if (reply.json.items.length === 0) return items;
    items.push(...reply.json.items);
  }
}

async function eachOf(list, work) {
  const wrong = [];
  for (const one of list) wrong.push(...(await work(one)));
  return wrong;
}

/** Within the time, `look` finds nothing wrong; else what it found at last. */
async function settles(look) {
  let wrong;
  return eventually(SETTLED_MS, async () => (wrong = await look()).length === 0, 'settled', 200)
    .then(() => [])
    .catch((error) => wrong ?? [error.message]);
}

export async function judgeRealtime({ base, talks, listeners }) {
  await verdict('[P-28][P-31] every acknowledged message is readable once, as it was acknowledged last', () =>
    eachOf(talks, async (talk) => {
      const items = await history(await logIn(base, talk.people[0]), talk.room);
      const wrong = [];
      const byClient = new Map();
      for (const item of items) {
        if (!item.client_id) continue;
        if (byClient.has(item.client_id)) wrong.push(`${talk.name}: ${item.client_id} is there twice`);
        byClient.set(item.client_id, item);
      }
      for (const told of talk.sent) {
        const item = byClient.get(told.client_id);
        if (!item) wrong.push(`${talk.name}: ${told.client_id} is lost`);
        else if (item.seq !== told.seq || item.sender.id !== told.sender) wrong.push(`${talk.name}: ${told.client_id} moved: ${JSON.stringify(item)}`);
        else if (Boolean(item.deleted) !== Boolean(told.deleted)) wrong.push(`${talk.name}: ${told.client_id} deleted: ${item.deleted}`);
        else if (!told.deleted && item.content !== told.content) wrong.push(`${talk.name}: ${told.client_id} says ${item.content}`);
      }
      if (talk.sent.length === 0) wrong.push(`${talk.name}: nothing was said`);
      items.forEach((item, i) => item.seq === i + 1 || wrong.push(`${talk.name}: place ${i + 1} has sequence ${item.seq}`));
      return wrong;
    }),
  );

  await verdict('[M-52] sequences have no holes, in every room', async () =>
    (
      await sql(
        `SELECT r.id, r.kind, r.last_seq, count(m.seq) AS n, max(m.seq) AS last FROM chat.rooms r LEFT JOIN chat.messages m ON m.room_id = r.id
         WHERE r.kind NOT IN ('global', 'company') GROUP BY 1, 2, 3 HAVING count(m.seq) <> r.last_seq OR coalesce(max(m.seq), 0) <> r.last_seq`,
      )
    ).map((row) => JSON.stringify(row)),
  );

  await verdict('topic chat.events: revisions without gap, and a double is the same event', async () => {
    const rooms = new Map();
    const wrong = [];
    for (const { key, value } of await readTopic('chat.events')) {
      if (!value?.rev) continue; // a verdict
      if (!rooms.has(key)) rooms.set(key, new Map());
      const seen = rooms.get(key);
      const text = JSON.stringify(value);
      if (seen.has(value.rev) && seen.get(value.rev) !== text) wrong.push(`${key} revision ${value.rev} is two events`);
      if (!seen.has(value.rev) && value.rev !== seen.size + 1) wrong.push(`${key}: revision ${value.rev} follows ${seen.size}`);
      seen.set(value.rev, text);
    }
    for (const { id, rev } of await sql(`SELECT id, rev FROM chat.rooms WHERE kind NOT IN ('global', 'company')`))
      if ((rooms.get(id)?.size ?? 0) !== rev) wrong.push(`${id}: ${rooms.get(id)?.size ?? 0} events told, revision is ${rev}`);
    return wrong;
  });

  await verdict('[P-29] every listener was given every message once and in order, however often it lost the connection', () =>
    eachOf(listeners, async (listener) => {
      const { last_seq } = (await sql('SELECT last_seq FROM chat.rooms WHERE id = $1', [listener.talk.room]))[0];
      let on = true;
      const rest = listener.live(() => on);
      const wrong = await settles(async () => (listener.last === last_seq ? [] : [`${listener.name}: given ${listener.last} of ${last_seq}`]));
      on = false;
      await rest;
      if (listener.connections === 0) wrong.push(`${listener.name}: was never connected`);
      listener.seqs.forEach((seq, i) => seq === i + 1 || wrong.push(`${listener.name}: place ${i + 1} is ${seq}`));
      return wrong.slice(0, 3);
    }),
  );

  await verdict('[P-32][P-33][M-64] marks are what was acknowledged, and unread is last sequence less mark', () =>
    eachOf(talks, async (talk) =>
      eachOf(talk.people, async (person) => {
        const wrong = [];
        const api = await logIn(base, person);
        const row = (
          await sql('SELECT m.read_seq, r.last_seq FROM chat.members m JOIN chat.rooms r ON r.id = m.room_id WHERE room_id = $1 AND user_id = $2', [
            talk.room,
            person.id,
          ])
        )[0];
        const told = talk.marks.get(person.id) ?? 0;
        if (row.read_seq < told) wrong.push(`${person.email}: mark ${row.read_seq}, acknowledged ${told}`);
        if (row.read_seq > row.last_seq) wrong.push(`${person.email}: mark ${row.read_seq} of ${row.last_seq}`);
        const unread = (await api.get('/api/chat/unread')).json.rooms[talk.room] ?? 0;
        if (unread !== row.last_seq - row.read_seq) wrong.push(`${person.email}: unread ${unread}, last ${row.last_seq}, mark ${row.read_seq}`);
        return wrong;
      }),
    ),
  );

  await verdict('[P-35][M-49] nobody is left online: every listener is gone, and presence says so', async () => {
    const ids = listeners.map(({ person }) => person.id);
    let wrong;
    // A killed instance's sockets end with their lease; `make up` of the tests shortens it.
    return eventually(
      120000,
      async () => (wrong = await sql('SELECT user_id FROM presence.people WHERE online AND user_id = ANY($1)', [ids])).length === 0,
      'all offline',
      500,
    )
      .then(() => [])
      .catch(() => wrong.map(({ user_id }) => `${user_id} is online for ever`));
  });

  await verdict('[M-54][K-45] every notice that was asked for is in its inbox once, and sequences have no holes', () =>
    settles(async () => {
      const asked = new Map();
      // Who withdrew has no inbox: tests that ran before on the same stack do such things.
      const gone = new Set((await sql('SELECT id FROM auth.accounts WHERE withdrawn_at IS NOT NULL')).map(({ id }) => id));
      for (const { value } of await readTopic('notify.requests')) {
        const inbox = value?.channels?.includes('inbox');
        for (const user of inbox ? (value.to.users ?? [value.to.user]) : [])
          if (user && !gone.has(user)) asked.set(`${user} ${value.dedupe_id}`, true);
      }
      const rows = await sql('SELECT user_id, dedupe_id, seq FROM notify.notices ORDER BY user_id, seq');
      const wrong = [];
      const there = new Set(rows.map(({ user_id, dedupe_id }) => `${user_id} ${dedupe_id}`));
      if (there.size !== rows.length) wrong.push(`${rows.length - there.size} notices are there twice`);
      for (const one of asked.keys()) if (!there.has(one)) wrong.push(`${one} is not in the inbox`);
      const last = new Map();
      for (const { user_id, seq } of rows) {
        if (seq !== (last.get(user_id) ?? 0) + 1) wrong.push(`${user_id}: notice ${seq} follows ${last.get(user_id) ?? 0}`);
        last.set(user_id, seq);
      }
      return wrong;
    }),
  );

  await verdict('nothing waits to be sent: outboxes and events of chat, presence and notify', () =>
    settles(async () => {
      // events_out is emptied by the next batch of its partition: what was sent may stand there, and is sent again only to be dropped.
      const [row] = await sql(`SELECT (SELECT count(*) FROM chat.outbox) AS chat, (SELECT count(*) FROM presence.outbox) AS presence,
        (SELECT count(*) FROM notify.outbox) AS notify, (SELECT count(*) FROM push.outbox) AS push`);
      return Object.values(row).every((n) => n === 0) ? [] : [JSON.stringify(row)];
    }),
  );
}
