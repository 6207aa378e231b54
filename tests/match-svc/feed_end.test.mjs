// feed_end.test.mjs - a closed market's companies can be looked at for a while, then they are gone: from REST, from sockets, from market.depth.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Feeds, Market, get, showsBook } from './feed_kit.mjs';
import { readTopic } from '../support/topics.mjs';
import { eventually } from '../support/wait.mjs';

const world = new Feeds();
before(() => world.start({ MATCH_DEPTH_KEEP_SECONDS: '1' }));
after(() => world.stop());

test('[S-42][S-46] companies of a closed market leave, and with them what was kept for them', async () => {
  const [ending, staying] = [new Market({ companies: 2 }), new Market()];
  for (const round of [ending, staying]) {
    await round.open();
    for (const instance of world.instances) for (const { id } of round.companies) await showsBook(instance, id, () => true);
  }
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
  const last = new Map((await readTopic('market.depth')).map(({ key, value }) => [key, value]));
  for (const { id } of ending.companies) assert.equal(last.get(id), null, 'a tombstone');
  assert.equal(last.get(staying.company).phase, 'open');
  await staying.send({ kind: 'close' });
});
