// The documents say what the code has: routes in docs/openapi.yaml, codes in docs/errors.md.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { request } from '../support/http.mjs';
import { env, root } from '../support/stack.mjs';

const read = (file) => fs.readFileSync(path.join(root, file), 'utf8');
const METHODS = ['get', 'put', 'post', 'patch', 'delete', 'head', 'options'];

/** "GET /api/users/{}" of every operation: paths stand at two blanks, methods at four. */
function described() {
  const found = new Set();
  let current,
    inPaths = false;
  for (const line of read('docs/openapi.yaml').split('\n')) {
    if (/^\S/.test(line)) inPaths = line.startsWith('paths:');
    if (!inPaths) continue;
    const pathLine = /^ {2}["']?(\/[^"':]*)["']?:/.exec(line);
    if (pathLine) current = pathLine[1];
    const method = /^ {4}([a-z]+):/.exec(line)?.[1];
    if (method && METHODS.includes(method)) found.add(`${method.toUpperCase()} ${shape(current)}`);
  }
  return found;
}
const shape = (route) => route.replace(/\{[^}]*\}/g, '{}').replace(/:[a-z_]+(\.\.)?/g, '{}');

/** Those of the services' route tables, without what no gateway lets through. */
function routed() {
  const found = new Set();
  for (const service of ['auth-svc', 'user-svc', 'chat-svc', 'presence-svc', 'push-svc', 'notify-svc', 'game-svc', 'match-svc', 'order-svc']) {
    const source = read(`${service}/routes.c`).replace(/\/\*[\s\S]*?\*\//g, '');
    const routes = [...source.matchAll(/\{\s*"([A-Z]+)"\s*,\s*"(\/[^"]*)"\s*,\s*AUTH_/g)];
    assert.ok(routes.length > 1, `${service}/routes.c has a table`);
    for (const [, method, route] of routes) if (!route.startsWith('/internal')) found.add(`${method} ${shape(route)}`);
  }
  return found;
}

test('[P-47] docs/openapi.yaml has every route of the services, and no other', () => {
  const have = routed(),
    say = described();
  assert.deepEqual([...have].filter((route) => !say.has(route)).sort(), [], 'routes the document does not have');
  const own = new Set(['GET /docs', 'GET /openapi.yaml', 'GET /docs/{}']); // of the gateway itself
  assert.deepEqual([...say].filter((route) => !have.has(route) && !own.has(route)).sort(), [], 'routes only the document has');
});

test('[P-43] every route of the services is reached by a prefix of gateway/routes.conf, and /internal by none', () => {
  const prefixes = [...read('gateway/routes.conf').matchAll(/^\s*(\/\S*)\s+(\S+)/gm)].map(([, prefix, service]) => [prefix, service]);
  assert.ok(prefixes.length > 5);
  const covers = (route) => prefixes.some(([prefix]) => route === prefix || route.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`));
  for (const route of routed()) assert.ok(covers(route.split(' ')[1]), route);
  assert.ok(!prefixes.some(([prefix]) => prefix === '/' || '/internal'.startsWith(prefix) || prefix.startsWith('/internal')));
});

test('[D-53] docs/errors.md lists every problem code with its status, and no other', () => {
  const coded = new Map();
  for (const file of ['common/errors.h', 'gateway/problems.h', 'auth-svc/problems.h', 'user-svc/problems.h', 'chat-svc/problems.h', 'push-svc/problems.h', 'notify-svc/problems.h', 'order-svc/problems.h']) {
    const rows = [...read(file).matchAll(/X\(\s*ERR_\w+\s*,\s*"([a-z_]+)"\s*,\s*(\d{3})/g)];
    assert.ok(rows.length > 0, `${file} has a table`);
    for (const [, code, status] of rows) coded.set(code, status);
  }
  const listed = new Map(
    [...read('docs/errors.md').matchAll(/^\|\s*`([a-z_]+)`\s*\|\s*(\d{3})\s*\|/gm)].map(([, code, status]) => [code, status]),
  );
  assert.deepEqual(Object.fromEntries([...listed].sort()), Object.fromEntries([...coded].sort()));
});

test('[P-47] /openapi.yaml and /docs are served, and need nothing from outside', async () => {
  const yaml = await request('GET', `${env.GATEWAY_URL}/openapi.yaml`);
  assert.equal(yaml.status, 200);
  assert.equal(yaml.text, read('docs/openapi.yaml'));
  const page = await request('GET', `${env.GATEWAY_URL}/docs`);
  assert.ok([200, 301, 302, 308].includes(page.status), `${page.status}`);
  const shown = page.status === 200 ? page : await request('GET', new URL(page.headers.location, env.GATEWAY_URL).href);
  assert.equal(shown.status, 200);
  assert.match(shown.headers['content-type'], /text\/html/);
  assert.doesNotMatch(
    shown.text,
    /<(script|link|img)[^>]+(src|href)\s*=\s*["']?(https?:)?\/\//i,
    'no script, style or picture from elsewhere',
  );
  for (const [, file] of shown.text.matchAll(/<(?:script|link|img)[^>]+(?:src|href)\s*=\s*["']([^"']+)["']/gi)) {
    if (file.startsWith('data:')) continue; // it carries itself
    const part = await request('GET', new URL(file, `${env.GATEWAY_URL}${page.status === 200 ? '/docs' : page.headers.location}`).href);
    assert.equal(part.status, 200, file);
  }
});
