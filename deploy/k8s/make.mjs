// make.mjs - the objects of Kubernetes for ten daemons from one table: node deploy/k8s/make.mjs writes base/*.yaml and the overlays. tests/deploy looks that the files are the table's.
import fs from 'node:fs';
import path from 'node:path';
import { yaml } from '../compose/compose.mjs';

// name, role of its schema, other secrets, sockets, what it owns partitions of (each move is a pause, so it scales down slowly), needs the internet, CPU (milli), MiB asked and at most, instances in prod
const DAEMONS = [
  { name: 'gateway', prefix: 'gateway', cpu: 500, memory: [64, 512], prod: [2, 8] },
  { name: 'auth-svc', prefix: 'auth', database: 'auth', secrets: { AUTH_SECRET: 'auth-secret' }, internet: true, cpu: 250, memory: [64, 256], prod: [2, 4] },
  { name: 'user-svc', prefix: 'user', database: 'user', secrets: { FILES_SECRET: 'files-secret', S3_SECRET_KEY: 's3-secret-key' }, internet: true, cpu: 250, memory: [32, 128], prod: [2, 6] },
  { name: 'chat-svc', prefix: 'chat', database: 'chat', secrets: { FILES_SECRET: 'files-secret', S3_SECRET_KEY: 's3-secret-key' }, sockets: true, owner: true, internet: true, cpu: 500, memory: [128, 512], prod: [2, 6] },
  { name: 'presence-svc', prefix: 'presence', database: 'presence', cpu: 100, memory: [32, 128], prod: [2, 4] },
  { name: 'push-svc', prefix: 'push', database: 'push', internet: true, cpu: 100, memory: [32, 128], prod: [2, 4] },
  { name: 'notify-svc', prefix: 'notify', database: 'notify', internet: true, cpu: 100, memory: [32, 256], prod: [2, 4] },
  { name: 'match-svc', prefix: 'match', database: 'match', sockets: true, owner: true, cpu: 500, memory: [128, 1024], prod: [2, 6] },
  { name: 'order-svc', prefix: 'order', database: 'order', owner: true, cpu: 500, memory: [64, 256], prod: [2, 6] },
  { name: 'game-svc', prefix: 'game', database: 'game', cpu: 100, memory: [32, 128], prod: [2, 2] },
];
const PODS = '10.0.0.0/8,172.16.0.0/12,192.168.0.0/16'; // only the gateway reaches a service at all (NetworkPolicy), so the pod network may be believed
const labels = (name) => ({ 'app.kubernetes.io/name': name, 'app.kubernetes.io/part-of': 'madang' });
const selector = (name) => ({ matchLabels: labels(name) });
const meta = (name, more = {}) => ({ metadata: { name, labels: labels(name), ...more } });
const port = (number) => ({ port: number, protocol: 'TCP' });
const peers = (...names) => names.map((name) => ({ podSelector: selector(name) }));

function deployment({ name, database, secrets = {}, sockets, cpu, memory }) {
  const keys = { ...(database ? { [`${database.toUpperCase()}_DB_URL`]: `${database}-db-url` } : {}), ...secrets };
  const env = [
    { name: 'REDIS_URL', value: 'redis://redis:6379' }, { name: 'KAFKA_BROKERS', value: 'madang-kafka-bootstrap:9092' }, { name: 'ADVERTISE_HOST', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
    { name: 'ADVERTISE', value: '$(ADVERTISE_HOST):8080' }, ...(sockets ? [{ name: 'WS_ADVERTISE', value: '$(ADVERTISE_HOST):8081' }] : []), { name: 'INSTANCE', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
    { name: 'GATEWAY_ADDRESSES', value: PODS },
    ...Object.entries(keys).map(([setting, key]) => ({ name: setting, valueFrom: { secretKeyRef: { name: 'madang', key, ...(key.startsWith('s3') ? { optional: true } : {}) } } })),
  ];
  const probe = (page, more) => ({ httpGet: { path: page, port: 'admin' }, periodSeconds: 2, timeoutSeconds: 2, ...more });
  return {
    apiVersion: 'apps/v1', kind: 'Deployment', ...meta(name),
    spec: {
      replicas: 1, revisionHistoryLimit: 5, selector: selector(name),
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } }, minReadySeconds: 5,
      template: {
        metadata: { labels: labels(name) },
        spec: {
          serviceAccountName: 'madang', automountServiceAccountToken: false, terminationGracePeriodSeconds: 40,
          securityContext: { runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532, seccompProfile: { type: 'RuntimeDefault' } },
          topologySpreadConstraints: ['topology.kubernetes.io/zone', 'kubernetes.io/hostname'].map((topologyKey) => ({ maxSkew: 1, topologyKey, whenUnsatisfiable: 'ScheduleAnyway', labelSelector: selector(name) })),
          containers: [{
            name: 'daemon', image: `madang/${name}:0.1.0`, imagePullPolicy: 'IfNotPresent', env, envFrom: [{ configMapRef: { name: `${name}-settings`, optional: true } }],
            ports: [{ name: 'http', containerPort: 8080 }, ...(sockets ? [{ name: 'sockets', containerPort: 8081 }] : []), { name: 'admin', containerPort: 9080 }],
            startupProbe: probe('/healthz', { failureThreshold: 60 }), livenessProbe: probe('/healthz', { periodSeconds: 10, failureThreshold: 3 }), readinessProbe: probe('/readyz', { failureThreshold: 3 }),
            resources: { requests: { cpu: `${cpu}m`, memory: `${memory[0]}Mi` }, limits: { memory: `${memory[1]}Mi` } },
            securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
            volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
          }],
          volumes: [{ name: 'tmp', emptyDir: { medium: 'Memory', sizeLimit: '64Mi' } }],
        },
      },
    },
  };
}

const budget = ({ name }) => ({ apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', ...meta(name), spec: { maxUnavailable: 1, selector: selector(name) } });

// CPU, and requests that wait for a worker (by a custom-metrics adapter over Prometheus). Each move of a partition is a pause: owners shrink slowly, one at a time.
function scaler({ name, prefix, prod: [least, most], owner }) {
  const waiting = name === 'gateway' ? 'madang_gateway_in_flight' : `madang_${prefix}_http_queue_length`;
  return {
    apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', ...meta(name),
    spec: {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name }, minReplicas: least, maxReplicas: most,
      metrics: [
        { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 70 } } },
        { type: 'Pods', pods: { metric: { name: waiting }, target: { type: 'AverageValue', averageValue: name === 'gateway' ? '1000' : '100' } } },
      ],
      behavior: {
        scaleUp: { stabilizationWindowSeconds: 30, policies: [{ type: 'Pods', value: 2, periodSeconds: 30 }] },
        scaleDown: { stabilizationWindowSeconds: owner ? 600 : 180, policies: [{ type: 'Pods', value: 1, periodSeconds: owner ? 300 : 60 }] },
      },
    },
  };
}

function policy({ name, database, sockets, internet }) {
  const ingress = [{ from: [{ namespaceSelector: { matchLabels: { 'madang/monitoring': 'true' } } }], ports: [port(9080)] }];
  if (name === 'gateway') ingress.push({ ports: [port(8080)] });
  else ingress.push({ from: peers('gateway'), ports: [port(8080), ...(sockets ? [port(8081)] : [])] });
  if (name === 'auth-svc') ingress.push({ from: [{ podSelector: { matchLabels: { 'app.kubernetes.io/part-of': 'madang' } } }], ports: [port(8080)] }); // keys and revocations
  const egress = [
    { to: [{ namespaceSelector: {} }], ports: [{ port: 53, protocol: 'UDP' }, port(53)] },
    { to: peers('redis'), ports: [port(6379)] },
    { to: peers('auth-svc'), ports: [port(8080)] },
  ];
  if (name === 'gateway') egress.push({ to: [{ podSelector: { matchLabels: { 'app.kubernetes.io/part-of': 'madang' } } }], ports: [port(8080), port(8081)] });
  else egress.push({ to: [{ podSelector: { matchLabels: { 'strimzi.io/cluster': 'madang' } } }], ports: [port(9092)] });
  if (database) egress.push({ to: [{ podSelector: { matchLabels: { 'cnpg.io/cluster': 'madang-db' } } }], ports: [port(5432)] });
  if (internet) egress.push({ to: [{ ipBlock: { cidr: '0.0.0.0/0', except: PODS.split(',') } }], ports: [port(443), port(587)] });
  return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', ...meta(name), spec: { podSelector: selector(name), policyTypes: ['Ingress', 'Egress'], ingress, egress } };
}

const documents = (...objects) => objects.map((object) => `${yaml(object)}\n`).join('---\n');

function shared() {
  return documents(
    { apiVersion: 'v1', kind: 'ServiceAccount', ...meta('madang'), automountServiceAccountToken: false },
    { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', ...meta('nothing-by-default'), spec: { podSelector: {}, policyTypes: ['Ingress', 'Egress'] } },
    // The one public door. Services are found by the registry; this one is for the outside.
    { apiVersion: 'v1', kind: 'Service', ...meta('gateway'), spec: { type: 'LoadBalancer', externalTrafficPolicy: 'Local', selector: labels('gateway'), ports: [{ name: 'http', port: 80, targetPort: 'http', protocol: 'TCP' }] } },
  );
}

// What Prometheus' operator scrapes.
const monitor = () => documents(
    { apiVersion: 'monitoring.coreos.com/v1', kind: 'PodMonitor', ...meta('madang'), spec: { selector: { matchLabels: { 'app.kubernetes.io/part-of': 'madang' } }, podMetricsEndpoints: [{ port: 'admin', interval: '15s', relabelings: [{ sourceLabels: ['__meta_kubernetes_pod_label_app_kubernetes_io_name'], targetLabel: 'service' }, { targetLabel: 'job', replacement: 'madang' }] }] } },
);

function stores() {
  const init = Object.fromEntries(['init.sh', 'init.sql'].map((name) => [name, fs.readFileSync(new URL(`../postgres/${name}`, import.meta.url), 'utf8')]));
  return documents(
    { apiVersion: 'apps/v1', kind: 'StatefulSet', ...meta('redis'), spec: {
      serviceName: 'redis', replicas: 1, selector: selector('redis'), template: { metadata: { labels: labels('redis') }, spec: { automountServiceAccountToken: false, securityContext: { runAsNonRoot: true, runAsUser: 999 }, containers: [{
        name: 'redis', image: 'redis:7', args: ['--save', '', '--appendonly', 'no', '--maxmemory', '200mb', '--maxmemory-policy', 'noeviction'], ports: [{ name: 'redis', containerPort: 6379 }],
        readinessProbe: { exec: { command: ['redis-cli', 'ping'] } }, resources: { requests: { cpu: '100m', memory: '64Mi' }, limits: { memory: '256Mi' } } }] } } } },
    { apiVersion: 'v1', kind: 'Service', ...meta('redis'), spec: { selector: labels('redis'), ports: [{ name: 'redis', port: 6379, targetPort: 'redis', protocol: 'TCP' }] } },
    { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', ...meta('redis'), spec: { podSelector: selector('redis'), policyTypes: ['Ingress', 'Egress'], ingress: [{ from: [{ podSelector: { matchLabels: { 'app.kubernetes.io/part-of': 'madang' } } }], ports: [port(6379)] }] } },
    // CloudNativePG: one primary, two standbys. The job makes the schemas and roles (deploy/postgres), safe to repeat.
    { apiVersion: 'postgresql.cnpg.io/v1', kind: 'Cluster', ...meta('madang-db'), spec: {
      instances: 3, minSyncReplicas: 1, maxSyncReplicas: 1, imageName: 'ghcr.io/cloudnative-pg/postgresql:15', enableSuperuserAccess: true, storage: { size: '20Gi' },
      bootstrap: { initdb: { database: 'madang', owner: 'madang_owner' } },
      postgresql: { parameters: { max_connections: '400', shared_buffers: '512MB' } }, resources: { requests: { cpu: '1', memory: '2Gi' }, limits: { memory: '2Gi' } } } },
    { apiVersion: 'v1', kind: 'ConfigMap', ...meta('schemas'), data: init },
    { apiVersion: 'batch/v1', kind: 'Job', ...meta('schemas'), spec: { backoffLimit: 30, template: { metadata: { labels: labels('schemas') }, spec: {
      restartPolicy: 'OnFailure', automountServiceAccountToken: false, securityContext: { runAsNonRoot: true, runAsUser: 999 },
      containers: [{ name: 'schemas', image: 'postgres:15', command: ['sh', '/init/init.sh'], volumeMounts: [{ name: 'init', mountPath: '/init' }],
        env: [{ name: 'PGPASSWORD', valueFrom: { secretKeyRef: { name: 'madang-db-superuser', key: 'password' } } }, { name: 'PG_URL', value: 'postgresql://postgres@madang-db-rw:5432/madang' }, { name: 'PG_ROLE_PASSWORDS', valueFrom: { secretKeyRef: { name: 'madang', key: 'role-passwords' } } }] }],
      volumes: [{ name: 'init', configMap: { name: 'schemas' } }] } } } },
    { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', ...meta('schemas'), spec: { podSelector: selector('schemas'), policyTypes: ['Egress'], egress: [
      { to: [{ namespaceSelector: {} }], ports: [{ port: 53, protocol: 'UDP' }, port(53)] }, { to: [{ podSelector: { matchLabels: { 'cnpg.io/cluster': 'madang-db' } } }], ports: [port(5432)] }] } },
    // The stores' own pods are kept by their operators: they may talk among themselves, to the services and to the API server.
    ...[['madang-db', { 'cnpg.io/cluster': 'madang-db' }], ['madang-kafka', { 'strimzi.io/cluster': 'madang' }]].map(([name, matchLabels]) => ({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', ...meta(name), spec: { podSelector: { matchLabels }, policyTypes: ['Ingress', 'Egress'], ingress: [{}], egress: [{}] } })),
    { apiVersion: 'kafka.strimzi.io/v1', kind: 'KafkaNodePool', metadata: { name: 'brokers', labels: { 'strimzi.io/cluster': 'madang' } }, spec: { replicas: 3, roles: ['broker', 'controller'], storage: { type: 'jbod', volumes: [{ id: 0, type: 'persistent-claim', size: '50Gi', deleteClaim: false, kraftMetadata: 'shared' }] }, resources: { requests: { cpu: '1', memory: '2Gi' }, limits: { memory: '2Gi' } } } },
    { apiVersion: 'kafka.strimzi.io/v1', kind: 'Kafka', metadata: { name: 'madang' }, spec: {
      kafka: { version: '4.3.1', metadataVersion: '4.3-IV0', listeners: [{ name: 'plain', port: 9092, type: 'internal', tls: false }],
        config: { 'auto.create.topics.enable': false, 'default.replication.factor': 3, 'min.insync.replicas': 2, 'offsets.topic.replication.factor': 3, 'transaction.state.log.replication.factor': 3, 'transaction.state.log.min.isr': 2 } },
      entityOperator: { topicOperator: {}, userOperator: {} } } },
  );
}

export function files() {
  const out = new Map(DAEMONS.map((one) => [`base/${one.name}.yaml`, documents(deployment(one), budget(one), policy(one))]));
  out.set('base/shared.yaml', shared());
  out.set('base/kustomization.yaml', `${yaml({ apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization', namespace: 'madang', resources: ['shared.yaml', ...DAEMONS.map(({ name }) => `${name}.yaml`)] })}\n`);
  out.set('overlays/prod/scalers.yaml', documents(...DAEMONS.filter(({ prod: [least, most] }) => most > least).map(scaler)));
  out.set('overlays/prod/stores.yaml', stores());
  out.set('overlays/prod/monitor.yaml', monitor());
  out.set('overlays/prod/replicas.yaml', documents(...DAEMONS.map(({ name, prod: [least] }) => ({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name }, spec: { replicas: least } }))));
  out.set('overlays/prod/kustomization.yaml', `${yaml({ apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization', namespace: 'madang', bases: ['../../base'], resources: ['stores.yaml', 'scalers.yaml', 'monitor.yaml'], patchesStrategicMerge: ['replicas.yaml'] })}\n`);
  out.set('overlays/dev/settings.yaml', documents(...DAEMONS.map(({ name }) => ({ apiVersion: 'v1', kind: 'ConfigMap', ...meta(`${name}-settings`), data: { PROFILE: 'dev', LOG_LEVEL: 'debug' } }))));
  out.set('overlays/dev/kustomization.yaml', `${yaml({ apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization', namespace: 'madang-dev', bases: ['../../base'], resources: ['settings.yaml'] })}\n`);
  return out;
}

if (process.argv[1] && path.resolve(process.argv[1]) === new URL(import.meta.url).pathname)
  for (const [name, text] of files()) fs.writeFileSync(new URL(name, import.meta.url), `# Made by deploy/k8s/make.mjs.\n${text}`);
