// What is on the topics is what docs/asyncapi.yaml says. The records are those that the other tests of this folder left: run alone, make some first.
import Ajv2020 from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { befriend, crowd } from '../support/people.mjs';
import { root } from '../support/stack.mjs';
import { readTopic } from '../support/topics.mjs';
import { eventually } from '../support/wait.mjs';

const document = parse(fs.readFileSync(path.join(root, 'docs/asyncapi.yaml'), 'utf8'));
const channels = Object.values(document.channels);
const isTopic = ({ address }) => !address.startsWith('/');

const ajv = new Ajv2020({ strict: false, allErrors: true });
addFormats(ajv);
ajv.addSchema({ $id: 'madang', ...document });

/** Of each message of a channel: what says yes or no to a payload. */
const formsOf = ({ messages }) =>
  Object.values(messages).map(({ $ref }) => ({ name: $ref.split('/').at(-1), fits: ajv.compile({ $ref: `madang${$ref}/payload` }) }));

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
      const form = forms.find(({ fits }) => fits(value));
      const why = forms.map(({ name, fits }) => `${name}: ${ajv.errorsText(fits.errors)}`).join('\n');
      assert.ok(form, `${channel.address}: ${JSON.stringify(value)}\n${why}`);
      seen.set(form.name, (seen.get(form.name) ?? 0) + 1);
    }
    if (['accounts', 'relations', 'notify.requests', 'chat.inbound', 'chat.events'].includes(channel.address))
      assert.ok(seen.size > 0, `${channel.address} has records`);
  }
});
