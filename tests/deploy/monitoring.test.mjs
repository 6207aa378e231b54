// Alarms and dashboards: the rules load, every alarm fires on recorded samples and names a page that exists, and no expression asks for a metric that no daemon has.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { dashboards } from '../../deploy/grafana/make.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const deploy = path.join(root, 'deploy');
const read = (...names) => fs.readFileSync(path.join(deploy, ...names), 'utf8');
const run = (command, ...args) => execFileSync(command, args, { cwd: deploy, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const ruleFiles = fs.readdirSync(path.join(deploy, 'prometheus/rules'));
const rules = ruleFiles.flatMap((name) => parse(read('prometheus/rules', name)).groups.flatMap((group) => group.rules));
const alarms = rules.filter((rule) => rule.alert);

test('[S-51] Prometheus takes its configuration and rules, Alertmanager its own', () => {
  for (const name of ruleFiles) assert.match(run('promtool', 'check', 'rules', `prometheus/rules/${name}`), /SUCCESS/);
  assert.match(run('promtool', 'check', 'config', 'prometheus/prometheus.yml'), /SUCCESS/);
  assert.match(run('amtool', 'check-config', 'alertmanager/alertmanager.yml'), /SUCCESS/);
});

test('[S-51] every alarm fires on what it is for', () => {
  const cases = fs.readdirSync(path.join(deploy, 'prometheus/tests'));
  assert.match(run('promtool', 'test', 'rules', ...cases.map((name) => `prometheus/tests/${name}`)), /SUCCESS/);
  const fired = new Set(cases.flatMap((name) => parse(read('prometheus/tests', name)).tests.flatMap((one) => one.alert_rule_test ?? []).filter((one) => one.exp_alerts?.length).map((one) => one.alertname)));
  assert.deepEqual(alarms.map((rule) => rule.alert).filter((name) => !fired.has(name)), [], 'alarms that no case fires');
});

test('[S-51] every alarm names a page of the runbooks, and every page of an alarm exists', () => {
  for (const { alert, annotations } of alarms) assert.ok(annotations.runbook && fs.existsSync(path.join(root, annotations.runbook)), `${alert}: ${annotations.runbook}`);
});

// What the daemons may say, read from their sources: whole names, and the last parts of those that begin with a service's prefix.
const sources = execFileSync('grep', ['-rhoE', '"(madang_[a-z_0-9]+|(%s_)?(http|ws)_[a-z_0-9]+|process_[a-z_0-9]+|[a-z_]+)"', '--include=*.c', '--include=*.h', 'common', 'gateway', ...fs.readdirSync(root).filter((name) => name.endsWith('-svc'))], { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 });
const literals = new Set(sources.split('\n').map((line) => line.slice(1, -1)));
const text = execFileSync('cat', [path.join(root, 'common/metrics.c'), path.join(root, 'common/http_admin.c')], { encoding: 'utf8' });
const tails = [...literals].filter((name) => /^(%s_)?(http|ws)_/.test(name)).map((name) => name.replace('%s_', ''));

function unknown(expression) {
  const names = new Set(expression.match(/\b(?:madang|process)_[a-z_0-9]+/g) ?? []);
  const missing = [...names].filter((name) => !name.endsWith('_')).filter((name) => {
    const base = name.replace(/_(bucket|count|sum)$/, '');
    return !literals.has(name) && !literals.has(base) && !text.includes(base) && !tails.some((tail) => base.endsWith(tail));
  });
  for (const [, pattern] of expression.matchAll(/__name__=~"madang_\[a-z\]\+_([a-z_]+)"/g)) if (!tails.includes(pattern) && !tails.includes(pattern.replace('http_', ''))) missing.push(pattern);
  return missing;
}

test('[S-51] no rule and no panel asks for a metric that no daemon has', () => {
  assert.deepEqual(unknown('sum(madang_never_heard_of_total)'), ['madang_never_heard_of_total'], 'this test sees what is missing');
  for (const rule of rules) assert.deepEqual(unknown(rule.expr), [], rule.alert ?? rule.record);
  for (const [name, json] of dashboards()) for (const panel of JSON.parse(json).panels) for (const target of panel.targets) assert.deepEqual(unknown(target.expr), [], `${name}: ${panel.title}`);
});

test('[S-51] the dashboards are those of their table (node deploy/grafana/make.mjs)', () => {
  for (const [name, json] of dashboards()) assert.equal(read('grafana/dashboards', `${name}.json`), json);
  assert.equal(fs.readdirSync(path.join(deploy, 'grafana/dashboards')).length, dashboards().size);
});
