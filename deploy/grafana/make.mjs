// make.mjs - Grafana's dashboards from the table below: node deploy/grafana/make.mjs writes dashboards/*.json. The files are what Grafana reads; tests/deploy looks that they are the table's and
// that every metric in them exists.
import fs from 'node:fs';
import path from 'node:path';

const rate = (metric, by) => `sum by (${by}) (rate(${metric}[$__rate_interval]))`;
const quantile = (q, metric, by = '') => `histogram_quantile(${q}, sum by (${by ? `${by}, ` : ''}le) (rate(${metric}_bucket[$__rate_interval])))`;

// [title, unit, [expression, legend]...]; of each dashboard
const TABLE = {
  overview: ['Madang: overview', [
    ['Instances that answer', 'short', ['sum by (service) (up{job="madang"})', '{{service}}']],
    ['Checks of readiness that fail', 'short', ['1 - min by (service, check) (madang_ready)', '{{service}} {{check}}']],
    ['Requests at the gateway', 'reqps', [rate('madang_gateway_requests_total', 'status'), '{{status}}']],
    ['Time at the gateway', 's', [quantile(0.5, 'madang_gateway_request_seconds'), 'p50'], [quantile(0.99, 'madang_gateway_request_seconds'), 'p99']],
    ['Answers of 5xx by service', 'reqps', [rate('madang_gateway_upstream_errors_total', 'service'), '{{service}}']],
    ['Events that wait in an outbox', 's', ['max by (service) (madang_outbox_oldest_seconds)', '{{service}}']],
    ['Messages not applied yet', 'short', ['sum by (service, topic) (madang_kafka_lag)', '{{service}} {{topic}}']],
    ['Oldest record not applied yet', 's', ['max by (service, topic) (madang_kafka_oldest_seconds)', '{{service}} {{topic}}']],
    ['Instances in the registry', 'short', ['max(madang_registry_instances)', 'instances'], ['max by (instance) (madang_registry_stale)', 'stale at {{instance}}']],
    ['Memory', 'bytes', ['sum by (service) (process_resident_memory_bytes{job="madang"})', '{{service}}']],
    ['CPU', 'percentunit', ['sum by (service) (rate(process_cpu_seconds_total{job="madang"}[$__rate_interval]))', '{{service}}']],
  ]],
  gateway: ['Madang: gateway', [
    ['Requests by route', 'reqps', [rate('madang_gateway_requests_total', 'route'), '{{route}}']],
    ['Answers by class', 'reqps', [rate('madang_gateway_requests_total', 'status'), '{{status}}']],
    ['p99 by route', 's', [quantile(0.99, 'madang_gateway_request_seconds', 'route'), '{{route}}']],
    ['Open connections', 'short', ['sum by (instance) (madang_gateway_connections)', '{{instance}}']],
    ['Requests being answered', 'short', ['sum by (instance) (madang_gateway_in_flight)', '{{instance}}']],
    ['Requests by instance of a service', 'reqps', [rate('madang_gateway_upstream_requests_total', 'service, instance'), '{{service}} {{instance}}']],
    ['Breakers that are open', 'short', ['sum by (service, instance) (madang_gateway_upstream_open)', '{{service}} {{instance}}']],
    ['Connections that failed', 'reqps', [rate('madang_gateway_upstream_failures_total', 'service, instance'), '{{service}} {{instance}}']],
  ]],
  realtime: ['Madang: realtime', [
    ['Sockets', 'short', ['sum by (service) ({__name__=~"madang_[a-z]+_ws_connections"})', '{{service}}']],
    ['STOMP sessions', 'short', ['sum(madang_chat_stomp_sessions)', 'sessions']],
    ['Commands of rooms', 'ops', [rate('madang_chat_commands_total', 'outcome'), '{{outcome}}']],
    ['Commands past chat.inbound', 'ops', [rate('madang_chat_lane_total', 'outcome'), '{{outcome}}']],
    ['A batch of commands', 's', [quantile(0.5, 'madang_chat_batch_seconds'), 'p50'], [quantile(0.99, 'madang_chat_batch_seconds'), 'p99']],
    ['Messages given to subscriptions', 'ops', ['sum(rate(madang_chat_live_delivered_total[$__rate_interval]))', 'delivered']],
    ['Bytes out of sockets', 'Bps', ['sum by (service) (rate({__name__=~"madang_[a-z]+_ws_bytes_out_total"}[$__rate_interval]))', '{{service}}']],
    ['Slow readers cut', 'ops', ['sum by (service) (rate({__name__=~"madang_[a-z]+_ws_cut_total"}[$__rate_interval]))', '{{service}}']],
    ['Signals of presence', 'ops', [rate('madang_signals_total', 'service, result'), '{{service}} {{result}}']],
    ['Streams of notices', 'short', ['sum(madang_notify_streams)', 'streams']],
    ['Deliveries', 'ops', [rate('madang_notify_deliveries_total', 'channel, outcome'), '{{channel}} {{outcome}}']],
    ['Deliveries that wait', 'short', ['max by (channel) (madang_notify_deliveries_waiting)', '{{channel}}']],
    ['Pushes', 'ops', [rate('madang_push_sends_total', 'channel, result'), '{{channel}} {{result}}']],
    ['Pushes that wait', 'short', ['max(madang_push_queue)', 'queue']],
  ]],
  trading: ['Madang: trading', [
    ['Commands of markets', 'ops', [rate('madang_match_commands_total', 'result'), '{{result}}']],
    ['Events of engines', 'ops', ['sum(rate(madang_match_events_total[$__rate_interval]))', 'events']],
    ['A batch of commands', 's', [quantile(0.5, 'madang_match_batch_seconds'), 'p50'], [quantile(0.99, 'madang_match_batch_seconds'), 'p99']],
    ['Matching alone, of a core', 'percentunit', ['sum by (instance) (rate(madang_match_work_nanoseconds_total[$__rate_interval])) / 1e9', '{{instance}}']],
    ['Markets', 'short', ['sum by (state) (madang_match_markets)', '{{state}}']],
    ['Taking a partition over', 's', [quantile(0.99, 'madang_match_takeover_seconds'), 'p99']],
    ['Events settled', 'ops', ['sum(rate(madang_order_events_settled_total[$__rate_interval]))', 'events'], ['sum(rate(madang_order_trades_settled_total[$__rate_interval]))', 'trades']],
    ['A batch of settlement', 's', [quantile(0.5, 'madang_order_settle_seconds'), 'p50'], [quantile(0.99, 'madang_order_settle_seconds'), 'p99']],
    ['Orders answered', 'reqps', ['sum by (code) (rate(madang_order_http_requests_total{route="/api/orders", method="POST"}[$__rate_interval]))', '{{code}}']],
    ['Viewers', 'short', ['sum(madang_match_feed_viewers)', 'viewers']],
    ['Frames given to viewers', 'ops', ['sum(rate(madang_match_feed_delivered_total[$__rate_interval]))', 'delivered'], ['sum(rate(madang_match_feed_conflated_total[$__rate_interval]))', 'conflated']],
    ['Lateness of the round clock', 's', [quantile(0.99, 'madang_game_step_lateness_seconds', 'step'), '{{step}}']],
    ['Phase of the round', 'short', ['max(madang_game_round_phase)', 'phase']],
  ]],
  stores: ['Madang: stores', [
    ['SQL statements', 's', [quantile(0.5, 'madang_pg_query_seconds', 'service'), '{{service}} p50'], [quantile(0.99, 'madang_pg_query_seconds', 'service'), '{{service}} p99']],
    ['Statements a second', 'ops', [rate('madang_pg_query_seconds_count', 'service'), '{{service}}']],
    ['Statements that failed', 'ops', [rate('madang_pg_failures_total', 'service'), '{{service}}']],
    ['Connections in use', 'short', ['sum by (service) (madang_pg_connections_in_use)', '{{service}}']],
    ['Records sent to Kafka', 'ops', [rate('madang_kafka_sent_total', 'service'), '{{service}}']],
    ['Records applied', 'ops', [rate('madang_kafka_records_total', 'service, topic, result'), '{{service}} {{topic}} {{result}}']],
    ['Messages not applied yet', 'short', ['sum by (service, topic) (madang_kafka_lag)', '{{service}} {{topic}}']],
    ['Oldest record not applied yet', 's', ['max by (service, topic) (madang_kafka_oldest_seconds)', '{{service}} {{topic}}']],
    ['Records of a batch', 'short', ['sum by (service, topic) (rate(madang_kafka_records_total{result="applied"}[$__rate_interval])) / sum by (service, topic) (rate(madang_kafka_batches_total[$__rate_interval]))', '{{service}} {{topic}}']],
    ['Statements that wait for a connection', 'short', ['sum by (service) (madang_pg_waiting)', '{{service}}']],
    ['Partitions stopped', 'short', ['sum by (service, topic) (madang_kafka_stopped_partitions)', '{{service}} {{topic}}']],
    ['Sends that failed', 'ops', [rate('madang_kafka_send_failures_total', 'service'), '{{service}}']],
    ['Events that left the outbox', 'ops', [rate('madang_outbox_sent_total', 'service'), '{{service}}']],
    ['Events in the outbox', 'short', ['max by (service) (madang_outbox_waiting)', '{{service}}']],
  ]],
};

function panel([title, unit, ...series], at) {
  return {
    id: at + 1, title, type: 'timeseries', datasource: { type: 'prometheus', uid: 'madang' },
    gridPos: { x: (at % 3) * 8, y: Math.floor(at / 3) * 8, w: 8, h: 8 },
    fieldConfig: { defaults: { unit, min: 0, custom: { lineWidth: 1, fillOpacity: 10, showPoints: 'never' } }, overrides: [] },
    options: { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi', sort: 'desc' } },
    targets: series.map(([expr, legendFormat], i) => ({ refId: String.fromCharCode(65 + i), expr, legendFormat })),
  };
}

/** name -> the text of its file */
export function dashboards() {
  return new Map(Object.entries(TABLE).map(([name, [title, panels]]) => [name, `${JSON.stringify({
    uid: `madang-${name}`, title, tags: ['madang'], timezone: 'browser', schemaVersion: 38, version: 1, refresh: '15s', time: { from: 'now-1h', to: 'now' },
    panels: panels.map(panel), templating: { list: [] }, annotations: { list: [] },
  }, null, 1)}\n`]));
}

if (process.argv[1] && path.resolve(process.argv[1]) === new URL(import.meta.url).pathname)
  for (const [name, text] of dashboards()) fs.writeFileSync(new URL(`dashboards/${name}.json`, import.meta.url), text);
