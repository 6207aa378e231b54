// What is refused before it reaches a market: bad input of every kind, and who may not ask.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { raw, request } from '../support/http.mjs';
import { code, oldUuid, uuid, World } from './world.mjs';

const world = new World();
let round, ann;
before(async () => {
  await world.start();
  round = await world.round();
  ann = world.person();
});
after(() => world.stop());

/** No order of these bodies may exist anywhere. */
const nothingCame = async () => {
  assert.deepEqual((await ann.other.get('/api/orders?status=open,partial,filled,cancelled,rejected')).json.items, []);
  assert.equal((await ann.other.get('/api/portfolio')).json.available_cash, 10_000_000);
};

const good = () => round.order('buy', 20, 1);
const without = (name) => (({ [name]: gone, ...rest }) => rest)(good());

describe('[S-20][S-26] the body of an order', () => {
  const CASES = [
    // S-20: a limit below the least became a market order, a negative one made money
    ['a price below 10,000', { price: 9_999 }, '/price'],
    ['a price of 1', { price: 1 }, '/price'],
    ['a price of 0', { price: 0 }, '/price'],
    ['a negative price', { price: -10_000 }, '/price'],
    ['the least int64', { price: '-9223372036854775808' }, '/price'],
    ['a price above 10,000,000', { price: 10_000_001 }, '/price'],
    ['the largest int64 as a price', { price: 'RAW9223372036854775807' }, '/price'],
    ['a price beyond int64', { price: 'RAW9223372036854775808' }, '/price'],
    ['a price in fractions', { price: 200000.5 }, '/price'],
    ['a price with an exponent', { price: 'RAW2e5' }, '/price'],
    ['a price as text', { price: '200000' }, '/price'],
    ['a limit without a price', { price: null }, '/price'],
    ['a market order with a price', { type: 'market' }, '/price'],
    // S-26: a bad quantity was dropped silently, an unknown side broke the book
    ['no shares', { quantity: 0 }, '/quantity'],
    ['a negative quantity', { quantity: -1 }, '/quantity'],
    ['a fraction of a share', { quantity: 1.5 }, '/quantity'],
    ['a whole number as a fraction', { quantity: 'RAW1.0' }, '/quantity'],
    ['2^31 shares', { quantity: 2_147_483_648 }, '/quantity'],
    ['2^63 shares', { quantity: 'RAW9223372036854775808' }, '/quantity'],
    ['a quantity as text', { quantity: '1' }, '/quantity'],
    ['no quantity', { quantity: null }, '/quantity'],
    ['an unknown side', { side: 'hold' }, '/side'],
    ['a side in capitals', { side: 'BUY' }, '/side'],
    ['no side', { side: null }, '/side'],
    ['an unknown type', { type: 'stop' }, '/type'],
    ['no type', { type: null }, '/type'],
    ['an unknown time in force', { time_in_force: 'day' }, '/time_in_force'],
    ['a market order that rests', { type: 'market', price: null, time_in_force: 'gtc' }, '/time_in_force'],
    ['post_only as text', { post_only: 'yes' }, '/post_only'],
    ['no company', { company_id: null }, '/company_id'],
    ['a company that is no id', { company_id: '1' }, '/company_id'],
    ['a member nobody knows', { bot: true }, '/bot'],
    ['an empty client_order_id', { client_order_id: '' }, '/client_order_id'],
    ['a client_order_id of 65 letters', { client_order_id: 'x'.repeat(65) }, '/client_order_id'],
    ['a client_order_id of 22 letters and 66 bytes', { client_order_id: '가'.repeat(22) }, '/client_order_id'],
    ['a client_order_id with a line break', { client_order_id: 'a\nb' }, '/client_order_id'],
    ['a client_order_id that is a number', { client_order_id: 7 }, '/client_order_id'],
  ];
  for (const [what, more, pointer] of CASES) {
    test(`${what}: 400`, async () => {
      const body = JSON.stringify({ ...good(), ...more }).replace(/"RAW([^"]+)"/g, '$1');
      const reply = await ann.api.post('/api/orders', body, { headers: { 'Content-Type': 'application/json' } });
      assert.deepEqual([reply.status, reply.problem], [400, 'bad_input'], reply.text);
      assert.ok(reply.json.errors.some((error) => error.pointer === pointer), reply.text);
    });
  }
  for (const name of ['company_id', 'side', 'type', 'quantity', 'price']) {
    test(`without ${name}: 400`, async () => assert.deepEqual(await code(ann.api.post('/api/orders', without(name))), [400, 'bad_input']));
  }
  const BODIES = { nothing: '', 'a number beyond all': '{"quantity":1e400}', 'a list': '[]', 'null': 'null', 'half an object': '{"side":', 'two objects': '{}{}', 'bad UTF-8': Buffer.from('{"side":"\xff"}', 'latin1'), 'a member twice': '{"side":"buy","side":"sell"}', 'depth 100': '['.repeat(100) + ']'.repeat(100) };
  for (const [what, body] of Object.entries(BODIES)) {
    test(`${what} as a body: 400`, async () => assert.deepEqual(await code(ann.api.post('/api/orders', body, { headers: { 'Content-Type': 'application/json' } })), [400, 'bad_input']));
  }
  test('100 KB: 413; another type: 415', async () => {
    assert.equal((await ann.api.post('/api/orders', { ...good(), client_order_id: 'x'.repeat(100_000) })).status, 413);
    assert.equal((await ann.api.post('/api/orders', 'side=buy', { headers: { 'Content-Type': 'application/x-www-form-urlencoded' } })).status, 415);
  });
  test('nothing of all this reached the market', nothingCame);
});

describe('[S-26] companies', () => {
  test('one that never was: 404 at once; one that may be on its way: waited for, then 404', async () => {
    assert.deepEqual(await code(ann.api.post('/api/orders', { ...good(), company_id: oldUuid() })), [404, 'unknown_company']);
    assert.deepEqual(await code(ann.api.post('/api/orders', { ...good(), company_id: uuid() })), [404, 'unknown_company']);
    assert.deepEqual(await code(ann.api.post('/api/orders', { ...good(), company_id: uuid(Date.now() + 3600_000) })), [404, 'unknown_company']);
    await nothingCame();
  });
  test('an id in capitals is the same company', async () => {
    const reply = await ann.api.post('/api/orders', { ...good(), company_id: round.company.toUpperCase() });
    assert.deepEqual([reply.status, reply.json.company_id], [201, round.company]);
    await ann.api.delete(`/api/orders/${reply.json.id}`);
  });
});

describe('[S-30] amends', () => {
  test('bounds: 400, and the order stays', async () => {
    const order = await round.place(ann, 'buy', 10, 5);
    for (const body of [{}, { price: null }, { price: 0 }, { price: 9_999 }, { price: 10_000_001 }, { price: -1 }, { price: 1.5 }, { price: '20000' }, { quantity: 0 }, { quantity: -1 }, { quantity: 1.5 }, { quantity: 2 ** 31 }, { side: 'sell' }, { company_id: round.company }, { quantity: 1, bot: true }]) {
      assert.deepEqual(await code(ann.api.patch(`/api/orders/${order.id}`, body)), [400, 'bad_input'], JSON.stringify(body));
    }
    assert.deepEqual((await ann.other.get(`/api/orders/${order.id}`)).json, order);
  });
  test('[S-31] what is no id, or nobody’s: 404', async () => {
    for (const id of ['1', 'x', oldUuid(), uuid(), '00000000-0000-0000-0000-000000000000', `${uuid()}0`, '%27%3B--']) {
      assert.deepEqual(await code(ann.api.patch(`/api/orders/${id}`, { quantity: 1 })), [404, 'not_found'], id);
      assert.deepEqual(await code(ann.api.delete(`/api/orders/${id}`)), [404, 'not_found'], id);
      assert.deepEqual(await code(ann.api.get(`/api/orders/${id}`)), [404, 'not_found'], id);
    }
  });
});

describe('queries', () => {
  const PATHS = [
    '/api/orders?side=both', '/api/orders?status=done', '/api/orders?status=', '/api/orders?status=open,,', '/api/orders?status=open,open,open,open,open,open,open', '/api/orders?order=best', '/api/orders?company=7', '/api/orders?limit=0', '/api/orders?limit=101',
    '/api/orders?limit=x', '/api/orders?cursor=x', `/api/orders?q=${'x'.repeat(51)}`, '/api/orders?q=%00', '/api/orders?q=%ff', '/api/orders?q=a%0Ab', '/api/fills?side=none', '/api/fills?company=x', '/api/fills?cursor=AAAA',
    '/api/trades', '/api/trades?company=x', '/api/candles', '/api/candles?company=x',
  ];
  for (const path of PATHS) test(`${path.slice(0, 60)}: 400`, async () => assert.deepEqual(await code(ann.api.get(path)), [400, 'bad_input']));
  test('[S-43] candles: an interval or times nobody knows, and more than 2,000 of them', async () => {
    for (const query of ['interval=2s', 'interval=', 'from=yesterday', 'from=2026-02-30T00:00:00Z', 'from=2026-01-01T00:00:00', 'from=2026-01-01T24:00:00Z', 'to=1767225600', 'from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z']) {
      assert.deepEqual(await code(ann.api.get(`/api/candles?company=${round.company}&${query}`)), [400, 'bad_input'], query);
    }
    await world.sql("UPDATE markets SET opened_at = now() - interval '2 hours', started_at = now() - interval '2 hours' WHERE id = $1", [round.id]);
    const fresh = await world.another();
    const ask = (query) => request('GET', `${fresh.url}/api/candles?company=${round.company}&${query}`);
    const many = await ask(`from=${new Date(Date.now() - 3600_000).toISOString()}`);
    assert.deepEqual([many.status, many.problem], [400, 'bad_input'], many.text);
    assert.match(many.json.errors[0].detail, /2000/);
    assert.equal((await ask('')).json.items.length, 2000, 'without times the newest');
    assert.equal((await ask(`interval=5s&from=${new Date(Date.now() - 3600_000).toISOString()}`)).status, 200);
  });
});

describe('who may ask', () => {
  test('nobody without a token, no guest, nobody whose token is none', async () => {
    const guest = world.person({ role: 'guest' });
    for (const [method, path] of [['POST', '/api/orders'], ['GET', '/api/orders'], ['DELETE', '/api/orders'], ['GET', `/api/orders/${uuid()}`], ['PATCH', `/api/orders/${uuid()}`], ['DELETE', `/api/orders/${uuid()}`], ['GET', '/api/fills'], ['GET', '/api/portfolio']]) {
      assert.deepEqual(await code(ann.api.call(method, path, { token: undefined })), [401, 'token_missing'], `${method} ${path}`);
      assert.deepEqual(await code(ann.api.call(method, path, { token: 'x.y.z' })), [401, 'token_invalid'], `${method} ${path}`);
      assert.deepEqual(await code(guest.api.call(method, path)), [403, 'forbidden'], `${method} ${path}`);
    }
  });
  test('methods and paths that are none: 405 with Allow, 404', async () => {
    const put = await ann.api.put('/api/orders', {});
    assert.deepEqual([put.status, put.headers.allow.split(', ').sort()], [405, ['DELETE', 'GET', 'HEAD', 'POST']]);
    assert.equal((await ann.api.get('/api/orders/1/2')).status, 404);
  });
  test('a request cut off in its body takes nothing', async () => {
    const body = JSON.stringify(good());
    await raw(world.url, `POST /api/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${ann.token}\r\nContent-Type: application/json\r\nContent-Length: ${body.length + 10}\r\n\r\n${body}`, { timeout: 300 });
    assert.deepEqual((await ann.other.get('/api/orders?status=open')).json.items.map(({ price }) => price), [100_000]);
  });
});
