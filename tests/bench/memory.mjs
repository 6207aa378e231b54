// memory.mjs - PSS of every daemon at rest, with all of them running, and what 1,000 idle tunnels add to a gateway.
//     make up && node tests/bench/memory.mjs build/gcc
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { es256, freePort, gateway, machine, pidOf, stop } from './rig.mjs';

const build = process.argv[2] ?? 'build/gcc';
const runDir = process.env.RUN_DIR ?? '.run';
const TUNNELS = 1000;

function pss(pid) {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kb = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)[1]);
  return { 'PSS kB': kb('Pss'), 'private dirty kB': kb('Private_Dirty'), 'RSS kB': kb('Rss') };
}

console.log(machine());
if (existsSync(runDir)) {
  const rows = {};
  for (const name of readdirSync(runDir).filter((file) => /^(gateway|[a-z]+-svc)-\d+\.pid$/.test(file)).sort()) {
    const pid = Number(readFileSync(path.join(runDir, name), 'utf8'));
    if (existsSync(`/proc/${pid}`)) rows[name.slice(0, -4)] = pss(pid);
  }
  console.log('at rest, all daemons running (aim: PSS of each at most 10,240 kB)');
  console.table(rows);
  if (!Object.keys(rows).length) console.log('nothing runs: `make up` first');
}

// An upstream that takes every upgrade and then says nothing.
const sockets = new Set();
const upstream = net.createServer((socket) => {
  sockets.add(socket);
  socket.on('error', () => {});
  socket.once('data', () => socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n'));
});
const port = await freePort();
await new Promise((resolve) => upstream.listen(port, '127.0.0.1', resolve));
const ours = await gateway(build, null, `127.0.0.1:${port}`);

function tunnel(token) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(ours.port, '127.0.0.1', () => socket.write(`GET /ws/chat HTTP/1.1\r\nHost: 127.0.0.1:${ours.port}\r\nConnection: Upgrade\r\n` +
      `Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer ${token}\r\n\r\n`));
    socket.once('data', (bytes) => (bytes.toString().startsWith('HTTP/1.1 101') ? resolve(socket) : reject(new Error(bytes.toString().slice(0, 300)))));
    socket.once('error', reject);
  });
}
const open = [await tunnel(es256())];
const before = pss(pidOf(ours.child));
while (open.length <= TUNNELS) open.push(await tunnel(es256()));
const after = pss(pidOf(ours.child));
console.log(`${TUNNELS} idle tunnels: ${after['PSS kB'] - before['PSS kB']} kB more (aim at most 4,096), ` +
  `${((after['PSS kB'] - before['PSS kB']) * 1024 / TUNNELS).toFixed(0)} bytes each; gateway before ${before['PSS kB']} kB`);
for (const socket of open) socket.destroy();
for (const socket of sockets) socket.destroy();
await stop(ours.child);
process.exit(0);
