// Pictures: what is taken, how it is served, and what goes.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { raw, request } from '../support/http.mjs';
import { png } from '../support/png.mjs';
import { eventually } from '../support/wait.mjs';
import { World, oldUuid } from './world.mjs';

const world = new World();
before(() => world.start());
after(() => world.stop());

const put = (person, bytes, type = 'image/png') => person.api.call('PUT', '/api/users/me/avatar', { body: bytes, headers: { 'Content-Type': type } });
const get = (url, headers) => request('GET', world.url + url, { headers });
const stored = () => fs.existsSync(path.join(world.folder, 'user')) ? fs.readdirSync(path.join(world.folder, 'user')) : [];

// The smallest files that name a size: the service looks at content, not at endings.
const jpeg = (width, height) => Buffer.concat([
  Buffer.from('ffd8ffe000104a46494600010100000100010000ffc0000b08', 'hex'), Buffer.from([height >> 8, height & 255, width >> 8, width & 255]),
  Buffer.from('01011100ffda0008010100003f00', 'hex'), Buffer.alloc(40, 0x55), Buffer.from('ffd9', 'hex'),
]);
const webp = (width, height) => {
  const bytes = Buffer.concat([Buffer.from('RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0', 'latin1'), Buffer.alloc(10), Buffer.from('VP8L\x06\0\0\0\x2f\0\0\0\0\0', 'latin1')]);
  bytes.writeUInt32LE(bytes.length - 8, 4);
  bytes.writeUIntLE(width - 1, 24, 3);
  bytes.writeUIntLE(height - 1, 27, 3);
  return bytes;
};
/** A png of exactly so many bytes. */
const pngOf = (length) => {
  const small = png(8, 8), end = small.length - 12;
  const pad = Buffer.alloc(length - small.length);
  pad.writeUInt32BE(pad.length - 12, 0);
  pad.write('IDAT', 4, 'latin1');
  return Buffer.concat([small.subarray(0, end), pad, small.subarray(end)]);
};

test('[M-01][P-11] without a picture: one of four stock pictures, always the same for a person', async () => {
  const people = await world.people(40);
  const urls = await Promise.all(people.map(async (person) => (await person.api.get('/api/users/me')).json.avatar_url));
  assert.deepEqual([...new Set(urls)].sort(), [1, 2, 3, 4].map((n) => `/files/user/stock/${n}`));
  assert.equal((await people[1].api.get(`/api/users/${people[0].id}`)).json.avatar_url, urls[0]);
  for (const url of new Set(urls)) {
    const reply = await get(url);
    assert.deepEqual([reply.status, reply.headers['content-type'], reply.bytes.subarray(1, 4).toString()], [200, 'image/png', 'PNG']);
    assert.match(reply.headers['cache-control'], /immutable/);
  }
  for (const url of ['/files/user/stock/0', '/files/user/stock/5', '/files/user/stock/11', '/files/user/stock']) assert.equal((await get(url)).status, 404, url);
});

test('[P-11][M-10][D-05] png, jpeg and webp by their content; served unchanged, to anybody, for ever', async () => {
  const [kim, lee] = await world.people(2);
  for (const [bytes, type, ending] of [[png(8, 8), 'image/png', 'png'], [jpeg(640, 480), 'image/jpeg', 'jpg'], [webp(300, 200), 'image/webp', 'webp']]) {
    const reply = await put(kim, bytes, 'text/html'); // what the client calls it does not matter
    assert.equal(reply.status, 200, reply.text);
    assert.match(reply.json.avatar_url, new RegExp(`^/files/user/[0-9a-f]{32}\\.${ending}$`));
    const served = await get(reply.json.avatar_url);
    assert.equal(served.status, 200);
    assert.deepEqual(served.bytes, bytes);
    assert.deepEqual([served.headers['content-type'], served.headers['cache-control'], served.headers['x-content-type-options']], [type, 'public, max-age=31536000, immutable', 'nosniff']);
    assert.equal((await get(reply.json.avatar_url, { 'If-None-Match': served.headers.etag })).status, 304);
    for (const who of [kim, lee]) assert.equal((await who.api.get(`/api/users/${kim.id}`)).json.avatar_url, reply.json.avatar_url);
  }
});

test('[P-11][M-10] what a camera writes beside the picture is not stored; which side is up is', async () => {
  const [kim] = await world.people(1);
  const exif = Buffer.concat([Buffer.from('Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0', 'latin1'), Buffer.from('37.5665 N 126.9780 E')]);
  const segment = Buffer.concat([Buffer.from([0xff, 0xe1, 0, exif.length + 2]), exif]);
  const plain = jpeg(640, 480);
  const { json } = await put(kim, Buffer.concat([plain.subarray(0, 20), segment, plain.subarray(20), Buffer.from('a film behind the picture')]), 'image/jpeg');
  const served = (await get(json.avatar_url)).bytes;
  assert.ok(!served.includes('37.5665') && !served.includes('a film'));
  const turned = Buffer.concat([segment.subarray(0, 3), Buffer.from([34]), exif.subarray(0, 32)]);
  assert.deepEqual(served, Buffer.concat([plain.subarray(0, 20), turned, plain.subarray(20)]));
  const small = png(4, 4);
  const noted = Buffer.concat([small.subarray(0, 33), Buffer.from('\0\0\0\x0atEXtComment\0me....', 'latin1'), small.subarray(33)]);
  assert.deepEqual((await get((await put(kim, noted)).json.avatar_url)).bytes, small);
});

test('[P-11][M-10] what is no picture is refused, and nothing is stored', async () => {
  const [kim] = await world.people(1);
  const before = stored().length;
  const bad = (text, encoding) => [Buffer.from(text, encoding), 415, 'unsupported_media_type'];
  const cases = [
    bad('GIF89a\x01\0\x01\0\0\0\0\x2c\x3b', 'latin1'), bad('<svg xmlns="http://www.w3.org/2000/svg"/>'), bad('<html><script>alert(1)</script>'), bad('%PDF-1.7\n%%EOF'), bad('89504e47', 'hex'),
    bad(Buffer.alloc(1000)), bad(png(1, 1).subarray(0, 40)), bad(Buffer.concat([png(2, 2), Buffer.from('PK\x03\x04')])), bad(jpeg(0, 10)),
    [Buffer.alloc(0), 400, 'bad_input'], [jpeg(9000, 10), 400, 'bad_input'], [webp(8000, 8000), 400, 'bad_input'], [webp(16384, 16384), 400, 'bad_input'], [png(8193, 1), 400, 'bad_input'],
  ];
  for (const [bytes, status, code] of cases) {
    const reply = await put(kim, bytes);
    assert.deepEqual([reply.status, reply.problem], [status, code], bytes.subarray(0, 12).toString('latin1'));
  }
  assert.match((await kim.api.get('/api/users/me')).json.avatar_url, /stock/);
  assert.equal(stored().length, before);
});

test('[P-11] five megabytes and not one more', async () => {
  const [kim] = await world.people(1);
  const most = 5 * 1024 * 1024;
  const good = await put(kim, pngOf(most));
  assert.equal(good.status, 200, good.text);
  assert.equal((await get(good.json.avatar_url)).bytes.length, most);
  // The length alone is refused: the bytes need not come (a client that goes on sending may lose the reply to its broken pipe).
  const head = `PUT /api/users/me/avatar HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${kim.token}\r\nContent-Length: ${most + 1}\r\n\r\n`;
  const reply = await raw(world.url, head);
  assert.equal(reply.status, 413, reply.text);
  assert.match(reply.body, /"code":"body_too_large"/);
  assert.equal((await kim.api.get('/api/users/me')).json.avatar_url, good.json.avatar_url);
});

test('[P-11] a replaced picture goes, and so does a deleted one', async () => {
  const [kim] = await world.people(1);
  const first = (await put(kim, png(4, 4))).json.avatar_url;
  const second = (await put(kim, png(5, 5))).json.avatar_url;
  assert.notEqual(first, second);
  await eventually(15000, async () => (await get(first)).status === 404, 'the old picture is gone');
  assert.equal((await get(second)).status, 200);
  assert.equal((await kim.api.delete('/api/users/me/avatar')).status, 204);
  assert.match((await kim.api.get('/api/users/me')).json.avatar_url, /stock/);
  await eventually(15000, async () => (await get(second)).status === 404, 'the deleted picture is gone');
  assert.equal((await kim.api.delete('/api/users/me/avatar')).status, 204, 'again');
  assert.ok(!stored().some((name) => first.endsWith(name) || second.endsWith(name)));
});

test('[P-11] twenty pictures at once: one is shown, the others go', async () => {
  const [kim] = await world.people(1);
  const replies = await Promise.all(Array.from({ length: 20 }, (_, i) => put(kim, png(i + 1, 3))));
  assert.ok(replies.every((reply) => reply.status === 200));
  const { avatar_url: shown } = (await kim.api.get('/api/users/me')).json;
  const urls = replies.map((reply) => reply.json.avatar_url);
  assert.ok(urls.includes(shown));
  await eventually(15000, async () => (await Promise.all(urls.map(async (url) => (await get(url)).status === 200))).filter(Boolean).length === 1, 'the others are gone');
  assert.equal((await get(shown)).status, 200);
});

test('[P-11] kill -9 in the middle of uploads: no orphan stays, and the picture shown is there', async () => {
  const [kim] = await world.people(1);
  const loop = [];
  for (let i = 0; i < 30; i++) loop.push(put(kim, png(i + 1, 7)).then((reply) => reply.json?.avatar_url, () => undefined));
  await Promise.race(loop);
  await world.instances[0].kill();
  const urls = (await Promise.all(loop)).filter(Boolean);
  await world.instances[0].start();
  await world.sql("UPDATE trash SET due = now(), claimed = false WHERE due > now()"); // as if the time for uploads were over
  const { avatar_url: shown } = (await kim.api.get('/api/users/me')).json;
  await eventually(20000, async () => (await world.one('SELECT count(*) FROM trash')) === 0, 'the trash is empty');
  const known = new Set((await world.sql('SELECT avatar_key FROM people WHERE avatar_key IS NOT NULL')).map((row) => row.avatar_key));
  assert.deepEqual(stored().filter((name) => !known.has(name)), [], 'no file without a profile');
  if (urls.length) assert.equal((await get(shown)).status, 200);
});

test('[P-11] names of pictures: only ours, and never a way out of the folder', async () => {
  fs.writeFileSync(path.join(world.folder, 'secret.png'), 'secret');
  const names = ['x.png', `${'a'.repeat(32)}.png`, `${'a'.repeat(32)}.gif`, `${'A'.repeat(32)}.png`, '..%2fsecret.png', '%2e%2e/secret.png', 'stock/..%2f..%2fsecret.png', `${'a'.repeat(31)}%00.png`, `${oldUuid()}.png`];
  for (const name of names) {
    const reply = await get(`/files/user/${name}`);
    assert.ok([400, 404].includes(reply.status), `${name}: ${reply.status}`);
    assert.ok(reply.text !== 'secret' && reply.headers['content-type'] === 'application/problem+json', name);
  }
});
