// topics.mjs - reads topics to their ends, and writes market.commands, by kcat.
import { execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import { decodeCommand, decodeEvents, encodeCommand } from './market.mjs';
import { env } from './stack.mjs';

const run = promisify(execFile);

/** All records of a topic as bytes, partition by partition in order: {partition, offset, at_ms, key, headers: {name: text}, bytes} (bytes null: a tombstone). `bundles: false`: messages as they are. */
export async function readBytes(topic, { from = 'beginning', bundles = true } = {}) {
  const format = '%p %o %T %K %S %h\n%k%s\n';
  const { stdout } = await run('kcat', ['-C', '-q', '-e', '-b', env.KAFKA_BROKERS, '-t', topic, '-o', String(from), '-f', format, '-X', 'isolation.level=read_committed'], {
    maxBuffer: 1 << 30,
    timeout: 120000,
    encoding: 'buffer',
  });
  const records = [];
  for (let at = 0; at < stdout.length; ) {
    const start = stdout.indexOf(10, at) + 1;
    const [partition, offset, at_ms, keyLength, length, ...headers] = stdout.toString('utf8', at, start - 1).split(' ');
    const middle = start + Math.max(0, Number(keyLength)), end = middle + Math.max(0, Number(length));
    const message = {
      partition: Number(partition),
      offset: Number(offset),
      at_ms: Number(at_ms),
      key: stdout.toString('utf8', start, middle),
      headers: Object.fromEntries(headers.join(' ').split(/,(?=[a-z-]+=)/).filter(Boolean).map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)])),
      bytes: Number(length) < 0 ? null : stdout.subarray(middle, end),
    };
    records.push(...(bundles ? openBundle(message) : [message]));
    at = end + 1;
  }
  return records.sort((a, b) => a.partition - b.partition || a.offset - b.offset);
}

const BUNDLE = Buffer.from([0, 0x4d, 0x42, 1]), HEADERS = [null, 'x-request-id', 'traceparent', 'corr', 'users', 'given', 'unfinished'];

/** The records of a message: its own, or those of the bundle that it is (common/kafka_bundle.h), with its offset and key. */
export function openBundle(message) {
  const { bytes } = message;
  if (!bytes || bytes.length <= 4 || !bytes.subarray(0, 4).equals(BUNDLE)) return [message];
  const records = [];
  for (let at = 4; at < bytes.length; ) {
    const end = at + 4 + bytes.readUInt32LE(at), middle = at + 8 + bytes.readUInt32LE(at + 4), headers = {};
    for (let place = middle; place < end; ) {
      const length = bytes.readUInt32LE(place + 1);
      headers[HEADERS[bytes[place]]] = bytes.toString('utf8', place + 5, place + 5 + length);
      place += 5 + length + 1;
    }
    records.push({ ...message, headers, bytes: bytes.subarray(at + 8, middle) });
    at = end;
  }
  return records;
}

/** Topics whose records are no JSON: how each is read. */
const BINARY = { 'market.commands': decodeCommand, 'market.events': decodeEvents };

/** All records of a topic, partition by partition in order: {partition, offset, key, value} (value parsed from JSON or from the market's binary forms; null: a tombstone). */
export async function readTopic(topic) {
  return (await readBytes(topic)).map(({ partition, offset, key, bytes }) => ({ partition, offset, key, value: valueOf(topic, bytes) }));
}

/** What is no JSON (the inbox has a test that sends such things) becomes {unreadable}. */
function valueOf(topic, bytes) {
  if (bytes === null) return null;
  try {
    return BINARY[topic] ? BINARY[topic](bytes) : JSON.parse(bytes.toString('utf8'));
  } catch {
    return { unreadable: bytes.toString('utf8') };
  }
}

/** Sends commands of markets (see market.mjs), in order, and comes back when the brokers have them. `headers` go with each. */
export async function sendCommands(commands, headers = {}) {
  const end = `<<${randomUUID()}>>`, keyEnd = `<:${randomUUID()}:>`;
  const child = spawn('kcat', ['-P', '-b', env.KAFKA_BROKERS, '-t', 'market.commands', '-D', end, '-K', keyEnd, '-X', 'partitioner=murmur2_random', '-X', 'enable.idempotence=true',
    ...Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}=${value}`])], { stdio: ['pipe', 'ignore', 'pipe'] });
  let words = '';
  child.stderr.on('data', (chunk) => (words += chunk));
  const done = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => (status === 0 ? resolve() : reject(new Error(`kcat: ${words}`))));
  });
  child.stdin.on('error', () => {}); // the status tells
  child.stdin.end(Buffer.concat(commands.flatMap((command) => [Buffer.from(command.market + keyEnd), encodeCommand(command), Buffer.from(end)])));
  await done;
}

/** The last value of each key. */
export async function latest(topic) {
  return new Map((await readTopic(topic)).map(({ key, value }) => [key, value]));
}
