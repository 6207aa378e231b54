// Every daemon is scraped: promtool reads what it says, it says what its kind has to say, and whatever a dashboard or an alarm asks for is there.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { dashboards } from '../../deploy/grafana/make.mjs';
import { request } from '../support/http.mjs';
import { newcomer } from '../support/people.mjs';
import { daemons, root } from '../support/stack.mjs';

const texts = new Map(); // "user-svc-1" -> what it says
const typesOf = (text) => new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type]));
const prefixOf = (name) => `madang_${name.replace(/(-svc)?-\d+$/, '')}`;

before(async () => {
  await newcomer(); // somebody was here
  for (const daemon of daemons()) texts.set(daemon.name, (await request('GET', `${daemon.admin}/metrics`)).text);
});

test('[S-51] promtool reads what each daemon says', () => {
  assert.ok(texts.size >= 10, `${texts.size} daemons`);
  for (const [name, text] of texts) {
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
    // 3: it would name one otherwise; 1 and 2: it can't read it.
    assert.ok(status === 0 || status === 3, `${name}: ${stdout}${stderr}`);
    assert.deepEqual((stdout + stderr).split('\n').filter((line) => line && !/use base unit "seconds" instead of "nanoseconds"/.test(line)), [], name);
  }
});

// What issue and design ask of every daemon of a kind; <own> is its prefix.
const EVERY = ['madang_build_info', 'madang_ready', 'process_resident_memory_bytes', 'process_cpu_seconds_total', 'process_open_fds'];
const GATEWAY = ['madang_gateway_requests_total', 'madang_gateway_request_seconds', 'madang_gateway_in_flight', 'madang_gateway_connections', 'madang_gateway_upstream_requests_total', 'madang_registry_instances', 'madang_registry_stale'];
const SERVICE = ['<own>_http_requests_total', '<own>_http_request_duration_seconds', '<own>_http_queue_length', '<own>_http_overloaded_total', 'madang_pg_query_seconds', 'madang_pg_connections_in_use', 'madang_pg_waiting', 'madang_pg_failures_total'];
const CONSUMER = ['madang_kafka_records_total', 'madang_kafka_batches_total', 'madang_kafka_lag', 'madang_kafka_oldest_seconds', 'madang_kafka_stopped_partitions'];
const ITS_OWN = {
  'auth-svc': ['madang_auth_logins_total', 'madang_outbox_oldest_seconds'], 'user-svc': ['madang_outbox_oldest_seconds', 'madang_outbox_waiting'],
  'chat-svc': ['madang_chat_ws_connections', 'madang_chat_stomp_sessions', 'madang_chat_batch_seconds', 'madang_chat_ws_cut_total', 'madang_signals_total'], 'push-svc': ['madang_push_sends_total', 'madang_push_queue', 'madang_push_send_seconds'],
  'notify-svc': ['madang_notify_deliveries_total', 'madang_notify_channel_sends_total', 'madang_notify_deliveries_waiting'],
  'match-svc': ['madang_match_commands_total', 'madang_match_batch_seconds', 'madang_match_markets', 'madang_match_feed_viewers', 'madang_match_ws_connections'],
  'order-svc': ['madang_order_settle_seconds', 'madang_order_events_settled_total'], 'game-svc': ['madang_game_round_phase', 'madang_game_step_lateness_seconds'], 'presence-svc': ['madang_presence_went_total', 'madang_presence_sweeps_behind_total'],
};

test('[S-51][P-46] requests, consumers, pools, queues, registry, engine, sockets, outcomes and memory: each daemon tells its own', () => {
  for (const [name, text] of texts) {
    const types = typesOf(text), kind = name.replace(/-\d+$/, '');
    const wanted = [...EVERY, ...(kind === 'gateway' ? GATEWAY : SERVICE), ...(kind === 'gateway' || kind === 'auth-svc' ? [] : CONSUMER), ...(ITS_OWN[kind] ?? [])].map((one) => one.replace('<own>', prefixOf(name)));
    assert.deepEqual(wanted.filter((one) => !types.has(one)), [], name);
    for (const [one, type] of types) if (/_seconds$/.test(one) && type === 'histogram') assert.match(text, new RegExp(`^# TYPE ${one} histogram\\n(${one}_bucket\\{.*le="0\\.0005"|# HELP|$)`, 'm'), `${name} ${one}: buckets from half a millisecond`);
  }
});

test('[S-51][S-53] every metric that a dashboard, an alarm or a scaler asks for is in the scrape of some daemon', () => {
  const there = new Set([...texts.values()].flatMap((text) => [...typesOf(text).keys()]));
  const missing = (expression) => [
    ...(expression.match(/\b(?:madang|process)_[a-z_0-9]+/g) ?? []).filter((name) => !name.endsWith('_') && !there.has(name) && !there.has(name.replace(/_(bucket|count|sum)$/, ''))),
    ...[...expression.matchAll(/__name__=~"([^"]+)"/g)].map(([, pattern]) => pattern).filter((pattern) => ![...there].some((name) => new RegExp(`^(?:${pattern})$`).test(name))),
  ];
  assert.deepEqual(missing('rate(madang_never_heard_of_total[5m])'), ['madang_never_heard_of_total'], 'this test sees what is missing');
  for (const [board, json] of dashboards()) for (const panel of JSON.parse(json).panels) for (const { expr } of panel.targets) assert.deepEqual(missing(expr), [], `${board}: ${panel.title}`);
  const rules = path.join(root, 'deploy/prometheus/rules');
  for (const file of fs.readdirSync(rules)) for (const group of parse(fs.readFileSync(path.join(rules, file), 'utf8')).groups) for (const rule of group.rules) assert.deepEqual(missing(rule.expr), [], rule.alert ?? rule.record);
  const scalers = parseAllDocuments(fs.readFileSync(path.join(root, 'deploy/k8s/overlays/prod/scalers.yaml'), 'utf8')).map((document) => document.toJS());
  for (const { metadata, spec } of scalers) for (const { pods } of spec.metrics) if (pods) assert.deepEqual(missing(pods.metric.name), [], `scaler of ${metadata.name}`);
});
