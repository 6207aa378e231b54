// Slack through the real daemon: proving that a Slack user is yours, what Slack tells us, and where each kind of notice goes. Slack is a stand-in that checks what
// the real one checks (tests/standins/slack.mjs).
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { SIGNING_SECRET, Slack, TOKEN, user } from '../standins/slack.mjs';
import { SOLAPI, Sms } from '../standins/sms.mjs';
import { request } from '../support/http.mjs';
import { eventually } from '../support/wait.mjs';
import { World, uuid } from './world.mjs';

const world = new World();
let slack, sms;
before(async () => {
  slack = await Slack.start();
  sms = await Sms.start();
  for (const channel of ['C0GENERAL', 'C0STUDY']) slack.channels.add(channel);
  await world.start({
    instances: 2,
    settings: {
      SLACK_TOKEN: TOKEN, SLACK_URL: slack.url, SLACK_SIGNING_SECRET: SIGNING_SECRET, SLACK_PACE_MS: '20', SLACK_CHANNEL_GENERAL: 'C0GENERAL',
      SLACK_CHANNEL_ERRORS: 'webhook:errors', SLACK_WEBHOOKS: `errors=${slack.url}/services/T1/B1/errors`,
      SMS_PROVIDER: 'solapi', SMS_URL: sms.url, SMS_FROM: SOLAPI.from, SOLAPI_KEY: SOLAPI.key, SOLAPI_SECRET: SOLAPI.secret,
      NOTIFY_ATTEMPTS_MAX: '4', NOTIFY_BACKOFF_MS: '20',
    },
  });
});
after(async () => {
  slack.stop();
  sms.stop();
  await world.stop();
});

let ids = 0;
/** Somebody in Slack; with the e-mail of a person of ours, or another. */
function inSlack(email = `nobody${++ids}@example.test`, more = {}) {
  const one = user(`U${process.pid}N${++ids}`, email, more);
  slack.users.set(one.id, one);
  return one;
}
const messagesTo = (one) => slack.messages.filter(({ users }) => users === one.id);
const codeTo = (one) => /\b(\d{6})\b/.exec(messagesTo(one).at(-1)?.text)?.[1];
const links = '/api/notifications/slack';
const ask = async (person, one) => {
  const reply = await person.api.put(links, { slack_id: one.id });
  assert.equal(reply.status, 202, reply.text);
  return codeTo(one);
};
const post = (event, instance = world.instances[0]) => request('POST', `${instance.url}/api/slack/events`, { headers: event.headers, body: event.body });
const delivery = (dedupe) => eventually(20000, async () => (await world.sql("SELECT * FROM deliveries WHERE dedupe_id = $1 AND channel = 'slack' AND state <> 'waiting'", [dedupe]))[0], 'the delivery is over');

// ---- linking ----

test('[D-49] a link is proved by a code in Slack, seen, and ended', async () => {
  const kim = world.person(), one = inSlack();
  assert.deepEqual((await kim.api.get(links)).json, { linked: false });
  const reply = await kim.api.put(links, { slack_id: one.id });
  assert.equal(reply.status, 202);
  assert.deepEqual(reply.json, { slack_id: one.id, expires_in: 600 });
  assert.equal((await kim.api.get(links)).json.pending.slack_id, one.id);
  assert.equal((await kim.api.get(links)).json.linked, false, 'asking proves nothing');
  const code = codeTo(one);
  assert.match(messagesTo(one).at(-1).text, /Your code to link Madang is \d{6}/);
  const wrong = await kim.api.post(`${links}/confirm`, { code: code === '000000' ? '000001' : '000000' });
  assert.deepEqual([wrong.status, wrong.problem], [400, 'bad_code']);
  const done = await kim.api.post(`${links}/confirm`, { code });
  assert.equal(done.status, 200, done.text);
  assert.deepEqual([done.json.linked, done.json.slack_id, done.json.how], [true, one.id, 'code']);
  assert.equal((await kim.api.put(links, { slack_id: one.id })).status, 200, 'linked already: no new code');
  assert.equal(messagesTo(one).length, 1);
  assert.equal((await kim.api.call('DELETE', links)).status, 204);
  assert.deepEqual((await kim.api.get(links)).json, { linked: false });
  assert.equal((await kim.api.call('DELETE', links)).status, 204);
});

test('[D-49] bots, the deleted, the unknown and what is no id are refused before any message', async () => {
  const kim = world.person();
  const bot = inSlack(undefined, { is_bot: true }), gone = inSlack(undefined, { deleted: true });
  for (const id of [bot.id, gone.id, 'UNOBODY']) {
    const reply = await kim.api.put(links, { slack_id: id });
    assert.deepEqual([reply.status, reply.problem], [422, 'slack_unknown'], id);
  }
  for (const body of [{ slack_id: 'mina' }, { slack_id: 'C0GENERAL' }, { slack_id: 'U1,U2' }, { slack_id: 7 }, {}, { slack_id: 'U0KIM', more: 1 }]) {
    const reply = await kim.api.put(links, body);
    assert.deepEqual([reply.status, reply.problem], [400, 'bad_input'], JSON.stringify(body));
  }
  assert.equal(messagesTo(bot).length + messagesTo(gone).length, 0);
  for (const code of ['12345', '1234567', 123456, '']) assert.equal((await kim.api.post(`${links}/confirm`, { code })).status, 400);
});

test('[D-49] five wrong codes end a code, on either instance; a minute lies between two', async () => {
  const kim = world.person(), one = inSlack();
  const code = await ask(kim, one);
  const again = await kim.api.put(links, { slack_id: one.id });
  assert.deepEqual([again.status, again.problem], [429, 'rate_limited']);
  assert.ok(Number(again.headers['retry-after']) > 50);
  for (let i = 0; i < 5; i++) {
    const wrong = code === `00000${i}` ? '999999' : `00000${i}`;
    assert.equal((await kim.at(world.instances[i % 2]).post(`${links}/confirm`, { code: wrong })).status, 400);
  }
  assert.equal((await kim.api.post(`${links}/confirm`, { code })).status, 400);
  assert.equal((await kim.api.get(links)).json.linked, false);
});

test('[D-49] a Slack user is one account\'s at a time: the last who proves it', async () => {
  const kim = world.person(), lee = world.person(), one = inSlack();
  await kim.api.post(`${links}/confirm`, { code: await ask(kim, one) });
  await world.sql("UPDATE slack_code_sends SET at = at - interval '61 seconds'");
  const code = await ask(lee, one);
  assert.equal((await kim.api.get(links)).json.linked, true, 'asking takes nothing away');
  assert.equal((await kim.api.post(`${links}/confirm`, { code })).status, 400, 'the code is of who asked');
  assert.equal((await lee.api.post(`${links}/confirm`, { code })).json.linked, true);
  assert.equal((await kim.api.get(links)).json.linked, false);
});

test('[D-49][D-51] Slack that fails is 503, and what could not be sent can be asked for at once', async () => {
  const kim = world.person(), one = inSlack();
  slack.fail('users.info', { status: 503, body: 'down' });
  let reply = await kim.api.put(links, { slack_id: one.id });
  assert.deepEqual([reply.status, reply.problem], [503, 'unavailable']);
  slack.fail('chat.postMessage', { status: 500, body: 'down' });
  reply = await kim.api.put(links, { slack_id: one.id });
  assert.equal(reply.status, 503);
  assert.ok(reply.headers['retry-after']);
  assert.ok(await ask(kim, one));
});

test('[D-49] links need a user, and logs hold neither codes nor tokens', async () => {
  for (const method of ['GET', 'PUT', 'DELETE']) assert.equal((await request(method, `${world.url}${links}`, { body: method === 'PUT' ? { slack_id: 'U1A' } : undefined })).status, 401);
  assert.equal((await request('POST', `${world.url}${links}/confirm`, { body: { code: '123456' } })).status, 401);
  const codes = slack.messages.map(({ text }) => /Madang is (\d{6})/.exec(text)?.[1]).filter(Boolean);
  assert.ok(codes.length > 0);
  for (const instance of world.instances)
    for (const secret of [TOKEN, SIGNING_SECRET, '/services/', SOLAPI.secret, ...codes.map((code) => `"${code}"`)]) assert.ok(!instance.log.includes(secret), 'a secret is logged');
});

// ---- what Slack tells ----

test('[D-50] the address is proved to Slack by its challenge, signed like all else', async () => {
  const body = JSON.stringify({ token: 'x', type: 'url_verification', challenge: '3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P' });
  const reply = await request('POST', `${world.url}/api/slack/events`, { headers: slack.sign(body), body });
  assert.equal(reply.status, 200);
  assert.equal(reply.json.challenge, '3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P');
});

test('[D-50] unsigned, wrongly signed, old and changed posts are refused', async () => {
  const event = { type: 'team_join', user: { id: 'U0FORGED' } };
  const now = Math.floor(Date.now() / 1000);
  const good = slack.event(event);
  const bad = [
    { ...good, headers: { 'Content-Type': 'application/json' } },
    slack.event(event, { secret: 'another' }),
    slack.event(event, { at: now - 301 }),
    slack.event(event, { at: now + 310 }),
    { ...good, body: good.body.replace('U0FORGED', 'U0FORGET') },
    { ...good, headers: { ...good.headers, 'X-Slack-Request-Timestamp': String(now - 1000) } },
  ];
  for (const one of bad) {
    const reply = await post(one);
    assert.deepEqual([reply.status, reply.problem], [401, 'bad_signature']);
  }
  for (const body of ['', '[]', '{"type":"event_callback"}', '{"type":']) assert.equal((await post({ body, headers: slack.sign(body) })).status, 400, body);
  assert.equal((await post(slack.event({ type: 'reaction_added', user: 'U1A' }))).status, 200, 'what we do not know is fine');
  assert.equal(await world.one("SELECT count(*) FROM slack_events WHERE slack_id LIKE 'U0FORGE%'"), 0);
});

test('[D-50][D-47] who joins the workspace is linked by a verified e-mail and greeted once, however often Slack says it', async () => {
  const kim = world.person();
  await world.account(kim);
  const one = inSlack(kim.email.toUpperCase(), { profile: { display_name: 'Kim <!here>' } });
  const event = slack.event({ type: 'team_join', user: { id: one.id, is_bot: false, profile: { email: 'forged@example.test' } } });
  const replies = await Promise.all([post(event), post(event, world.instances[1]), post(event)]);
  assert.deepEqual(replies.map(({ status }) => status), [200, 200, 200]);
  await eventually(20000, async () => (await kim.api.get(links)).json.linked, 'linked by e-mail');
  assert.deepEqual([(await kim.api.get(links)).json.slack_id, (await kim.api.get(links)).json.how], [one.id, 'email']);
  const row = await delivery(`slack:${event.id}`);
  assert.equal(row.state, 'sent', row.reason);
  assert.equal((await post(event)).status, 200);
  const greeted = slack.messages.filter(({ channel, text }) => channel === 'C0GENERAL' && text.includes('Kim &lt;!here&gt;'));
  assert.equal(greeted.length, 1);
});

test('[D-50][D-49] an e-mail that nobody verified links nobody, and an unlinked account stays unlinked', async () => {
  const kim = world.person(), lee = world.person();
  await world.account(kim, { email_verified: false });
  await world.account(lee);
  const one = inSlack(kim.email), two = inSlack(lee.email);
  const event = slack.event({ type: 'member_joined_channel', user: one.id, channel: 'C0STUDY', channel_type: 'C', team: 'T1' });
  await post(event);
  await delivery(`slack:${event.id}`);
  assert.equal((await kim.api.get(links)).json.linked, false);
  await post(slack.event({ type: 'member_joined_channel', user: two.id, channel: 'C0STUDY', channel_type: 'C', team: 'T1' }));
  await eventually(20000, async () => (await lee.api.get(links)).json.linked, 'linked by e-mail');
  await lee.api.call('DELETE', links);
  const again = slack.event({ type: 'member_joined_channel', user: two.id, channel: 'C0GENERAL', channel_type: 'C', team: 'T1' });
  await post(again);
  await delivery(`slack:${again.id}`);
  assert.equal((await lee.api.get(links)).json.linked, false);
});

test('[D-47][D-50] who joins a channel is greeted there, also when Slack stumbles; a bot is not', async () => {
  const one = inSlack(), bot = inSlack(undefined, { is_bot: true });
  slack.fail('users.info', { status: 503, body: 'down' });
  const event = slack.event({ type: 'member_joined_channel', user: one.id, channel: 'C0STUDY', channel_type: 'C', team: 'T1' });
  const silent = slack.event({ type: 'member_joined_channel', user: bot.id, channel: 'C0STUDY', channel_type: 'C', team: 'T1' });
  await post(event);
  await post(silent);
  assert.equal((await delivery(`slack:${event.id}`)).state, 'sent');
  await eventually(20000, async () => (await world.one('SELECT state FROM slack_events WHERE event_id = $1', [silent.id])) === 'done', 'the bot is looked at');
  assert.equal(slack.messages.filter(({ channel, text }) => channel === 'C0STUDY' && text.includes(one.real_name)).length, 1);
  assert.equal(slack.messages.filter(({ text }) => text.includes(bot.real_name)).length, 0);
});

// ---- where notices go ----

test('[K-46] a match opens one conversation with all it finds and names who is missing, once', async () => {
  const [kim, lee, choi] = [world.person(), world.person({ nickname: 'Lee & <Co>' }), world.person()];
  for (const person of [kim, lee, choi]) await world.account(person);
  const one = inSlack(kim.email), two = inSlack(choi.email);
  const match = world.request(kim, { kind: 'match_done', to: { users: [kim.id, lee.id, choi.id] }, channels: ['slack'], args: {}, locale: 'en' });
  world.publish('notify.requests', [[kim.id, match], [kim.id, { ...match, id: uuid() }]]);
  const row = await delivery(match.dedupe_id);
  assert.equal(row.state, 'sent', row.reason);
  const told = slack.messages.filter(({ users }) => users?.split(',').includes(one.id) && users.includes(two.id));
  assert.equal(told.length, 1);
  assert.equal(told[0].users.split(',').length, 2);
  assert.match(told[0].text, /Lee &amp; {2}Co/);
});

test('[D-47] a comment goes to the author in Slack only if linked', async () => {
  const kim = world.person(), lee = world.person();
  for (const person of [kim, lee]) await world.account(person);
  const one = inSlack(kim.email), two = inSlack(lee.email);
  await kim.api.post(`${links}/confirm`, { code: await ask(kim, one) });
  const args = { from: { id: uuid(), nickname: 'Park' }, post: { id: uuid(), title: 'Hello <world>' } };
  const requests = [kim, lee].map((person) => world.request(person, { kind: 'comment_added', args, channels: ['inbox', 'slack'] }));
  requests.forEach((record, i) => world.tell([kim, lee][i], record));
  assert.equal((await delivery(requests[0].dedupe_id)).state, 'sent');
  assert.match(messagesTo(one).at(-1).text, /Hello &lt;world&gt;/);
  await eventually(20000, async () => (await world.lastSeq(lee)) === 1, 'the inbox has it');
  assert.equal(messagesTo(two).length, 0);
});

test('[D-47] errors go to the error channel, and a channel without us is a dead letter with its reason', async () => {
  const error = { ...world.request(world.person()), kind: 'error_reported', to: { slack: 'webhook:errors' }, channels: ['slack'], args: { service: 'order-svc', text: 'a < b' } };
  const lost = { ...world.request(world.person()), kind: 'channel_joined', to: { slack: 'C0PRIVATE' }, channels: ['slack'], args: { from: { nickname: 'Park' } } };
  world.publish('notify.requests', [['errors', error], ['errors', lost]]);
  assert.equal((await delivery(error.dedupe_id)).state, 'sent');
  assert.ok(slack.messages.some(({ channel, text }) => channel === '/services/T1/B1/errors' && text.includes('a &lt; b')));
  const dead = await delivery(lost.dedupe_id);
  assert.deepEqual([dead.state, dead.reason], ['dead', 'chat.postMessage: not_in_channel']);
  const counted = () => Promise.all(world.instances.map((instance) => instance.metric('madang_notify_channel_sends_total{channel="slack",outcome="dead"}')));
  await eventually(15000, async () => (await counted()).some((dead) => dead >= 1), 'it is counted');
});

test('[D-48][K-46] a limited Slack is left alone, then told; attempts are not spent on waiting', async () => {
  const kim = world.person();
  await world.account(kim);
  const one = inSlack(kim.email);
  await kim.api.post(`${links}/confirm`, { code: await ask(kim, one) });
  for (let i = 0; i < 6; i++) slack.fail('chat.postMessage', { status: 429, body: { ok: false, error: 'ratelimited' }, headers: { 'Retry-After': '1' } });
  const before = slack.calls.length;
  const record = world.request(kim, { kind: 'comment_added', channels: ['slack'], args: { from: { nickname: 'Park' }, post: { id: uuid(), title: 'x' } } });
  world.tell(kim, record);
  const row = await delivery(record.dedupe_id);
  assert.equal(row.state, 'sent', row.reason);
  const posts = slack.calls.slice(before).filter(({ method }) => method === 'chat.postMessage');
  assert.equal(posts.length, 7);
  for (let i = 1; i < posts.length; i++) assert.ok(posts[i].at - posts[i - 1].at >= 900, 'Retry-After was kept');
});

// ---- SMS ----

test('[P-01][D-51] a code for a telephone leaves as one signed SMS', async () => {
  const record = { ...world.request(world.person()), kind: 'code', to: { phone: '01012345678' }, channels: ['sms'], args: { code: '135790', purpose: 'verify_phone' }, locale: 'ko' };
  world.publish('notify.requests', [['phone', record], ['phone', record]]);
  const call = await eventually(20000, () => sms.calls.find(({ body }) => body.messages[0].text.includes('135790')), 'the SMS left');
  assert.equal(call.status, 200);
  assert.equal(call.body.messages[0].to, '01012345678');
  await eventually(20000, async () => (await world.one("SELECT state FROM deliveries WHERE dedupe_id = $1 AND channel = 'sms'", [record.dedupe_id])) === 'sent', 'it is over');
  assert.equal(sms.calls.filter(({ body }) => body.messages[0].text.includes('135790')).length, 1);
});

// ---- without settings ----

test('[D-51][P-07] mails without settings stand in the local sink, which only its owner reads', async () => {
  const to = `sink${uuid()}@example.test`;
  const record = { ...world.request(world.person()), kind: 'code', to: { email: to }, channels: ['email'], args: { code: '864209', purpose: 'verify_email' }, locale: 'en' };
  world.publish('notify.requests', [[to, record]]);
  const file = path.join(world.folder, 'sink.jsonl');
  const line = await eventually(20000, () => fs.readFileSync(file, 'utf8').split('\n').filter(Boolean).map((one) => JSON.parse(one)).find((one) => one.to === to), 'the mail is in the sink');
  assert.deepEqual([line.channel, line.id, line.data.kind], ['email', record.dedupe_id, 'code']);
  assert.match(line.body, /864209/);
  assert.equal(fs.statSync(file).mode & 0o777, 0o600);
});
