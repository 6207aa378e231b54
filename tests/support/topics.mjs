// topics.mjs - reads topics to their ends by kcat.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { env } from './stack.mjs';

const run = promisify(execFile);

/** All records of a topic, partition by partition in order: {partition, offset, key, value} (value parsed from JSON; null: a tombstone). */
export async function readTopic(topic) {
  const { stdout } = await run(
    'kcat',
    ['-C', '-q', '-e', '-b', env.KAFKA_BROKERS, '-t', topic, '-o', 'beginning', '-J', '-X', 'isolation.level=read_committed'],
    { maxBuffer: 1 << 30, timeout: 120000 },
  );
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
    .map(({ partition, offset, key, payload }) => ({ partition, offset, key, value: valueOf(payload) }))
    .sort((a, b) => a.partition - b.partition || a.offset - b.offset);
}

/** What is no JSON (the inbox has a test that sends such things) becomes {unreadable}. */
function valueOf(payload) {
  if (payload === null) return null;
  try {
    return JSON.parse(payload);
  } catch {
    return { unreadable: payload };
  }
}

/** The last value of each key. */
export async function latest(topic) {
  return new Map((await readTopic(topic)).map(({ key, value }) => [key, value]));
}
