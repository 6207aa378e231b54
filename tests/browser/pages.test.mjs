// What people look at, in a real browser: the registry page and its button, Swagger UI and its "Execute", the page of topics and sockets. Nothing is asked of anybody else, and no page complains.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { after, before, test } from 'node:test';
import { registryOf } from '../support/single.mjs';
import { newcomer } from '../support/people.mjs';
import { daemons, env, instances } from '../support/stack.mjs';
import { eventually } from '../support/wait.mjs';
import { Browser } from './chromium.mjs';

const admin = instances('gateway')[0].admin;
const door = env.GATEWAY_URL;
let browser;
before(async () => { browser = await Browser.start(); });
after(() => browser?.close());

const row = (instance) => `[...document.querySelectorAll('tr')].find((one) => one.cells[1]?.innerText === ${JSON.stringify(instance)})`;
const cells = (page, instance) => page.value(`[...${row(instance)}.cells].map((cell) => cell.innerText)`);

/** All that the page asked for came from its own origin, and it complained of nothing. */
function spotless(page, origin) {
  const elsewhere = page.asked.filter((url) => !url.startsWith('data:') && !url.startsWith(`${origin}/`));
  assert.deepEqual(elsewhere, [], 'asked for elsewhere');
  assert.deepEqual(page.complaints, [], 'errors, warnings and violations of the policy');
}

test('[P-48] the registry page shows who runs; its button asks, drains that instance, and takes it back', async () => {
  const person = await newcomer();
  for (let i = 0; i < 20; i++) assert.equal((await person.api.get('/api/users/me')).status, 200);
  const user = instances('user-svc').at(-1).name;
  const listed = () => registryOf({ admin }, 'user-svc');
  await eventually(20000, async () => (await listed()).filter((one) => one.state === 'up').length === instances('user-svc').length, 'all of user-svc are up');
  const page = await browser.open(`${admin}/registry`);
  for (const { name } of daemons()) await page.until(`${row(name)} !== undefined`, `${name} is listed`);
  const heads = await page.value("[...document.querySelectorAll('th')].map((one) => one.innerText)");
  assert.deepEqual(heads, ['service', 'instance', 'address', 'version', 'state', 'weight', 'in flight', 'requests', 'latency', 'errors', 'breaker', '']);
  await page.until(`Number(${row(user)}.cells[7].innerText) > 0`, 'its requests are counted', 60000);
  const shown = await cells(page, user);
  assert.deepEqual(shown.slice(0, 2), ['user-svc', user]);
  assert.match(shown[3], /^\d+\.\d+\.\d+$/);
  assert.deepEqual([shown[4], shown[5], shown[10], shown[11]], ['up', '100', 'closed', 'drain']);
  assert.match(shown[6], /^\d+$/);
  assert.match(shown[8], /^\d+\.\d ms$/);
  await page.picture('registry');

  await page.press(`${row(user)}.querySelector('a')`, 'drain');
  await page.until("document.querySelector('form button') !== null", 'the page asks first');
  assert.match(await page.text(), new RegExp(`Drain ${user} of user-svc`));
  await page.picture('registry-asks');
  assert.equal((await listed()).find((one) => one.instance === user).state, 'up', 'nothing happened yet');
  await page.press("document.querySelector('form button')", 'yes');
  await page.until(`${row(user)}?.cells[4].innerText === 'draining'`, 'it is shown as draining');
  await page.picture('registry-draining');
  assert.deepEqual((await listed()).filter((one) => one.state === 'draining').map((one) => one.instance), [user], 'that one, and no other');

  await page.press(`${row(user)}.querySelector('a')`, 'take back');
  await page.until("document.querySelector('form button') !== null", 'it asks again');
  await page.press("document.querySelector('form button')", 'yes');
  await page.until(`${row(user)}?.cells[4].innerText === 'up'`, 'it is back');
  spotless(page, admin);
});

const operation = (id) => `document.querySelector('[id$="-${id}"].opblock')`;
/** Opens an operation of Swagger UI, and executes it as it stands there. The status and the text of the answer. */
async function execute(page, id) {
  await page.press(`${operation(id)}?.querySelector('.opblock-summary-control')`, id);
  await page.press(`${operation(id)}?.querySelector('.try-out__btn')`, 'Try it out');
  await page.press(`${operation(id)}?.querySelector('.execute')`, 'Execute');
  await page.until(`${operation(id)}?.querySelector('.live-responses-table .response-col_status') !== null`, 'an answer');
  const status = await page.value(`${operation(id)}.querySelector('.live-responses-table tbody .response-col_status').innerText`);
  const body = await page.value(`${operation(id)}.querySelector('.live-responses-table tbody .highlight-code')?.innerText ?? ''`);
  return { status: Number.parseInt(status, 10), body };
}

test('[P-47][P-48] /docs draws every route and calls them, open and signed in, without a word to anybody else', async () => {
  const nickname = `마당지기${randomInt(1e9)}`;
  const { access, api } = await newcomer({ nickname });
  await eventually(10000, async () => (await api.get('/api/users/me')).json.nickname === nickname, 'the profile is there');
  const page = await browser.open(`${door}/docs`);
  await page.until("document.querySelectorAll('.opblock').length > 80", 'every route is drawn');
  assert.match(await page.value("document.querySelector('.info .title').innerText"), /Madang/);
  await page.picture('docs');
  const open = await execute(page, 'get_well_known_jwksjson');
  assert.equal(open.status, 200);
  assert.match(open.body, /"kty": "EC"/);
  await page.picture('docs-open');
  const without = await execute(page, 'get_api_users_me');
  assert.equal(without.status, 401);

  await page.press("document.querySelector('.btn.authorize')", 'Authorize');
  await page.type("document.querySelector('.auth-container input')", access);
  await page.press("document.querySelector('.auth-btn-wrapper .authorize')", 'Authorize, in the dialogue');
  await page.press("document.querySelector('.auth-btn-wrapper .btn-done')", 'Close');
  await page.press(`${operation('get_api_users_me')}.querySelector('.execute')`, 'Execute');
  await page.until(`${operation('get_api_users_me')}.querySelector('.live-responses-table tbody .response-col_status').innerText.startsWith('200')`, 'the answer with a token');
  assert.match(await page.value(`${operation('get_api_users_me')}.querySelector('.live-responses-table tbody .highlight-code').innerText`), new RegExp(nickname));
  await page.picture('docs-signed-in', `${operation('get_api_users_me')}.querySelector('.live-responses-table')`);
  // The 401 that was wanted is the one thing that a browser writes down.
  page.complaints = page.complaints.filter((text) => !/status of 401 .*\/api\/users\/me/.test(text));
  spotless(page, door);
});

test('[P-47] the page of topics and sockets is drawn as it is, without a script', async () => {
  const page = await browser.open(`${door}/docs/asyncapi.html`);
  assert.match(await page.text(), /market\.events/);
  assert.ok(await page.value("document.querySelectorAll('h2').length") > 10);
  assert.equal(await page.value('document.scripts.length'), 0);
  assert.ok(await page.value('document.documentElement.scrollWidth <= innerWidth'), 'nothing sticks out of the window');
  await page.picture('asyncapi');
  await page.picture('asyncapi-channel', "document.getElementById('market.events') ?? document.querySelectorAll('h2')[3]");
  spotless(page, door);
});
