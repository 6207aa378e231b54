// feed_limits.test.mjs - what an open socket can not do: speak into a feed, hold memory, be slow for ever; and how sockets end.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { Feeds, Market, TICK, get, showsBook, uuid } from './feed_kit.mjs';
import { eventually } from '../support/wait.mjs';

const world = new Feeds();
let round;
before(async () => {
  await world.start({ MATCH_SLOW_SECONDS: '1', WS_OUTPUT_MAX: '131072', WS_CONNECTIONS_MAX: '60', MATCH_DEPTH_MS: '10' }, 1);
  round = new Market({ companies: 16 });
  await round.open();
  for (const { id } of round.companies) await showsBook(world.instances[0], id, () => true);
});
after(() => world.stop());

test('[S-45][S-46][I-10] feeds can not be spoken into: each frame that is no subscription is refused, and changes nothing', async () => {
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

test('[I-9][I-10] frames that are too long, binary, too many, or not WebSocket end the socket with a code', async () => {
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

test('[I-9] a socket has at most 48 subscriptions, an instance as many sockets as it is set', async () => {
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

/** Both sides of all companies change wholly with each turn. */
async function stir(turns) {
  for (let i = 0; i < turns; i++) {
    await round.send({ kind: 'cancel_all', account: round.maker }, ...round.companies.flatMap((_, company) => Array.from({ length: 30 }, (__, level) => round.order('buy', 100_000 + level * TICK, 1 + i, { company }))));
  }
}

test('[S-42][I-9] who reads slowly gets the newest state, who stays behind is cut with a code, and nobody else notices', async () => {
  const instance = world.instances[0];
  const [fast, slow, stuck] = [await world.viewer(), await world.viewer(), await world.viewer()];
  for (const viewer of [fast, slow, stuck]) for (const { id } of round.companies) await viewer.subscribe('book', id);
  slow.socket._socket.pause();
  const CONFLATED = 'madang_match_feed_conflated_total';
  const conflated = await instance.metric(CONFLATED);
  for (let i = 0; (await instance.metric(CONFLATED)) === conflated; i++) {
    assert.ok(i < 200, 'the slow viewer falls behind');
    await stir(5);
  }
  slow.socket._socket.resume();
  await stir(1);
  await round.send({ kind: 'cancel_all', account: round.maker }, ...round.companies.map((_, company) => round.order('buy', 50_000, 4321, { company })));
  const last = (viewer) => round.companies.every(({ id }) => JSON.stringify(viewer.state('book', id).bids) === '[[50000,4321]]');
  for (const viewer of [fast, slow]) await eventually(15000, () => last(viewer), 'the newest state');
  assert.deepEqual([fast.faults, slow.faults], [[], []]);
  const anew = slow.frames.filter(({ type }) => type === 'snapshot').length;
  assert.ok(anew > round.companies.length, `what was left out came as a snapshot (${anew})`);
  assert.ok(slow.frames.length < fast.frames.length, 'it was sent less');

  const CUT = 'madang_match_feed_cut_total';
  const cut = await instance.metric(CUT);
  stuck.socket._socket.pause();
  for (let i = 0; (await instance.metric(CUT)) === cut; i++) {
    assert.ok(i < 400, 'who does not read is cut');
    await stir(2);
  }
  stuck.socket._socket.resume();
  assert.equal((await stuck.closed).code, 1013);
  assert.equal(fast.end, undefined);
  assert.deepEqual(fast.faults, []);
  assert.equal((await get(instance, `/api/market/${round.company}/book`)).status, 200);
});

test('[I-8] a stopping instance sends its viewers away with 1001', async () => {
  const viewers = await Promise.all(Array.from({ length: 5 }, () => world.viewer()));
  await viewers[0].subscribe('book', round.company);
  assert.equal(await world.instances[0].stop(), 0);
  for (const viewer of viewers) assert.equal((await viewer.closed).code, 1001);
});
