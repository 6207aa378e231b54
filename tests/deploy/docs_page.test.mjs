// The page of topics and sockets is docs/asyncapi.yaml's, names every channel, and asks for nothing from outside.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { page } from '../../deploy/docs/asyncapi.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const read = (name) => fs.readFileSync(path.join(root, name), 'utf8');

test('[P-47] deploy/docs/asyncapi.html is what docs/asyncapi.yaml says (make docs-page)', () => {
  const text = read('deploy/docs/asyncapi.html');
  assert.equal(text, page());
  const { channels, components } = parse(read('docs/asyncapi.yaml'));
  for (const [name, { address }] of Object.entries(channels)) assert.ok(text.includes(`<h2 id="${name}">`) && text.includes(address ?? name), name);
  for (const name of Object.keys(components.schemas ?? {})) assert.ok(text.includes(`id="schema-${name}"`), name);
  assert.doesNotMatch(text, /<script|https?:\/\/(?!127\.0\.0\.1|localhost)[^"<\s]*\.(js|css)|src="http/);
});
