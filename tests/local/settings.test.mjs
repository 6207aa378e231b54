// docs/settings.md tells what the daemons tell: whoever changes a setting runs `make settings`.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { page } from '../../deploy/build/settings.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

test('[D-54] docs/settings.md is what the daemons say of their settings', () => {
  const build = path.resolve(root, process.env.BUILD ?? 'build/gcc');
  const made = page(build).split('\n');
  const kept = fs.readFileSync(path.join(root, 'docs/settings.md'), 'utf8').split('\n');
  assert.ok(made.filter((line) => line.startsWith('| `')).length > 100, 'the daemons tell their settings');
  assert.deepEqual(kept.filter((line) => !made.includes(line)), [], 'lines that no daemon says (make settings)');
  assert.deepEqual(made, kept, 'make settings');
});
