// compose and Kubernetes: the files are those of their tables, tools read them, and what they refer to exists: daemons, settings, secrets, labels.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse, parseAllDocuments } from 'yaml';
import { settingsOf } from '../../deploy/build/settings.mjs';
import { DAEMONS, text as composeText } from '../../deploy/compose/compose.mjs';
import { files as kubernetesFiles } from '../../deploy/k8s/make.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const build = path.resolve(root, process.env.BUILD ?? 'build/gcc');
const read = (name) => fs.readFileSync(path.join(root, name), 'utf8');
const daemons = fs.readdirSync(path.join(build, 'bin')).filter((name) => name === 'gateway' || name.endsWith('-svc'));
const knows = (daemon) => new Set(settingsOf(path.join(build, 'bin', daemon)).map(({ name }) => name));

test('[S-53] docker-compose.yml is what its table says, for every daemon that there is', () => {
  assert.equal(read('deploy/compose/docker-compose.yml'), composeText(), 'node deploy/compose/compose.mjs');
  assert.deepEqual(daemons.filter((name) => !DAEMONS.some((one) => one.name === name)), []);
});

test('[S-53] docker-compose reads both profiles, with secrets by file and no word in them', () => {
  for (const profile of ['core', 'ha']) {
    const config = parse(execFileSync('docker-compose', ['--env-file', `${profile}.env`, 'config'], { cwd: path.join(root, 'deploy/compose'), encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }));
    for (const { name } of DAEMONS) {
      const service = config.services[name];
      assert.equal(service.read_only, true, name);
      assert.deepEqual(service.cap_drop, ['ALL'], name);
      assert.equal(service.deploy.replicas, profile === 'ha' && name !== 'gateway' ? 2 : 1, name);
      for (const [setting, value] of Object.entries(service.environment)) if (setting.endsWith('_FILE')) assert.ok(config.secrets[path.basename(value)], `${name} ${setting}`);
    }
    assert.equal(config.services['kafka-1'].environment.KAFKA_MIN_INSYNC_REPLICAS, profile === 'ha' ? '2' : '1');
  }
});

test('[S-52] what a daemon is given in compose it knows, and what it requires it is given', () => {
  const services = parse(read('deploy/compose/docker-compose.yml')).services;
  for (const daemon of daemons) {
    const given = Object.keys(services[daemon].environment).map((name) => name.replace(/_FILE$/, ''));
    const known = knows(daemon);
    assert.deepEqual(given.filter((name) => !known.has(name)), [], daemon);
    const required = settingsOf(path.join(build, 'bin', daemon)).filter(({ otherwise }) => otherwise === 'required').map(({ name }) => name);
    assert.deepEqual(required.filter((name) => !given.includes(name)), [], daemon);
  }
});

test('[S-52] the script makes every secret that compose asks for, once', () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'madang-secrets-'));
  try {
    fs.copyFileSync(path.join(root, 'deploy/compose/secrets.sh'), path.join(folder, 'secrets.sh'));
    const make = () => execFileSync('sh', [path.join(folder, 'secrets.sh')], { encoding: 'utf8' });
    make();
    const all = () => Object.fromEntries(fs.readdirSync(path.join(folder, 'secrets')).map((name) => [name, fs.readFileSync(path.join(folder, 'secrets', name), 'utf8')]));
    const first = all();
    assert.deepEqual(Object.keys(first).sort(), Object.keys(parse(composeText()).secrets).sort());
    make();
    assert.deepEqual(all(), first, 'a second run changes nothing');
    for (const [role, word] of first.role_passwords.split(' ').map((pair) => pair.split('='))) assert.ok(first[`${role}_db_url`].includes(`:${word}@`), role);
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
});

test('[S-52] nothing secret can get into an image: no setting is an argument of the build, and what the local stack keeps is not sent along', () => {
  const dockerfile = read('deploy/images/Dockerfile');
  assert.deepEqual([...new Set([...dockerfile.matchAll(/^ARG (\w+)/gm)].map(([, name]) => name))].sort(), ['BASE', 'DAEMON']);
  const set = [...dockerfile.matchAll(/^ENV (.*)$/gm)].flatMap(([, line]) => line.split(' ').map((pair) => pair.split('=')[0]));
  assert.deepEqual(set.sort(), ['ADMIN_LISTEN', 'DOCS_DIR', 'LISTEN', 'WS_LISTEN']);
  const left = read('.dockerignore').split('\n');
  for (const folder of ['.git', '.run', 'build', '.cache']) assert.ok(left.includes(folder), folder);
});

test("[S-53] Kubernetes' objects are those of their table", () => {
  for (const [name, text] of kubernetesFiles()) assert.equal(read(`deploy/k8s/${name}`), `# Made by deploy/k8s/make.mjs.\n${text}`, 'node deploy/k8s/make.mjs');
});

const rendered = (overlay) => parseAllDocuments(execFileSync('kubectl', ['kustomize', `deploy/k8s/overlays/${overlay}`], { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 26 })).map((document) => document.toJS());

for (const overlay of ['dev', 'prod']) {
  test(`[S-53] overlay ${overlay}: every daemon rolls without a gap, is probed, closed in and has what it requires`, () => {
    const objects = rendered(overlay);
    const of = (kind) => objects.filter((one) => one.kind === kind);
    const deployments = new Map(of('Deployment').map((one) => [one.metadata.name, one]));
    assert.deepEqual(daemons.filter((name) => !deployments.has(name)), []);
    for (const [name, { spec }] of deployments) {
      const [container] = spec.template.spec.containers;
      assert.deepEqual(spec.strategy.rollingUpdate, { maxSurge: 1, maxUnavailable: 0 }, name);
      assert.equal(container.readinessProbe.httpGet.path, '/readyz');
      assert.equal(container.livenessProbe.httpGet.path, '/healthz');
      assert.equal(container.securityContext.readOnlyRootFilesystem, true);
      assert.ok(of('NetworkPolicy').some((one) => one.spec.podSelector.matchLabels?.['app.kubernetes.io/name'] === name), `${name} has a policy`);
      assert.ok(of('PodDisruptionBudget').some((one) => one.spec.selector.matchLabels['app.kubernetes.io/name'] === name), `${name} has a budget`);
      // A probe that fails takes an instance out of the way long before one ends it, and there is time to drain before the last signal.
      assert.equal(container.startupProbe.httpGet.path, '/healthz', name);
      assert.ok(container.readinessProbe.periodSeconds * container.readinessProbe.failureThreshold < container.livenessProbe.periodSeconds * container.livenessProbe.failureThreshold, name);
      assert.ok(spec.template.spec.terminationGracePeriodSeconds >= 30, name);
      assert.deepEqual(spec.template.spec.topologySpreadConstraints.map((one) => [one.topologyKey, one.maxSkew, one.labelSelector.matchLabels['app.kubernetes.io/name']]), [['topology.kubernetes.io/zone', 1, name], ['kubernetes.io/hostname', 1, name]]);
      assert.equal(spec.template.spec.serviceAccountName, 'madang', name);
      assert.ok(container.resources.requests.cpu && container.resources.requests.memory && container.resources.limits.memory, name);
      for (const { name: setting, value } of container.env) assert.ok(value === undefined || value.length > 0, setting);
      if (!daemons.includes(name)) continue;
      const known = knows(name), given = container.env.map((one) => one.name);
      assert.deepEqual(given.filter((one) => !known.has(one) && one !== 'ADVERTISE_HOST'), [], name);
      const required = settingsOf(path.join(build, 'bin', name)).filter(({ otherwise }) => otherwise === 'required').map((one) => one.name);
      assert.deepEqual(required.filter((one) => !given.includes(one)), [], name);
    }
    assert.ok(of('NetworkPolicy').some((one) => one.metadata.name === 'nothing-by-default' && !Object.keys(one.spec.podSelector).length));
    const open = of('NetworkPolicy').filter((one) => one.spec.ingress?.some((rule) => !rule.from && rule.ports?.some(({ port }) => port === 8080)));
    assert.deepEqual(open.map((one) => one.metadata.name), ['gateway'], 'only the gateway is public');
    for (const budget of of('PodDisruptionBudget')) assert.equal(budget.spec.maxUnavailable, 1, budget.metadata.name);
    const scalers = new Map(of('HorizontalPodAutoscaler').map((one) => [one.metadata.name, one]));
    if (overlay === 'prod') for (const name of ['match-svc', 'order-svc', 'chat-svc', 'gateway']) assert.ok(scalers.has(name), `${name} is scaled`);
    for (const scaler of scalers.values()) {
      assert.ok(deployments.has(scaler.spec.scaleTargetRef.name));
      assert.deepEqual(scaler.spec.metrics.map(({ type }) => type), ['Resource', 'Pods'], 'on CPU and on what waits');
      if (['match-svc', 'order-svc', 'chat-svc'].includes(scaler.metadata.name)) assert.equal(scaler.spec.behavior.scaleDown.stabilizationWindowSeconds, 600);
      if (overlay === 'prod') assert.equal(deployments.get(scaler.metadata.name).spec.replicas, scaler.spec.minReplicas);
    }
  });
}
