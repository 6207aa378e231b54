// The inbox: what is stored, once, in order; lists, read marks, bad input.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { readTopic } from '../support/topics.mjs';
import { eventually } from '../support/wait.mjs';
import { World, uuid } from './world.mjs';

const world = new World();
before(() => world.start({ instances: 2 }));
after(() => world.stop());

const list = async (person, query = '') => (await person.api.get(`/api/notifications${query}`)).json.items;

test('[K-41][M-54][P-20] a notice has the form of the contract, in the language of the request', async () => {
  const kim = world.person();
  const from = { id: uuid(), nickname: '이몽룡' };
  const [asked] = await world.fill(kim, 1, () => ({ args: { from }, locale: 'ko' }));
  const [notice] = await list(kim);
  assert.deepEqual(Object.keys(notice), ['seq', 'id', 'kind', 'title', 'body', 'data', 'read_at', 'at']);
  assert.deepEqual([notice.seq, notice.kind, notice.title, notice.data, notice.read_at, notice.at], [1, 'friend_request', '이몽룡님의 친구 요청', { from }, null, asked.at]);
  await world.fill(kim, 1, () => ({ args: { from }, locale: 'en-GB' }));
  assert.equal((await list(kim))[0].title, 'Friend request from 이몽룡');
  await world.account(kim, { locale: 'en' });
  await world.fill(kim, 1, () => ({ args: { from } }));
  assert.match((await list(kim))[0].body, /wants to be friends/);
});

test('[S-45][S-47] the result of a round, as the game asks for it: into the inbox once, and nowhere else', async () => {
  const kim = world.person();
  const round = { id: uuid(), number: 12 };
  const asked = (more, locale) => world.request(kim, { kind: 'round_result', channels: undefined, locale, dedupe_id: `round_result:${round.id}:${kim.id}:${locale}`, args: { round, rank: 3, return_pct: -12.35, points: 0, participants: 4000, ...more } });
  const results = [asked({}, 'en'), asked({ rank: 1, return_pct: 0.05, points: 100 }, 'ko')];
  world.tell(kim, ...results, ...results, asked({ points: undefined }, 'de'));
  await eventually(15000, async () => (await world.lastSeq(kim)) === 2, 'two are stored');
  const [ko, en] = await list(kim);
  assert.deepEqual([en.kind, en.title, en.body], ['round_result', 'Round 12: place 3', 'Place 3 of 4000, return -12.35%, 0 points.']);
  assert.deepEqual([ko.title, ko.body], ['12라운드 결과: 1위', '4000명 중 1위, 수익률 0.05%, 점수 100점입니다.']);
  assert.deepEqual(en.data.round, round);
  await world.fill(kim, 1); // what comes behind it was worked on: so was this
  assert.equal((await readTopic('push.requests')).some(({ key, value }) => key === kim.id && value.data?.kind === 'round_result'), false);
  assert.equal(await world.one('SELECT count(*)::int FROM notices WHERE user_id = $1', [kim.id]), 3);
});

test('[K-45] a record that comes three times is one notice, one number, one push', async () => {
  const kim = world.person();
  const request = world.request(kim);
  const again = { ...request, id: uuid() };
  world.tell(kim, request, request, again);
  world.tell(kim, request);
  await eventually(15000, async () => (await world.lastSeq(kim)) === 1, 'one is stored');
  await world.fill(kim, 1); // what comes behind them was worked on: so were all four
  assert.deepEqual((await list(kim)).map(({ seq }) => seq), [2, 1]);
  assert.equal(await world.one('SELECT count(*) FROM notices WHERE user_id = $1 AND dedupe_id = $2', [kim.id, request.dedupe_id]), 1);
  const pushes = await eventually(15000, async () => {
    const mine = (await readTopic('push.requests')).filter(({ key }) => key === kim.id);
    return mine.length >= 2 && mine;
  }, 'the pushes left');
  assert.equal(pushes.length, 2);
  const { value } = pushes.find(({ value: { dedupe_id } }) => dedupe_id === request.dedupe_id);
  assert.deepEqual([value.kind, value.user_id, value.source, value.data.kind, value.data['args.from.nickname'], value.urgent], ['push', kim.id, 'notify', 'friend_request', 'Lee', false]);
});

test('[K-44][K-45] many users, many records, two instances: each inbox is numbered 1, 2, 3 ... in the order of the topic', async () => {
  const people = Array.from({ length: 12 }, () => world.person());
  await Promise.all(people.map(async (person, p) => {
    const requests = Array.from({ length: 60 }, (_, i) => world.request(person, { dedupe_id: `${person.id}:${i - (i % 7 === 6 ? 1 : 0)}`, args: { from: { id: uuid(), nickname: `n${p}.${i}` } } }));
    world.tell(person, ...requests);
  }));
  for (const person of people) {
    await eventually(30000, async () => (await world.lastSeq(person)) === 52, 'all are stored');
    const rows = await world.sql('SELECT seq, dedupe_id FROM notices WHERE user_id = $1 ORDER BY seq', [person.id]);
    assert.deepEqual(rows.map(({ seq }) => seq), Array.from({ length: 52 }, (_, i) => i + 1));
    const numbers = rows.map(({ dedupe_id }) => Number(dedupe_id.split(':')[1]));
    assert.deepEqual(numbers, numbers.toSorted((a, b) => a - b));
  }
});

test('[K-45] kill -9 in the middle of records: every notice once, no hole in the numbers', async () => {
  const people = Array.from({ length: 4 }, () => world.person());
  for (const person of people) world.tell(person, ...Array.from({ length: 250 }, (_, i) => world.request(person, { dedupe_id: `k${i}` })));
  await eventually(20000, async () => (await world.one('SELECT sum(last_seq) FROM inboxes WHERE user_id = ANY ($1)', [people.map(({ id }) => id)])) > 0, 'it has begun');
  await world.instances[0].kill();
  await world.instances[0].start();
  for (const person of people) {
    person.api = person.at(world.instances[0]);
    await eventually(30000, async () => (await world.lastSeq(person)) === 250, 'all are stored');
    assert.equal(await world.one('SELECT count(DISTINCT dedupe_id) FROM notices WHERE user_id = $1', [person.id]), 250);
  }
});

test('[K-42][M-54] pages: newest first, no double, no gap; unread alone; a cursor of nowhere is 400', async () => {
  const kim = world.person();
  await world.fill(kim, 25);
  const seen = [];
  for (let next = ''; next !== null;) {
    const { json } = await kim.api.get(`/api/notifications?limit=10${next && `&cursor=${next}`}`);
    seen.push(...json.items.map(({ seq }) => seq));
    next = json.next_cursor;
  }
  assert.deepEqual(seen, Array.from({ length: 25 }, (_, i) => 25 - i));
  await kim.api.post('/api/notifications/read', { up_to: 20 });
  assert.deepEqual((await list(kim, '?unread=true')).map(({ seq }) => seq), [25, 24, 23, 22, 21]);
  assert.equal((await list(kim, '?unread=false&limit=100')).length, 25);
  for (const query of ['cursor=x', 'cursor=AAAAAAAAAAAA', 'limit=0', 'limit=101', 'limit=a', 'unread=1', 'cursor=bn______']) {
    const reply = await kim.api.get(`/api/notifications?${query}`);
    assert.deepEqual([reply.status, reply.problem], [400, 'bad_input'], query);
  }
});

test('[K-42][M-54] reading the list marks nothing; up_to and ids do, and never go back', async () => {
  const kim = world.person();
  await world.fill(kim, 6);
  const items = await list(kim);
  const count = async () => (await kim.api.get('/api/notifications/count')).json.unread;
  assert.equal(await count(), 6);
  const read = async (body) => (await kim.api.post('/api/notifications/read', body)).json.unread;
  assert.equal(await read({ ids: [items[0].id, items[0].id.toUpperCase()] }), 5);
  assert.equal(await read({ up_to: 3 }), 2);
  assert.equal(await read({ up_to: 1 }), 2);
  assert.equal(await read({ up_to: 0 }), 2);
  assert.deepEqual((await list(kim)).map(({ read_at }) => read_at !== null), [true, false, false, true, true, true]);
  assert.equal(await read({ up_to: 1e15 }), 0, 'beyond the end is the end');
  await world.fill(kim, 1);
  assert.equal(await count(), 1, 'what comes later is unread');
});

test('[M-54] only one\'s own: ids of others are not found and change nothing', async () => {
  const [kim, lee] = [world.person(), world.person()];
  await world.fill(kim, 2);
  const [notice] = await list(kim);
  const reply = await lee.api.post('/api/notifications/read', { ids: [notice.id] });
  assert.deepEqual([reply.status, reply.json], [200, { unread: 0 }]);
  await lee.api.post('/api/notifications/read', { up_to: 2 });
  assert.equal((await kim.api.get('/api/notifications/count')).json.unread, 2);
  assert.deepEqual(await list(lee), []);
});

test('[M-54] bad bodies of a read mark are 400', async () => {
  const kim = world.person();
  const ids = (n) => Array.from({ length: n }, () => uuid());
  for (const body of [{}, { up_to: 1, ids: ids(1) }, { up_to: -1 }, { up_to: '1' }, { up_to: 1.5 }, { ids: [] }, { ids: ['x'] }, { ids: ids(101) }, { ids: 'x' }, { up_to: 1, more: 1 }, '[]', 'x', '']) {
    const reply = await kim.api.post('/api/notifications/read', body);
    assert.deepEqual([reply.status, reply.problem], [400, 'bad_input'], JSON.stringify(body));
  }
  assert.equal((await kim.api.post('/api/notifications/read', { ids: ids(100) })).status, 200);
  const nobody = { ...kim, api: kim.at(world.instances[0]) };
  nobody.api.token = undefined;
  for (const where of ['', '/count', '/settings']) assert.equal((await nobody.api.get(`/api/notifications${where}`)).status, 401);
});

test('[M-55][K-41][D-47] every kind of the table is told with its args; a missing arg, an unknown kind and other nonsense go to the dead letters and hold up nobody', async () => {
  const kim = world.person();
  const bad = [
    world.request(kim, { kind: 'no_such_kind' }), world.request(kim, { args: {} }), world.request(kim, { args: { from: { id: 'x', nickname: '' } } }),
    world.request(kim, { to: {} }), world.request(kim, { to: { user: 'x' } }), world.request(kim, { to: { user: kim.id, email: 'a@b.c' } }),
    world.request(kim, { dedupe_id: '' }), world.request(kim, { dedupe_id: 'd'.repeat(201) }), world.request(kim, { channels: ['pigeon'] }),
    world.request(kim, { args: Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`a${i}`, 'x'])) }), world.request(kim, { args: { text: 'x'.repeat(5000) } }),
    world.request(kim, { to: { users: Array.from({ length: 501 }, () => kim.id) } }), '{"broken', '[]', '"x"', '1',
  ];
  const refused = () => Promise.all(world.instances.map(async (instance) => (await Promise.all(['unknown_kind', 'missing_arg', 'bad_request'].map((reason) => instance.metric(`madang_notify_refused_total{reason="${reason}"}`)))).reduce((a, b) => a + b))).then((all) => all.reduce((a, b) => a + b));
  const before = await refused();
  const from = { id: uuid(), nickname: 'Lee' }, meetup = { id: uuid(), title: 'Hike' };
  const good = [
    ...['meetup_application', 'meetup_joined'].map((kind) => ({ kind, args: { from, meetup } })),
    ...['meetup_approved', 'meetup_rejected', 'meetup_banned', 'meetup_changed'].map((kind) => ({ kind, args: { meetup } })),
    { kind: 'meetup_new', args: { club: { title: 'Club' }, meetup } }, { kind: 'meetup_starting', args: { meetup, starts_at: '19:00' } },
    { kind: 'partner_joined', args: { from, article: { id: 1 } } }, { kind: 'partner_left', args: { from, article: { id: 1 } } },
    { kind: 'match_confirmed', args: { article: { id: 1 } } }, { kind: 'comment_reply', args: { from, article: { id: 1 }, opinion: { id: 2 } } },
    { kind: 'comment_added', args: { from, post: { id: 3, title: 'C' } } }, { kind: 'payment_done', args: { order: { id: 1, title: 'Course' }, amount_won: 15000 } },
    { kind: 'round_result', args: { round: { id: uuid(), number: 7 }, rank: 1, participants: 20, return_pct: 12.3, points: 100 } }, { kind: 'room_invitation', args: { from, room: { id: uuid(), title: 'Yard' } } },
  ].map((more) => world.request(kim, { locale: 'en', ...more }));
  world.tell(kim, ...good.flatMap((request, i) => [request, bad[i] ?? request]));
  await eventually(30000, async () => (await world.lastSeq(kim)) === good.length, 'the good ones are stored');
  const items = await list(kim, '?limit=100');
  assert.deepEqual(items.map(({ kind }) => kind).reverse(), good.map(({ kind }) => kind));
  for (const { kind, title, body } of items) assert.ok(title && body && !/[{}]/.test(title + body), kind);
  assert.equal(items.find(({ kind }) => kind === 'payment_done').body, 'Your payment of 15000 won for Course was received.');
  assert.equal((await refused()) - before, bad.length);
  const letters = (await readTopic('notify.requests.dlq')).filter(({ key }) => key === kim.id);
  assert.equal(letters.length, bad.length);
});

test('[K-41] args are text and nothing else: no format, no template, no new line, bounded', async () => {
  const kim = world.person();
  const nasty = ['{from.id}', '%s%n%d', 'a\r\nBcc: x@y.z', `${'긴'.repeat(300)}`, '<b>&amp;\u202e', '"; DROP TABLE notices; --'];
  await world.fill(kim, nasty.length, (i) => ({ locale: 'en', args: { from: { id: 'secret-id', nickname: nasty[i] } } }));
  const titles = (await list(kim)).reverse().map(({ title }) => title);
  assert.equal(titles[0], 'Friend request from {from.id}');
  assert.equal(titles[1], 'Friend request from %s%n%d');
  assert.equal(titles[2], 'Friend request from a Bcc: x@y.z');
  assert.ok([...titles[3]].length <= 100 && titles[3].endsWith('…'));
  assert.equal(titles[4], 'Friend request from <b>&amp; ');
  assert.equal(titles[5], 'Friend request from "; DROP TABLE notices; --');
});

test('[M-55] to users[]: each has a notice of their own, each once', async () => {
  const people = Array.from({ length: 40 }, () => world.person());
  const request = world.request(people[0], { kind: 'meetup_changed', to: { users: people.flatMap(({ id }) => [id, id.toUpperCase()]) }, args: { meetup: { id: uuid(), title: 'Hike' } } });
  world.tell(people[0], request, request);
  for (const person of people) await eventually(15000, async () => (await world.lastSeq(person)) === 1, 'told');
  assert.equal(await world.one('SELECT count(*) FROM notices WHERE dedupe_id = $1', [request.dedupe_id]), 40);
});

test('[M-55] very many recipients in one batch: all are told, each once, and the next record is not lost', async () => {
  const people = Array.from({ length: 500 }, () => uuid());
  const last = world.person();
  const requests = Array.from({ length: 8 }, () => world.request(last, { kind: 'meetup_changed', to: { users: people }, args: { meetup: { id: uuid(), title: '긴'.repeat(200) } } }));
  world.publish('notify.requests', [...requests, world.request(last)].map((request) => [last.id, request]));
  await eventually(60000, async () => (await world.lastSeq(last)) === 1, 'the last record is done');
  const rows = await world.sql('SELECT last_seq, count(*) FROM inboxes WHERE user_id = ANY ($1) GROUP BY last_seq', [people]);
  assert.deepEqual(rows, [{ last_seq: 8, count: 500 }]);
});

test('[M-11] who withdrew keeps nothing and is told nothing', async () => {
  const kim = world.person();
  await world.account(kim);
  await world.fill(kim, 3);
  await kim.api.put('/api/notifications/settings', { kinds: { friend_request: { push: false } } });
  await world.account(kim, { withdrawn: true, email: '', nickname: '', handle: '' });
  for (const table of ['notices', 'choices', 'preferences']) assert.equal(await world.one(`SELECT count(*) FROM ${table} WHERE user_id = $1`, [kim.id]), 0, table);
  const other = world.person();
  world.publish('notify.requests', [[kim.id, world.request(kim)], [kim.id, world.request(other)]]);
  await eventually(15000, async () => (await world.lastSeq(other)) === 1, 'the next record is done');
  assert.equal(await world.one('SELECT count(*) FROM notices WHERE user_id = $1', [kim.id]), 0);
});
