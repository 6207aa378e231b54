// One trace, end to end: a chat message and an order seen by a collector, from the gateway through the service and Kafka to whoever applied them. The stack was started with OTLP_URL naming the collector that this test plays.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { befriend, newcomer } from '../support/people.mjs';
import { request } from '../support/http.mjs';
import { daemons, env } from '../support/stack.mjs';
import { eventually } from '../support/wait.mjs';

const spans = [];
let collector;

/** What the daemons were told, from the environment of one of them. */
function collectorUrl() {
  const pid = fs.readFileSync(path.join(process.env.RUN_DIR, `${daemons()[0].name}.pid`), 'utf8').trim();
  return /(?:^|\0)OTLP_URL=([^\0]*)/.exec(fs.readFileSync(`/proc/${pid}/environ`, 'utf8'))?.[1];
}

before(async () => {
  const url = new URL(collectorUrl());
  collector = http.createServer((req, res) => {
    const parts = [];
    req.on('data', (part) => parts.push(part)).on('end', () => {
      for (const { resource, scopeSpans } of JSON.parse(Buffer.concat(parts)).resourceSpans) {
        const service = resource.attributes.find(({ key }) => key === 'service.name').value.stringValue;
        for (const scope of scopeSpans) spans.push(...scope.spans.map((span) => ({ service, ...span })));
      }
      res.end('{}');
    });
  });
  await new Promise((done) => collector.listen(Number(url.port), url.hostname, done));
});
after(() => collector.close());

const newTrace = () => ({ id: randomBytes(16).toString('hex'), parent: randomBytes(8).toString('hex') });
const headersOf = ({ id, parent }) => ({ traceparent: `00-${id}-${parent}-01` });
const seenBy = (trace, service, name) => spans.find((span) => span.traceId === trace.id && span.service === service && span.name === name);

function follow(trace, ...steps) {
  return eventually(15000, () => {
    const found = steps.map(([service, name]) => seenBy(trace, service, name));
    return found.every(Boolean) && found;
  }, `spans of ${JSON.stringify(steps)}`);
}

test('[D-54] a chat message: gateway, chat-svc, and the owner that gave it its place', async () => {
  const [one, two] = [await newcomer(), await newcomer()];
  await befriend(one, two);
  const room = await eventually(10000, async () => {
    const reply = await one.api.post('/api/chat/rooms', { kind: 'dm', user_id: two.id });
    return reply.status < 300 && reply.json;
  }, 'a direct room');
  const trace = newTrace();
  const reply = await request('POST', `${env.GATEWAY_URL}/api/chat/rooms/${room.id}/messages`, { token: one.access, headers: headersOf(trace), body: { client_id: `trace-${trace.id}`, content: '안녕' } });
  assert.equal(reply.status, 201, reply.text);
  const [door, service, owner] = await follow(trace, ['gateway', 'gateway /api/chat'], ['chat-svc', 'POST /api/chat/rooms/:id/messages'], ['chat-svc', 'chat.inbound apply']);
  assert.equal(door.parentSpanId, trace.parent);
  assert.equal(service.parentSpanId, door.spanId);
  assert.equal(owner.parentSpanId, service.spanId);
  for (const span of [door, service, owner]) assert.ok(BigInt(span.endTimeUnixNano) >= BigInt(span.startTimeUnixNano));
});

test('[D-54] an order: gateway, order-svc, the owner of its market, and settlement', async () => {
  const person = await newcomer();
  const { company } = await eventually(60000, async () => {
    const round = await person.api.get('/api/game/round');
    const companies = await person.api.get('/api/game/companies');
    return round.json?.phase === 'open' && companies.json?.items?.length && { company: companies.json.items[0] };
  }, 'a round is open');
  const trace = newTrace();
  const reply = await request('POST', `${env.GATEWAY_URL}/api/orders`, { token: person.access, headers: headersOf(trace), body: { company_id: company.id, side: 'buy', type: 'limit', price: 10000, quantity: 1 } });
  assert.ok([201, 409].includes(reply.status), reply.text); // the round may have closed meanwhile: a refusal takes the same way
  const [door, service, owner, settled] = await follow(trace, ['gateway', 'gateway /api/orders'], ['order-svc', 'POST /api/orders'], ['match-svc', 'market.commands apply'], ['order-svc', 'market.events apply']);
  assert.equal(service.parentSpanId, door.spanId);
  assert.equal(owner.parentSpanId, service.spanId);
  assert.equal(settled.traceId, trace.id);
});
