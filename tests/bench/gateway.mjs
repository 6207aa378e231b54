// gateway.mjs - the gateway with tokens checked, beside HAProxy 2.6 (jwt_verify) and nginx (no tokens), in one run.
//     node tests/bench/gateway.mjs build/gcc [--seconds 3] [--rounds 3] [--connections 1,64,512] [--only NAME,NAME] [--schedules real]   (those whose names hold one of these)
// One core for the proxy, the other for load generator and upstream; each round runs every proxy in turn (A B C A B C), the table
// shows medians. Ratios and CPU per request count; absolute figures are this machine's.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { es256, file, folder, freePort, gateway, hmacSecret, hs256, keys, load, machine, median, pidOf, start, stop, tokenFile, version } from './rig.mjs';
import { calm, stolenSince } from './stolen.mjs';

const build = process.argv[2] ?? 'build/gcc';
const option = (name, value) => Number(process.argv[process.argv.indexOf(`--${name}`) + 1] || value) || value;
const seconds = process.argv.includes('--seconds') ? option('seconds', 3) : 3;
const rounds = process.argv.includes('--rounds') ? option('rounds', 3) : 3;
const list = (name, otherwise) => (process.argv.includes(`--${name}`) ? process.argv[process.argv.indexOf(`--${name}`) + 1].split(',').filter(Boolean) : otherwise);
const PROXY_CORE = 0, LOAD_CORE = 1;
const FLOOR = 'floor: carries, reads nothing';
const AT_HALF = ['madang ES256, cached', 'madang ES256, cached, access log', 'haproxy HS256', 'nginx, no token check', FLOOR];

const upstreamPort = await freePort();
const upstreamProcess = await start('upstream', LOAD_CORE, path.resolve(build, 'bench/echo_upstream'), [String(upstreamPort), '200'], { port: upstreamPort });
const upstream = `127.0.0.1:${upstreamPort}`;

const publicKey = file('public.pem', keys.publicKey.export({ format: 'pem', type: 'spki' }));
const haproxyPorts = { HS256: await freePort(), ES256: await freePort() };
const frontend = (algorithm, key) => `
frontend f${algorithm}
  bind 127.0.0.1:${haproxyPorts[algorithm]}
  http-request set-var(txn.bearer) http_auth_bearer
  http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
  http-request deny deny_status 401 unless { var(txn.alg) -m str ${algorithm} }
  http-request deny deny_status 401 unless { var(txn.bearer),jwt_verify(txn.alg,"${key}") 1 }
  default_backend up
`;
const haproxyConfig = file('haproxy.cfg', `global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  http-reuse always
${frontend('HS256', hmacSecret)}${frontend('ES256', publicKey)}
backend up
  server one ${upstream}
`);
const haproxy = await start('haproxy', PROXY_CORE, '/usr/sbin/haproxy', ['-db', '-f', haproxyConfig], { port: haproxyPorts.HS256 });

const nginxPort = await freePort();
const nginxConfig = file('nginx.conf', `daemon off; master_process off; worker_processes 1; pid ${folder}/nginx.pid; error_log stderr crit;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 100000000;
  upstream up { server ${upstream}; keepalive 1024; keepalive_requests 100000000; }
  server { listen 127.0.0.1:${nginxPort};
    location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; } } }
`);
const nginx = await start('nginx', PROXY_CORE, '/usr/sbin/nginx', ['-c', nginxConfig], { port: nginxPort });

const floorPort = await freePort();
const floor = await start('floor', PROXY_CORE, path.resolve(build, 'bench/floor_proxy'), [String(floorPort), String(upstreamPort)], { port: floorPort });

const ours = await gateway(build, PROXY_CORE, upstream);
const uncached = await gateway(build, PROXY_CORE, upstream, { TOKEN_CACHE: '0' });
const logging = await gateway(build, PROXY_CORE, upstream, { ACCESS_LOG: 'on' });

// 500 people, so that nobody meets the limit of 200 requests a second and person, which stays on.
const es = tokenFile('es500', 500, es256), hs = tokenFile('hs500', 500, hs256);
const many = tokenFile('es5000', 5000, es256), manyHs = tokenFile('hs5000', 5000, hs256);

const only = list('only', ['']);
const proxies = [
  { name: 'madang ES256, cached', port: ours.port, pid: pidOf(ours.child), tokens: es },
  { name: 'madang ES256, 5,000 tokens', port: ours.port, pid: pidOf(ours.child), tokens: many },
  { name: 'madang ES256, cached, access log', port: logging.port, pid: pidOf(logging.child), tokens: es },
  { name: 'madang ES256, cache off', port: uncached.port, pid: pidOf(uncached.child), tokens: many },
  { name: 'haproxy HS256', port: haproxyPorts.HS256, pid: pidOf(haproxy), tokens: hs },
  { name: 'haproxy HS256, 5,000 tokens', port: haproxyPorts.HS256, pid: pidOf(haproxy), tokens: manyHs },
  { name: 'haproxy ES256', port: haproxyPorts.ES256, pid: pidOf(haproxy), tokens: es },
  { name: 'nginx, no token check', port: nginxPort, pid: pidOf(nginx), tokens: es },
  { name: FLOOR, port: floorPort, pid: pidOf(floor), tokens: es },
].filter(({ name }) => only.some((text) => name.includes(text)));

async function measure(proxy, connections, more = [], before = []) {
  const stolen = stolenSince();
  const figures = await load(build, LOAD_CORE, ['--url', `http://127.0.0.1:${proxy.port}/api/friends`, '--connections', connections,
    '--seconds', seconds, '--warmup', 1, '--tokens', proxy.tokens, '--rotate', '--pid', `proxy=${proxy.pid}`, ...more], before);
  if (figures.errors || figures.not_2xx)
    throw new Error(`${proxy.name}: ${figures.errors} errors, ${figures.not_2xx} replies that are not 2xx`);
  return { ...figures, stolen: stolen() };
}

console.log(`${machine()}; HAProxy ${version('/usr/sbin/haproxy', ['-v'], /version (\S+)/)}, nginx ${version('/usr/sbin/nginx', ['-v'], /nginx\/(\S+)/)}`);
console.log(`one core a proxy, ${rounds} rounds of ${seconds} s, medians; 200-byte replies`);
for (const connections of list('connections', ['1', '64', '512']).map(Number)) {
  const results = new Map(proxies.map((proxy) => [proxy, []]));
  const shares = [];
  for (let round = 0; round < rounds; round++) {
    await calm();
    const stolen = stolenSince();
    for (const proxy of proxies) results.get(proxy).push(await measure(proxy, connections));
    shares.push(stolen());
  }
  const rows = proxies.map((proxy) => {
    const all = results.get(proxy), pick = (key) => median(all.map((figures) => figures[key]));
    return { proxy: proxy.name, 'requests/s': pick('rate'), 'CPU us/request': pick('cpu_us_proxy'), 'of it user': pick('user_us_proxy'), 'p50 ms': pick('p50_ms'), 'p99 ms': pick('p99_ms') };
  });
  // Round by round, since the machine changes between rounds: the median of the ratios.
  const cpu = (name) => [...results].find(([proxy]) => proxy.name === name)?.[1].map((figures) => figures.cpu_us_proxy);
  const ratio = (peer, mine) => (cpu(peer) && cpu(mine) ? median(cpu(peer).map((each, round) => each / cpu(mine)[round])).toFixed(2) : '-');
  console.log(`\n${connections} connection${connections > 1 ? 's' : ''}; stolen in each round: ${shares.join(', ')} %`);
  console.table(rows);
  console.log(`what is left when a proxy does nothing of its own: HAProxy HS256 takes ${ratio('haproxy HS256', FLOOR)} times the floor, nginx ${ratio('nginx, no token check', FLOOR)}, ours ${ratio('madang ES256, cached', FLOOR)}`);
  console.log(`per core (CPU per request): ${ratio('haproxy HS256', 'madang ES256, cached')}x HAProxy HS256 (aim 2), ` +
    `${ratio('haproxy ES256', 'madang ES256, cached')}x HAProxy ES256, ${ratio('haproxy ES256', 'madang ES256, cache off')}x with our cache off, ` +
    `${ratio('nginx, no token check', 'madang ES256, cached')}x nginx without tokens (aim 1.3)`);
}

// What each adds at half of our own load, against the upstream alone at the same rate. Load generator and upstream share a core: by the system's time slices
// (3 ms) what is woken waits for the other's to end, and that is no proxy's doing. So it is measured in real time as well (SCHED_FIFO, as root): who is woken
// runs at once, the upstream before the generator, and nothing else of the machine takes the proxy's core.
const slice = path.resolve(build, 'bench/slice');
const full = await measure(proxies[0], 64);
const rate = Math.floor(full.rate / 2);
const contenders = [{ name: 'upstream alone', port: upstreamPort, pid: pidOf(ours.child), tokens: es }, ...proxies.filter(({ name }) => AT_HALF.includes(name))];
const inRealTime = () => {
  const wanted = [[30, upstreamProcess], ...[nginx, haproxy, floor, ours.child, logging.child].map((child) => [10, child])];
  return wanted.every(([priority, child]) => spawnSync('chrt', ['-a', '-f', '-p', String(priority), String(pidOf(child))]).status === 0);
};
const schedules = [
  { name: "time slices of the system's length", begin: () => true, before: [] },
  { name: 'time slices of 0.1 ms', begin: () => spawnSync(slice, ['100', String(pidOf(upstreamProcess))]).status === 0, before: [slice, '100'] },
  { name: 'real time', begin: inRealTime, before: ['chrt', '-f', '20'] },
].filter(({ name }) => list('schedules', ['']).some((text) => name.includes(text)));
for (const { name: schedule, begin, before } of schedules) {
  if (!begin()) {
    console.log(`\nhalf load, ${schedule}: not allowed here`);
    continue;
  }
  const latencies = new Map(contenders.map((each) => [each, []]));
  for (let round = 0; round < rounds; round++) {
    for (const each of contenders) {
      await calm();
      latencies.get(each).push(await measure(each, 64, ['--rate', rate], before));
    }
  }
  console.log(`\nhalf load (${rate}/s, open loop, 64 connections); generator and upstream on one core, ${schedule}`);
  const middle = (each, key) => median(latencies.get(each).map((figures) => figures[key]));
  const added = (each, key) => Number((middle(each, key) - middle(contenders[0], key)).toFixed(3));
  console.table(contenders.map((each) => ({ proxy: each.name, 'p50 ms': middle(each, 'p50_ms'), 'p95 ms': middle(each, 'p95_ms'), 'p99 ms': middle(each, 'p99_ms'),
    'p50 added': added(each, 'p50_ms'), 'p99 added': added(each, 'p99_ms'), 'stolen %': middle(each, 'stolen') })));
  // A pause of the host that is longer than a hundredth of a run is that run's p99, whoever is measured: so each run stands here with what was stolen from it.
  console.log('p99 ms of each run (stolen %), in turn:');
  for (const each of contenders) console.log(`  ${each.name}: ${latencies.get(each).map(({ p99_ms: p99, stolen }) => `${p99} (${stolen})`).join(', ')}`);
}
console.log('p99 added by the gateway: aim below 1 ms');
for (const child of [nginx, haproxy, floor, ours.child, uncached.child, logging.child]) await stop(child);
process.exit(0);
