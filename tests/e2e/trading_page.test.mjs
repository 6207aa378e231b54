// trading_page.test.mjs - what docs/trading.md promises to writers of bots: its bot plays, beside another, and the examples of the page answer.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { logIn, signUp } from '../support/people.mjs';
import { env, root } from '../support/stack.mjs';
import { eventually } from '../support/wait.mjs';

const children = [];
after(() => children.forEach((child) => child.kill('SIGKILL')));

function bot({ email, password }, orders) {
  const settings = { MADANG_URL: env.GATEWAY_URL, MADANG_LOGIN: email, MADANG_PASSWORD: password, MADANG_ORDERS: String(orders) };
  const child = spawn(process.execPath, [path.join(root, 'docs/trading-bot.mjs')], { env: { PATH: process.env.PATH, ...settings }, stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  let words = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (part) => (words += part));
  return new Promise((resolve) => child.on('exit', (code) => resolve({ code, words })));
}

test('[S-23][S-26][S-34] the bot of the page buys on good news, every order once, and ends by itself', { timeout: 120000 }, async () => {
  const people = [await signUp(), await signUp()];
  const ends = await Promise.all(people.map((person, i) => bot(person, 1 + i)));
  for (const [i, { code, words }] of ends.entries()) {
    assert.equal(code, 0, words);
    assert.match(words, /round \d+ is open until/);
    assert.match(words, /^(buy|sell) \d+ of \d+ at [\d.-]+: (filled|cancelled|partial)$/m);
    const { api } = await logIn(people[i]);
    const orders = (await api.get('/api/orders?limit=100')).json.items;
    assert.equal(orders.length, 1 + i, words);
    const fills = await eventually(10000, async () => {
      const { items } = (await api.get('/api/fills?limit=100')).json;
      return items.length && items;
    }, 'its fills');
    for (const order of orders) assert.equal(fills.filter(({ order_id }) => order_id === order.id).reduce((sum, { quantity }) => sum + quantity, 0), order.filled);
  }
});

test('[S-12][S-19][S-49] every GET of the page answers as it says', async () => {
  const page = fs.readFileSync(path.join(root, 'docs/trading.md'), 'utf8');
  const person = await signUp();
  const { api } = await logIn(person);
  const company = (await api.get('/api/game/companies')).json.items[0].id;
  const paths = [...page.matchAll(/^curl -s "?\$G(\/api\/[^\s"]+)"?(?: -H "\$AUTH")? *#/gm)].map(([, found]) => found.replaceAll('$C', company));
  assert.ok(paths.length >= 10, `${paths.length} examples`);
  for (const one of paths) assert.equal((await api.get(one)).status, 200, one);
  for (const [, link] of page.matchAll(/\]\(([^)#]+)\)/g)) assert.ok(fs.existsSync(path.join(root, 'docs', link)), link);
});
