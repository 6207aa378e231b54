// compose.mjs - docker-compose.yml from one table: node deploy/compose/compose.mjs writes it. Ten daemons differ in a few words; by hand they would drift apart. tests/deploy looks that the file is the table's.
import fs from 'node:fs';
import path from 'node:path';

// name, the schema's role (its URL is a secret), more secrets, more settings, sockets, MiB it may take
export const DAEMONS = [
  { name: 'gateway', settings: { GATEWAY_ADDRESSES: '' }, memory: 256, port: '${GATEWAY_PORT:-8080}:8080' },
  { name: 'auth-svc', database: 'auth', secrets: { AUTH_SECRET: 'auth_secret' }, settings: { PUBLIC_URL: '${PUBLIC_URL:-http://localhost:8080}', AUTH_FIRST_ADMIN: '${FIRST_ADMIN:-}' }, memory: 256 },
  { name: 'user-svc', database: 'user', secrets: { FILES_SECRET: 'files_secret' }, settings: { DATA_DIR: '/data' }, volumes: ['files:/data'], memory: 128 },
  { name: 'chat-svc', database: 'chat', secrets: { FILES_SECRET: 'files_secret' }, settings: { DATA_DIR: '/data' }, volumes: ['files:/data'], memory: 256 },
  { name: 'presence-svc', database: 'presence', memory: 128 },
  { name: 'push-svc', database: 'push', memory: 128 },
  { name: 'notify-svc', database: 'notify', memory: 128 },
  { name: 'match-svc', database: 'match', memory: 512 },
  { name: 'order-svc', database: 'order', memory: 256 },
  { name: 'game-svc', database: 'game', settings: { GAME_ALIGN: 'on' }, memory: 128 },
];
const ROLES = DAEMONS.map(({ database }) => database).filter(Boolean);
const KAFKA_ALL = 'kafka-1:9092,kafka-2:9092,kafka-3:9092';

function daemon({ name, database, secrets = {}, settings = {}, volumes = [], memory, port }) {
  const files = { ...(database ? { [`${database.toUpperCase()}_DB_URL`]: `${database}_db_url` } : {}), ...secrets };
  const environment = {
    REDIS_URL: 'redis://redis:6379', KAFKA_BROKERS: '${KAFKA_BROKERS:-kafka-1:9092}', PROFILE: '${PROFILE:-production}', GATEWAY_ADDRESSES: '172.16.0.0/12,192.168.0.0/16,10.0.0.0/8',
    ...settings, ...Object.fromEntries(Object.entries(files).map(([setting, secret]) => [`${setting}_FILE`, `/run/secrets/${secret}`])),
  };
  return {
    image: `\${PREFIX:-madang/}${name}:\${TAG:-0.1.0}`,
    build: { context: '../..', dockerfile: 'deploy/images/Dockerfile', target: name === 'gateway' ? 'gateway' : 'daemon', args: { DAEMON: name } },
    profiles: ['core', 'ha'], restart: 'unless-stopped', read_only: true, tmpfs: ['/tmp'], cap_drop: ['ALL'], security_opt: ['no-new-privileges:true'], stop_grace_period: '30s',
    mem_limit: `${memory}m`, pids_limit: 256, environment,
    ...(Object.keys(files).length ? { secrets: Object.values(files) } : {}), ...(volumes.length ? { volumes } : {}), ...(port ? { ports: [port] } : {}),
    deploy: { replicas: port ? 1 : '${REPLICAS:-1}' },
    depends_on: { redis: { condition: 'service_healthy' }, ...(database ? { schemas: { condition: 'service_completed_successfully' } } : {}) },
  };
}

const check = (command, start = '30s') => ({ test: ['CMD-SHELL', command], interval: '5s', timeout: '5s', retries: 12, start_period: start });

function kafka(id, profiles) {
  const voters = profiles.includes('core') ? '${KAFKA_VOTERS:-1@kafka-1:9093}' : '1@kafka-1:9093,2@kafka-2:9093,3@kafka-3:9093';
  return {
    image: 'apache/kafka:4.3.1', profiles, restart: 'unless-stopped', mem_limit: '1g', volumes: [`kafka-${id}:/var/lib/kafka/data`],
    environment: {
      KAFKA_NODE_ID: id, KAFKA_PROCESS_ROLES: 'broker,controller', KAFKA_CONTROLLER_QUORUM_VOTERS: voters, KAFKA_LISTENERS: 'PLAINTEXT://:9092,CONTROLLER://:9093',
      KAFKA_ADVERTISED_LISTENERS: `PLAINTEXT://kafka-${id}:9092`, KAFKA_CONTROLLER_LISTENER_NAMES: 'CONTROLLER', KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
      KAFKA_INTER_BROKER_LISTENER_NAME: 'PLAINTEXT', KAFKA_AUTO_CREATE_TOPICS_ENABLE: 'false', KAFKA_LOG_DIRS: '/var/lib/kafka/data', CLUSTER_ID: 'bWFkYW5nLWNvbXBvc2UtMQ',
      KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: '${KAFKA_COPIES:-1}', KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: '${KAFKA_COPIES:-1}', KAFKA_TRANSACTION_STATE_LOG_MIN_ISR: 1,
      KAFKA_MIN_INSYNC_REPLICAS: '${KAFKA_IN_SYNC:-1}', KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS: 0, KAFKA_HEAP_OPTS: '-Xmx512m -Xms512m',
    },
    healthcheck: check('/opt/kafka/bin/kafka-broker-api-versions.sh --bootstrap-server localhost:9092'),
  };
}

export function compose() {
  const services = {
    postgres: {
      image: 'postgres:15', profiles: ['core', 'ha'], restart: 'unless-stopped', shm_size: '256m', mem_limit: '1g', secrets: ['postgres_password', 'replication_password'], volumes: ['postgres:/var/lib/postgresql/data', './postgres:/docker-entrypoint-initdb.d:ro'],
      environment: { POSTGRES_USER: 'madang_owner', POSTGRES_DB: 'madang', POSTGRES_PASSWORD_FILE: '/run/secrets/postgres_password' },
      command: ['postgres', '-c', 'max_connections=400', '-c', 'wal_level=replica', '-c', 'max_wal_senders=8', '-c', 'hot_standby=on'],
      healthcheck: check('pg_isready -U madang_owner -d madang'),
    },
    'postgres-standby': {
      image: 'postgres:15', profiles: ['ha'], restart: 'unless-stopped', mem_limit: '1g', user: 'postgres', secrets: ['replication_password'], volumes: ['standby:/var/lib/postgresql/data', './standby.sh:/standby.sh:ro'],
      entrypoint: ['/bin/sh', '/standby.sh'], depends_on: { postgres: { condition: 'service_healthy' } }, healthcheck: check('pg_isready'),
    },
    // Schemas and roles, safe to repeat: ends by itself.
    schemas: {
      image: 'postgres:15', profiles: ['core', 'ha'], restart: 'on-failure', secrets: ['postgres_password', 'role_passwords'], volumes: ['../postgres:/init:ro'], depends_on: { postgres: { condition: 'service_healthy' } },
      entrypoint: ['/bin/sh', '-c', 'PGPASSWORD=$$(cat /run/secrets/postgres_password) PG_URL=postgresql://madang_owner@postgres:5432/madang PG_ROLE_PASSWORDS="$$(cat /run/secrets/role_passwords)" exec sh /init/init.sh'],
    },
    redis: { image: 'redis:7', profiles: ['core', 'ha'], restart: 'unless-stopped', mem_limit: '256m', command: ['redis-server', '--save', '', '--appendonly', 'no', '--maxmemory', '200mb', '--maxmemory-policy', 'noeviction'], healthcheck: check('redis-cli ping', '5s') },
    'kafka-1': kafka(1, ['core', 'ha']), 'kafka-2': kafka(2, ['ha']), 'kafka-3': kafka(3, ['ha']),
    ...Object.fromEntries(DAEMONS.map((one) => [one.name, daemon(one)])),
    prometheus: { image: 'prom/prometheus:v2.53.0', profiles: ['core', 'ha'], restart: 'unless-stopped', mem_limit: '512m', ports: ['127.0.0.1:9090:9090'], volumes: ['../prometheus/prometheus.yml:/etc/prometheus/prometheus.yml:ro', '../prometheus/rules:/etc/prometheus/rules:ro', 'prometheus:/prometheus'] },
    alertmanager: { image: 'prom/alertmanager:v0.27.0', profiles: ['core', 'ha'], restart: 'unless-stopped', mem_limit: '128m', ports: ['127.0.0.1:9093:9093'], secrets: ['slack_webhook'], volumes: ['../alertmanager/alertmanager.yml:/etc/alertmanager/alertmanager.yml:ro'] },
    grafana: {
      image: 'grafana/grafana:11.1.0', profiles: ['core', 'ha'], restart: 'unless-stopped', mem_limit: '256m', ports: ['127.0.0.1:3000:3000'], secrets: ['grafana_password'],
      environment: { GF_SECURITY_ADMIN_PASSWORD__FILE: '/run/secrets/grafana_password', GF_ANALYTICS_REPORTING_ENABLED: 'false', GF_ANALYTICS_CHECK_FOR_UPDATES: 'false' },
      volumes: ['../grafana/provisioning:/etc/grafana/provisioning:ro', '../grafana/dashboards:/var/lib/grafana/dashboards:ro', 'grafana:/var/lib/grafana'],
    },
  };
  const secrets = ['postgres_password', 'replication_password', 'role_passwords', ...ROLES.map((role) => `${role}_db_url`), 'auth_secret', 'files_secret', 'slack_webhook', 'grafana_password'];
  const volumes = ['postgres', 'standby', 'kafka-1', 'kafka-2', 'kafka-3', 'files', 'prometheus', 'grafana'];
  return { services, secrets: Object.fromEntries(secrets.map((name) => [name, { file: `./secrets/${name}` }])), volumes: Object.fromEntries(volumes.map((name) => [name, {}])) };
}

const HEAD = `# Made by compose.mjs; deploy/compose/README.md tells how to start it.
`;
/** YAML as JSON writes its texts: every string quoted, so nothing is taken for something else. */
export function yaml(value, depth = 0) {
  const pad = '  '.repeat(depth);
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) {
    if (!value.some((item) => item && typeof item === 'object')) return `[${value.map((item) => yaml(item)).join(', ')}]`;
    return value.map((item) => `${pad}- ${yaml(item, depth + 1).trimStart()}`).join('\n');
  }
  const keys = Object.keys(value);
  if (!keys.length) return '{}';
  return keys.map((key) => {
    const item = value[key];
    const nested = item && typeof item === 'object' && (Array.isArray(item) ? item.some((one) => one && typeof one === 'object') : Object.keys(item).length);
    return `${pad}${key}:${nested ? `\n${yaml(item, depth + 1)}` : ` ${yaml(item)}`}`;
  }).join('\n');
}
export const text = () => `${HEAD}${yaml(compose())}\n`;

if (process.argv[1] && path.resolve(process.argv[1]) === new URL(import.meta.url).pathname) fs.writeFileSync(new URL('docker-compose.yml', import.meta.url), text());
