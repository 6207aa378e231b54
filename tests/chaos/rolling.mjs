// rolling.mjs - every daemon of a running stack is replaced, one after the other, as an operator does it, under load. No idempotent request may fail, and nothing acknowledged may be missing.
//
//   node tests/chaos/rolling.mjs [--only gateway,user-svc]
//
// In front of a stack with two of each (SCALE, PROFILE=bench) whose gateways were started with LISTEN_SHARED=on. A service is asked to stop (SIGTERM) and its supervisor puts the next one in its place; a gateway's
// successor listens on the port before it stops. Ends with "N passed, N failed".
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { load } from '../support/load.mjs';
import { befriend, crowd, newcomer } from '../support/people.mjs';
import { allReady, buildDir, daemons, gateways, instances, isReady, replaced, signal } from '../support/stack.mjs';
import { eventually } from '../support/wait.mjs';

const { values } = parseArgs({ options: { only: { type: 'string' } } });
const READY_MS = 60000;
const CLIENTS = 12;

/** A client as an application has it: connections are kept, and a GET or PUT is sent again, once, when a kept connection turns out to be closed. */
const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
function once(method, url, { token, body, via = agent }) {
  return new Promise((resolve, reject) => {
    const payload = body && Buffer.from(JSON.stringify(body));
    const req = http.request(url, { method, agent: via, timeout: 15000, headers: { Authorization: `Bearer ${token}`, ...(payload ? { 'Content-Type': 'application/json', 'Content-Length': payload.length } : {}) } }, (res) => {
      const parts = [];
      res.on('data', (part) => parts.push(part));
      res.on('error', reject);
      res.on('end', () => resolve({ status: res.statusCode, text: Buffer.concat(parts).toString() }));
    });
    req.on('timeout', () => req.destroy(new Error('no reply in 15 s')));
    req.on('error', (error) => reject(Object.assign(error, { reused: req.reusedSocket })));
    req.end(payload);
  });
}
const ask = (method, url, options) => once(method, url, options).catch((error) => (error.reused ? once(method, url, { ...options, via: false }) : Promise.reject(error)));

const doors = gateways();
const door = (turn) => doors[turn % doors.length];
const people = await crowd(CLIENTS);
const [speaker, listener] = [await newcomer(), await newcomer()];
await befriend(speaker, listener);
await eventually(10000, async () => (await speaker.api.post('/api/chat/rooms', { kind: 'dm', user_id: listener.id })).status < 300, 'a direct room');
const room = (await speaker.api.post('/api/chat/rooms', { kind: 'dm', user_id: listener.id })).json.id;
for (const person of people) await eventually(20000, async () => (await person.api.get('/api/users/me')).status === 200, 'user-svc serves everybody');

/** Tokens live five minutes; a run may take longer. */
const fresh = async (person) => {
  if (Date.now() - (person.since ?? 0) < 120000) return person.access;
  const reply = await once('POST', `${doors[0]}/api/auth/login`, { token: '', body: { login: person.email, password: person.password }, via: false }).catch(() => undefined);
  if (reply?.status === 200) Object.assign(person, { access: JSON.parse(reply.text).access_token, since: Date.now() });
  return person.access;
};
for (const person of [...people, speaker, listener]) person.since = Date.now();

const READS = ['/api/users/me', '/api/friends', '/api/chat/rooms', '/api/notifications', '/api/presence/me/settings', '/api/push/devices', '/api/portfolio', '/api/orders', '/api/game/round', '/api/game/rankings?by=rating'];
const judge = (reply, error) => (error ? `no answer: ${error.code ?? ''} ${error.message}` : reply.status >= 500 || reply.status === 401 ? `${reply.status} at ${reply.path}: ${reply.text.slice(0, 120)}` : undefined);
const readers = load(CLIENTS, async (client, turn) => {
  const person = people[client];
  const where = READS[(turn + client) % READS.length];
  return { ...(await ask('GET', door(turn) + where, { token: await fresh(person) })), path: where };
}, judge);
const writers = load(2, async (client, turn) => {
  const where = `/api/blocks/${people[2 + client].id}`; // idempotent, and it goes through the outbox
  return { ...(await ask(turn % 2 ? 'PUT' : 'DELETE', door(turn) + where, { token: await fresh(people[client]) })), path: where };
}, judge);
const sent = [];
const speakers = load(2, async (client, turn) => {
  const client_id = `rolling-${client}-${turn}`;
  for (let tries = 0; ; tries++) { // repeating a client_id is safe, so a send goes on until its answer is certain
    const reply = await ask('POST', `${door(turn + tries)}/api/chat/rooms/${room}/messages`, { token: await fresh(speaker), body: { client_id, content: client_id } }).catch(() => undefined);
    if (reply?.status === 201) {
      sent.push({ client_id, seq: JSON.parse(reply.text).seq });
      return { status: 201, text: '' };
    }
    if (tries > 100) return { status: 599, text: reply?.text ?? 'no answer', path: 'send' };
  }
}, judge);

async function replaceService(instance) {
  const pid = signal(instance.name, 'SIGTERM');
  await replaced(instance.name, pid, READY_MS);
  await eventually(READY_MS, () => isReady(instance), `${instance.name} is ready again`);
}

/** The successor has the settings of the one that stops, and an admin port of its own. */
async function replaceGateway(instance) {
  const pid = Number(fs.readFileSync(path.join(process.env.RUN_DIR ?? '.run', `${instance.name}.pid`), 'utf8'));
  const settings = Object.fromEntries(fs.readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').filter(Boolean).map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]));
  const successor = spawn(path.join(buildDir, 'bin/gateway'), [], { env: { ...settings, ADMIN_LISTEN: '127.0.0.1:0', INSTANCE: `${instance.name}-successor` }, stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  successor.stderr.setEncoding('utf8').on('data', (part) => { if (log.length < 1 << 16) log += part; });
  const port = await eventually(READY_MS, () => /"event.action":"started".*"admin_port":(\d+)/.exec(log)?.[1], `the successor of ${instance.name} starts`);
  await eventually(READY_MS, async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).status === 200, 'the successor is ready');
  await replaceService(instance);
  successor.kill('SIGTERM');
  await eventually(READY_MS, () => successor.exitCode !== null || successor.signalCode !== null, 'the successor ends');
}

let failed = 0, passed = 0;
const verdict = (name, wrong) => {
  if (wrong.length) failed++;
  else passed++;
  console.log(`${wrong.length ? 'not ok' : 'ok'} ${name}${wrong.slice(0, 5).map((line) => `\n   ${line}`).join('')}`);
};
for (const service of [...new Set(daemons().map(({ name }) => name.replace(/-\d+$/, '')))]) {
  if (values.only && !values.only.split(',').includes(service)) continue;
  const before = [readers, writers, speakers].map((one) => one.wrong.length);
  for (const instance of instances(service)) {
    const began = performance.now();
    await (service === 'gateway' ? replaceGateway : replaceService)(instance);
    console.log(`${instance.name} replaced in ${((performance.now() - began) / 1000).toFixed(1)} s`);
    await readers.more(100);
  }
  verdict(`no idempotent request failed while ${service} was replaced`, [readers, writers, speakers].flatMap((one, i) => one.wrong.slice(before[i])));
}
for (const one of [readers, writers, speakers]) await one.stop();
await allReady();
const history = new Map();
for (let before = ''; ; ) {
  const page = JSON.parse((await ask('GET', `${doors[0]}/api/chat/rooms/${room}/messages?limit=100${before && `&before=${before}`}`, { token: await fresh(listener) })).text).items;
  if (!page.length) break;
  for (const message of page) history.set(message.seq, message.content);
  before = Math.min(...page.map(({ seq }) => seq));
  if (before <= 1) break;
}
verdict(`each of ${sent.length} acknowledged messages stands at its place, once`, sent.filter(({ client_id, seq }) => history.get(seq) !== client_id).map(({ client_id, seq }) => `${client_id} at ${seq}: ${history.get(seq)}`));
verdict('no message stands twice', history.size === new Set(history.values()).size ? [] : ['doubles']);
console.log(`${readers.done} reads, ${writers.done} writes, ${sent.length} messages`);
agent.destroy();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
