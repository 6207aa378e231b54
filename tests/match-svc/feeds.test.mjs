// feeds.test.mjs - book, trades and ticker as everybody may look at them: REST and /ws/market, on instances that own the market and on those that don't.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Feeds, Market, TICK, get, showsBook, uuid } from './feed_kit.mjs';
import { latest } from '../support/topics.mjs';
import { eventually } from '../support/wait.mjs';

const world = new Feeds();
before(() => world.start({ MATCH_DEPTH_KEEP_SECONDS: '8' }));
after(async () => {
  await Promise.all(markets.map((one) => one.send({ kind: 'close' }))); // nothing goes on in the log
  await world.stop();
});

const markets = [];
/** A market that both instances know. */
async function market(options) {
  const one = new Market(options);
  markets.push(one);
  await one.open();
  for (const instance of world.instances) for (const { id } of one.companies) await showsBook(instance, id, () => true, 'the company is known');
  return one;
}

test('[S-42] the book is the same on every instance, best first, as deep as it is asked for', async () => {
  const round = await market();
  const prices = Array.from({ length: 70 }, (_, i) => i + 1);
  await round.send(...prices.map((i) => round.order('buy', 500_000 - (i % 40) * TICK, i)), ...prices.map((i) => round.order('sell', 510_000 + i * TICK, i)), round.order('buy', 500_000, 5));
  const expected = (side) => side.asks.length === 64 && side.bids[0]?.[0] === 500_000 && side.bids[0][1] === 45;
  const books = await Promise.all(world.instances.map((instance) => showsBook(instance, round.company, expected)));
  assert.deepEqual(books[0], books[1]);
  assert.equal(books[0].bids.length, 40);
  assert.deepEqual(books[0].asks[0], [520_000, 1]);
  const { json: eleven, headers } = await get(world.instances[1], `/api/market/${round.company}/book`);
  assert.deepEqual(eleven, { seq: books[0].seq, bids: books[0].bids.slice(0, 11), asks: books[0].asks.slice(0, 11) });
  assert.match(headers.etag, /^"[0-9a-f]{32}"$/);
  assert.equal((await get(world.instances[0], `/api/market/${round.company}/book`, { 'If-None-Match': headers.etag })).status, 304);
  assert.equal((await get(world.instances[0], `/api/market/${round.company}/book?depth=1`)).json.bids.length, 1);
});

test('[S-43] the ticker has the figures of the round so far, change in percent with two decimals', async () => {
  const round = await market();
  const ticker = async (instance) => (await get(instance, `/api/market/${round.company}/ticker`)).json;
  assert.deepEqual({ ...(await ticker(world.instances[0])), seq: 0 }, { seq: 0, price: 500_000, initial_price: 500_000, change_pct: 0, volume: 0, high: 0, low: 0, halted: false, phase: 'open' });
  await round.send(round.order('sell', 510_000, 3), round.order('sell', 530_000, 5), round.take('buy', 4), { kind: 'halt', company: 0, on: true });
  for (const instance of world.instances) {
    const now = await eventually(10000, async () => ((await ticker(instance)).halted ? ticker(instance) : undefined), 'the halt is shown');
    assert.deepEqual({ ...now, seq: 0 }, { seq: 0, price: 530_000, initial_price: 500_000, change_pct: 6, volume: 4, high: 530_000, low: 510_000, halted: true, phase: 'open' });
  }
  await round.send({ kind: 'close' });
  await eventually(10000, async () => (await ticker(world.instances[1])).phase === 'closed', 'the close is shown');
});

test('[S-42][I10] wrong requests get clear answers', async () => {
  const round = await market();
  for (const [path, status, code] of [
    [`/api/market/${uuid()}/book`, 404, 'not_found'], [`/api/market/${uuid()}/ticker`, 404, 'not_found'], ['/api/market/2/book', 404, 'not_found'],
    [`/api/market/${round.company}/book?depth=0`, 400, 'bad_input'], [`/api/market/${round.company}/book?depth=65`, 400, 'bad_input'], [`/api/market/${round.company}/book?depth=x`, 400, 'bad_input'],
    [`/api/market/${round.company}/book?depth=99999999999999999999`, 400, 'bad_input'], [`/api/market/${round.company}`, 404, 'not_found'],
  ]) {
    const reply = await get(world.instances[0], path);
    assert.equal(reply.status, status, path);
    assert.equal(reply.json.code, code, path);
  }
});

test('[S-42][S-43] viewers on both instances, early and late, follow one market without gap or double', async () => {
  const round = await market();
  const ticker = async (instance) => (await get(instance, `/api/market/${round.company}/ticker`)).json;
  const early = await Promise.all(world.instances.map((instance) => world.viewer(instance)));
  for (const viewer of early) for (const channel of ['book', 'trades', 'ticker']) await viewer.subscribe(channel, round.company);
  const late = [];
  for (let i = 0; i < 60; i++) {
    const price = 480_000 + (i % 7) * TICK;
    await round.send(round.order('buy', price, 1 + (i % 5)), round.order('sell', price + 20 * TICK, 2), ...(i % 3 ? [] : [round.take('sell', 2), round.take('buy', 1)]));
    if (i % 20 === 10) {
      await eventually(10000, async () => (await ticker(world.instances[i % 2])).volume > 0, 'it has trades');
      const viewer = await world.viewer(world.instances[i % 2]);
      for (const channel of ['trades', 'book']) await viewer.subscribe(channel, round.company);
      late.push(viewer);
    }
  }
  await round.send(round.order('buy', 10_000, 7777));
  const end = await showsBook(world.instances[0], round.company, ({ bids }) => bids.at(-1)?.[1] === 7777);
  for (const viewer of [...early, ...late]) {
    await eventually(10000, () => viewer.state('book', round.company).bids.at(-1)?.[1] === 7777 && viewer.state('trades', round.company).seq >= 40, 'the viewer has the last state');
    const { seq, ...book } = viewer.state('book', round.company);
    assert.deepEqual(book, { bids: end.bids, asks: end.asks });
    assert.equal(seq, end.seq);
    assert.deepEqual(viewer.faults, []);
  }
  const trades = () => early.map((viewer) => viewer.state('trades', round.company).trades);
  await eventually(10000, () => trades()[0].length === trades()[1].length, 'both have all trades');
  const [a, b] = trades();
  assert.deepEqual(a, b);
  assert.equal(a[0].seq, 1);
  const numbers = late.map((viewer) => viewer.frames.find((frame) => frame.channel === 'trades'));
  for (const snapshot of numbers) assert.ok(snapshot.type === 'snapshot' && snapshot.trades.length <= 20 && snapshot.trades.length > 0);
  for (const viewer of early) await eventually(10000, async () => viewer.state('ticker', round.company).volume === (await ticker(world.instances[1])).volume, 'the ticker has the last volume');
});

test('[S-43] no trade is left out, and both instances give the same numbers', async () => {
  const round = await market();
  const viewers = await Promise.all(world.instances.map((instance) => world.viewer(instance)));
  for (const viewer of viewers) assert.deepEqual((await viewer.subscribe('trades', round.company)).trades, []);
  await round.send(round.order('sell', 510_000, 30));
  for (const seq of [15, 30]) { // a feed that is behind closes a hole from the last 20 of the depth: of more it would tell those alone
    await round.send(...Array.from({ length: 15 }, () => round.take('buy', 1)));
    for (const viewer of viewers) await eventually(10000, () => viewer.state('trades', round.company).seq === seq, `${seq} trades are here`);
  }
  for (const viewer of viewers) {
    const { trades } = viewer.state('trades', round.company);
    assert.equal(trades.length, 30, 'none was left out, though a snapshot has only 20');
    for (const trade of trades) {
      assert.deepEqual(Object.keys(trade).sort(), ['at', 'price', 'quantity', 'seq', 'taker_side']);
      assert.deepEqual([trade.price, trade.quantity, trade.taker_side], [510_000, 1, 'buy']);
      assert.match(trade.at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    }
    assert.deepEqual(viewer.faults, []);
  }
});

test('[S-42] viewers are told at most ten times a second, all channels in one write, all viewers the same frames, and the last state always', async () => {
  const round = await market();
  const viewers = await Promise.all([0, 0, 1].map((i) => world.viewer(world.instances[i])));
  for (const viewer of viewers) for (const channel of ['book', 'trades', 'ticker']) await viewer.subscribe(channel, round.company);
  const writes = () => world.instances[0].metric('madang_match_ws_writes_total');
  const [started, written] = [performance.now(), await writes()];
  for (let i = 0; i < 40; i++)
    await round.send(...Array.from({ length: 5 }, (_, j) => round.order('buy', 400_000 + ((i + j) % 9) * TICK, 2)), ...Array.from({ length: 3 }, () => round.take('sell', 1)));
  await round.send(round.order('buy', 10_000, 4242));
  for (const viewer of viewers) await eventually(10000, () => viewer.state('book', round.company).bids.at(-1)?.[1] === 4242 && viewer.state('trades', round.company).seq === 120, 'the last state is told');
  const seconds = (performance.now() - started) / 1000, turns = 10 * seconds + 2;
  const pings = world.viewers.length * (1 + seconds / 30); // of quiet sockets
  assert.ok((await writes()) - written <= 2 * turns + pings, 'what a turn tells of three channels is one write to each viewer');
  for (const viewer of viewers) {
    for (const channel of ['book', 'trades', 'ticker']) {
      const deltas = viewer.frames.filter((frame) => frame.type === 'delta' && frame.channel === channel);
      assert.ok(deltas.length > 0 && deltas.length <= turns, `${deltas.length} deltas of ${channel} in ${turns} turns`);
      assert.ok(deltas.length < 120, 'changes were told together');
    }
    assert.deepEqual(viewer.faults, []);
  }
  assert.deepEqual(viewers[0].frames.map(({ heard, ...frame }) => frame), viewers[1].frames.map(({ heard, ...frame }) => frame));
});

test('[S-46] many sockets look at many companies; none takes over what is another\'s, and what is closed is cleaned up', async () => {
  const round = await market({ companies: 3 });
  const instance = world.instances[0];
  const SUBSCRIPTIONS = 'madang_match_feed_subscriptions{channel="book"}';
  const [sockets, subscriptions] = [await instance.metric('madang_match_feed_viewers'), await instance.metric(SUBSCRIPTIONS)];
  const viewers = await Promise.all(Array.from({ length: 9 }, () => world.viewer(instance)));
  for (const [i, viewer] of viewers.entries()) await viewer.subscribe('book', round.companies[i % 3].id);
  await viewers[0].subscribe('book', round.companies[1].id);
  assert.equal(await instance.metric('madang_match_feed_viewers'), sockets + 9);
  assert.equal(await instance.metric(SUBSCRIPTIONS), subscriptions + 10);
  await round.send(...[0, 1, 2].map((company) => round.order('buy', 400_000, 11 + company, { company })));
  for (const [i, viewer] of viewers.entries()) {
    await eventually(10000, () => viewer.state('book', round.companies[i % 3].id).bids[0]?.[1] === 11 + (i % 3), 'its company');
    assert.equal(viewer.states.size, i === 0 ? 2 : 1, 'and no other');
    assert.deepEqual(viewer.faults, []);
  }
  viewers[0].say({ op: 'unsubscribe', channel: 'book', company: round.companies[0].id });
  await viewers[0].until((frame) => frame.type === 'unsubscribed', 'unsubscribed');
  const heard = viewers[0].frames.length;
  await round.send(round.order('buy', 400_000, 1, { company: 0 }), round.order('buy', 400_000, 1, { company: 1 }));
  await eventually(10000, () => viewers[0].state('book', round.companies[1].id).bids[0][1] === 13, 'the company that is left');
  await eventually(10000, () => viewers[3].state('book', round.companies[0].id).bids[0][1] === 12, 'the other company, elsewhere');
  assert.ok(viewers[0].frames.slice(heard).every((frame) => frame.company === round.companies[1].id));
  for (const viewer of viewers) viewer.socket.terminate();
  await eventually(10000, async () => (await instance.metric('madang_match_feed_viewers')) === sockets, 'closed sockets are forgotten');
  await eventually(10000, async () => (await instance.metric(SUBSCRIPTIONS)) === subscriptions, 'so are their subscriptions');
});

test('[S-54][S-42][S-43] the owner is killed: its viewers come to the other instance, which goes on telling without gap or double', async () => {
  const [doomed, other] = world.instances;
  const OPEN = 'madang_match_markets{state="open"}';
  const owned = await doomed.metric(OPEN);
  const rounds = [];
  while ((await doomed.metric(OPEN)) === owned) rounds.push(await market()); // one at least is the doomed one's
  const viewers = [];
  for (const { company } of rounds) {
    const viewer = await world.viewer(other);
    for (const channel of ['book', 'trades']) await viewer.subscribe(channel, company);
    viewers.push(viewer);
  }
  const trade = (round) => [round.order('sell', 510_000, 1), round.take('buy', 1)];
  for (const round of rounds) await round.send(...Array.from({ length: 7 }, () => trade(round)).flat());
  await doomed.kill();
  for (const round of rounds) await round.send(...trade(round), round.order('buy', 300_000, 5));
  for (const [i, { company }] of rounds.entries()) {
    await eventually(40000, () => viewers[i].state('trades', company).seq === 8 && viewers[i].state('book', company).bids[0]?.[0] === 300_000, 'the other instance owns it now');
    assert.deepEqual(viewers[i].faults, []);
  }
  await doomed.start();
  for (const { company } of rounds) {
    const late = await world.viewer(doomed);
    const { trades } = await late.subscribe('trades', company);
    assert.deepEqual(trades.map(({ seq }) => seq), [1, 2, 3, 4, 5, 6, 7, 8], 'trades from before the takeover too');
  }
});

test('[S-42][S-46] companies of a closed market leave, and with them what was kept for them', async () => {
  const [ending, staying] = [await market({ companies: 2 }), await market()];
  const viewers = await Promise.all(world.instances.map((instance) => world.viewer(instance)));
  for (const viewer of viewers) {
    for (const channel of ['book', 'trades', 'ticker']) await viewer.subscribe(channel, ending.company);
    await viewer.subscribe('ticker', staying.company);
  }
  await ending.send(ending.order('buy', 400_000, 3), { kind: 'close' });
  for (const viewer of viewers) {
    await eventually(15000, () => viewer.frames.filter(({ type }) => type === 'gone').length === 3, 'each subscription is told');
    assert.equal(viewer.state('ticker', ending.company).phase, 'closed');
    assert.deepEqual(viewer.state('book', ending.company).bids, [], 'the close emptied the book');
    viewer.say({ op: 'subscribe', channel: 'book', company: ending.company });
    await viewer.until(({ type, code }) => type === 'error' && code === 'not_found', 'nobody knows it any more');
    assert.deepEqual(viewer.faults, []);
  }
  for (const instance of world.instances) {
    await eventually(10000, async () => (await get(instance, `/api/market/${ending.companies[1].id}/ticker`)).status === 404, 'so does REST');
    assert.equal((await get(instance, `/api/market/${staying.company}/ticker`)).status, 200, 'an open market stays');
  }
  const last = await eventually(10000, async () => {
    const states = await latest('market.depth');
    return ending.companies.every(({ id }) => states.get(id) === null) && states;
  }, 'a tombstone of each');
  assert.equal(last.get(staying.company).phase, 'open');
});
