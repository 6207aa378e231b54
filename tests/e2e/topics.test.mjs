// What is on the topics is what docs/asyncapi.yaml says. The records are those that the other tests of this folder left: run alone, make some first.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { channels, formsOf, namesOf } from '../support/asyncapi.mjs';
import { befriend, crowd } from '../support/people.mjs';
import { root } from '../support/stack.mjs';
import { readTopic } from '../support/topics.mjs';
import { eventually } from '../support/wait.mjs';

const isTopic = ({ address }) => !address.startsWith('/');

test('[P-47] docs/asyncapi.yaml has every topic of common/topics.h, and no other', () => {
  const table = [...fs.readFileSync(path.join(root, 'common/topics.h'), 'utf8').matchAll(/^#define TOPIC_\w+ "([a-z.]+)"$/gm)].map(([, name]) => name);
  assert.ok(table.length > 5);
  assert.deepEqual(
    channels
      .filter(isTopic)
      .map(({ address }) => address)
      .sort(),
    table.sort(),
  );
});

test('[P-47] every record on every topic has a form that docs/asyncapi.yaml describes', { timeout: 120000 }, async () => {
  const [mina, juno] = await crowd(2);
  await befriend(mina, juno);
  const room = (await mina.api.post('/api/chat/rooms', { kind: 'dm', user_id: juno.id })).json.id;
  assert.equal((await mina.api.post(`/api/chat/rooms/${room}/messages`, { client_id: 'form', content: '안녕' })).status, 201);
  await eventually(20000, async () => (await juno.api.get('/api/notifications/count')).json.unread > 0, 'the request to be friends is a notice');
  for (const channel of channels.filter(isTopic)) {
    const forms = formsOf(channel);
    const seen = new Map();
    for (const { key, value } of await readTopic(channel.address)) {
      assert.ok(key, `${channel.address}: a record without a key`);
      if (value === null) continue; // a tombstone
      const [name] = namesOf(forms, value, channel.address);
      seen.set(name, (seen.get(name) ?? 0) + 1);
    }
    if (['accounts', 'relations', 'notify.requests', 'chat.inbound', 'chat.events'].includes(channel.address))
      assert.ok(seen.size > 0, `${channel.address} has records`);
  }
});
