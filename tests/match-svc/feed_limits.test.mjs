// feed_limits.test.mjs - what an open socket can not do: speak into a feed, hold memory, be slow for ever; and how sockets end.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { Feeds, Market, showsBook, uuid } from './feed_kit.mjs';
import { eventually } from '../support/wait.mjs';

const world = new Feeds();
let round;
before(async () => {
  // Half of WS_OUTPUT_MAX holds two turns of all companies: who reads is never behind.
  await world.start({ MATCH_SLOW_SECONDS: '10', WS_OUTPUT_MAX: '524288', WS_CONNECTIONS_MAX: '60', MATCH_DEPTH_MS: '10', MATCH_FEED_MS: '10' }, 1);
  round = new Market({ companies: 16 });
  await round.open();
  for (const { id } of round.companies) await showsBook(world.instances[0], id, () => true);
});
after(() => world.stop());

test('[S-45][S-46][I10] feeds can not be spoken into: each frame that is no subscription is refused, and changes nothing', async () => {
  const other = await world.viewer();
  await other.subscribe('trades', round.company);
  const viewer = await world.viewer();
  const refused = [
    ['{', 'bad_input'], ['', 'bad_input'], ['[]', 'bad_input'], ['"subscribe"', 'bad_input'], ['{"op":"publish"}', 'bad_input'],
    [{ type: 'delta', channel: 'trades', company: round.company, seq: 1, trades: [] }, 'bad_input'],
    [{ op: 'subscribe', channel: 'notices', company: round.company }, 'bad_input'],
    [{ op: 'subscribe', channel: 'book', company: '2' }, 'bad_input'],
    [{ op: 'subscribe', channel: 'book' }, 'bad_input'],
  ];
  for (const [frame, code] of refused) {
    const from = viewer.frames.length;
    viewer.say(frame);
    const answer = await viewer.until(({ type }) => type === 'error', 'an error', from);
    assert.equal(answer.code, code, JSON.stringify(frame));
    assert.ok(answer.detail.length > 0);
    assert.equal(viewer.frames.length, from + 1, 'one frame');
  }
  viewer.say({ op: 'subscribe', channel: 'book', company: uuid() });
  assert.equal((await viewer.until(({ code }) => code === 'not_found', 'an unknown company')).channel, 'book');
  viewer.say({ op: 'ping' });
  await viewer.until(({ type }) => type === 'pong', 'a pong');
  viewer.say({ op: 'subscribe', channel: 'book', company: round.company, depth: 5 });
  assert.deepEqual(await viewer.closed, { code: 1008, reason: 'too many frames that make no sense' });
  other.say({ op: 'ping' });
  await other.until(({ type }) => type === 'pong', 'a pong');
  assert.deepEqual(other.frames.map(({ type }) => type), ['snapshot', 'pong'], 'nobody else heard any of it');
  assert.ok((await world.instances[0].metric('madang_match_feed_refused_total')) >= refused.length + 2);
});

test('[I9][I10] frames that are too long, binary, too many, or not WebSocket end the socket with a code', async () => {
  const end = async (say) => {
    const viewer = await world.viewer();
    await say(viewer);
    return (await viewer.closed).code;
  };
  assert.equal(await end((viewer) => viewer.say(`{"op":"ping"}${' '.repeat(600)}`)), 1009);
  assert.equal(await end((viewer) => viewer.say(Buffer.from('{"op":"ping"}'))), 1003);
  assert.equal(await end((viewer) => viewer.socket._socket.write(Buffer.from([0x81, 0x02, 0x7b, 0x7d]))), 1002, 'a frame without a mask');
  assert.equal(await end((viewer) => viewer.socket._socket.write(Buffer.from([0x81, 0x81, 0, 0, 0, 0, 0xff]))), 1007, 'no UTF-8');
  assert.equal(await end((viewer) => {
    for (let i = 0; i < 200; i++) viewer.say({ op: 'ping' });
  }), 1008);
  const refused = await new Promise((resolve) => new WebSocket(`${world.instances[0].wsUrl}/2`).on('error', () => {}).on('unexpected-response', (req, res) => resolve(res.statusCode)));
  assert.equal(refused, 404, 'no path of a socket says whose it is');
});

test('[I9] a socket has at most 48 subscriptions, an instance as many sockets as it is set', async () => {
  const viewer = await world.viewer();
  for (const { id } of round.companies) for (const channel of ['book', 'trades', 'ticker']) await viewer.subscribe(channel, id);
  const more = new Market();
  await more.open();
  await showsBook(world.instances[0], more.company, () => true);
  viewer.say({ op: 'subscribe', channel: 'book', company: more.company });
  await viewer.until(({ type, code }) => type === 'error' && code === 'rate_limited', 'the 49th is refused');
  viewer.say({ op: 'unsubscribe', channel: 'book', company: round.company });
  await viewer.until(({ type }) => type === 'unsubscribed', 'one less');
  await viewer.subscribe('book', more.company);
  viewer.socket.terminate();

  const open = [];
  const refusal = await (async () => {
    for (let i = 0; i < 100; i++) {
      const socket = new WebSocket(world.instances[0].wsUrl, [], { perMessageDeflate: false });
      open.push(socket);
      const how = await new Promise((resolve) => {
        socket.on('open', () => resolve('open'));
        socket.on('error', () => {});
        socket.on('unexpected-response', (req, res) => resolve(res.statusCode));
      });
      if (how !== 'open') return how;
    }
    return 'all of them';
  })();
  assert.equal(refusal, 503);
  for (const socket of open) socket.terminate();
  await eventually(10000, async () => (await world.instances[0].metric('madang_match_feed_viewers')) < 10, 'they are gone');
  await (await world.viewer()).subscribe('ticker', round.company);
});

// States as an owner would publish them, large and wholly different from turn to turn: of companies that no market has.
const giants = Array.from({ length: 16 }, () => uuid());
const giantMarket = uuid();
let turn = 0;
function publishGiants(levels = 64, quantity = 9e14 + turn, { phase = 'open', at = new Date().toISOString() } = {}) {
  const side = (from, step) => Array.from({ length: levels }, (_, i) => [from + step * i, quantity]);
  const state = (company, index) => ({
    v: 1, id: uuid(), at, kind: 'depth', market: giantMarket, company, index, seq: ++turn, phase, price: 1e14, initial_price: 1e14, volume: 0, high: 0, low: 0, halted: false,
    bids: side(5e14, -1), asks: side(5e14 + 1, 1), trades: [],
  });
  world.publish('market.depth', giants.map((company, index) => [company, state(company, index)]));
}

test('[S-42][I9] who reads slowly gets the newest state, who stays behind is cut with a code, and nobody else notices', async () => {
  const instance = world.instances[0];
  publishGiants();
  for (const company of giants) await showsBook(instance, company, () => true);
  const [fast, slow, stuck] = [await world.viewer(), await world.viewer(), await world.viewer()];
  for (const viewer of [fast, slow, stuck]) for (const company of giants) await viewer.subscribe('book', company);
  for (const viewer of [slow, stuck]) viewer.socket._socket.pause();
  const [CONFLATED, CUT] = ['madang_match_feed_conflated_total', 'madang_match_feed_cut_total'];
  const [conflated, cut] = [await instance.metric(CONFLATED), await instance.metric(CUT)];
  const before_ = slow.frames.length;
  for (let i = 0; (await instance.metric(CONFLATED)) < conflated + 2 * giants.length; i++) {
    assert.ok(i < 500, 'the paused viewers fall behind');
    publishGiants();
  }
  slow.socket._socket.resume();
  publishGiants(1, 4321);
  const last = (viewer) => giants.every((company) => JSON.stringify(viewer.state('book', company)?.bids) === '[[500000000000000,4321]]');
  for (const viewer of [fast, slow]) await eventually(15000, () => last(viewer), 'the newest state');
  assert.deepEqual([fast.faults, slow.faults], [[], []]);
  assert.ok(slow.frames.slice(before_).some(({ type }) => type === 'snapshot'), 'what was left out came as a snapshot');
  const deltas = (viewer) => viewer.frames.filter(({ type }) => type === 'delta').length;
  assert.ok(deltas(slow) < deltas(fast), 'it was sent less'); // the snapshots that stand for what was left out are not counted
  await eventually(15000, async () => (await instance.metric(CUT)) === cut + 1, 'who does not read is cut');
  stuck.socket._socket.resume();
  assert.equal((await stuck.closed).code, 1013);
  assert.deepEqual([fast.end, slow.end], [undefined, undefined]);
  publishGiants(0, 1, { phase: 'closed', at: '2026-01-01T00:00:00.000Z' }); // their time is over: they leave the topic
});

test('[I8] a stopping instance sends its viewers away with 1001', async () => {
  const viewers = await Promise.all(Array.from({ length: 5 }, () => world.viewer()));
  await viewers[0].subscribe('book', round.company);
  await round.send({ kind: 'close' });
  assert.equal(await world.instances[0].stop(), 0);
  for (const viewer of viewers) assert.equal((await viewer.closed).code, 1001);
});
