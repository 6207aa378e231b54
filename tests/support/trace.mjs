// trace.mjs - prints every requirement id of what stands with the tests that carry it. Exit status 1 when one that is not for later
// has none, or when a test names an id that does not exist.
//   C:    TEST(name, "P-01 S-02")         Node: test('[P-01][S-02] title', ...), and verdict('[P-01] ...') in tests/chaos
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const tests = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const brief = process.argv.includes('--missing');

const span = (letter, from, to) => Array.from({ length: to - from + 1 }, (_, i) => `${letter}-${String(from + i).padStart(2, '0')}`);
const IDS = [
  ...span('P', 1, 33),
  ...span('P', 35, 48), // P-34 and P-49 are the client's
  ...span('S', 1, 55),
  ...span('M', 1, 14),
  ...span('M', 45, 55),
  'M-64',
  'M-65',
  ...span('K', 1, 6),
  ...span('K', 41, 46),
  'K-50',
  ...span('D', 1, 5),
  ...span('D', 47, 51),
  'D-53',
  'D-54',
];

// Of the whole product: tests may name what other issues bring.
const ALL = new Set([...span('P', 1, 49), ...span('S', 1, 55), ...span('M', 1, 67), ...span('K', 1, 58), ...span('D', 1, 62)]);

// What waits for other services. `all`: nothing of it can be shown yet.
const LATER = {
  'M-11': { part: 'owned clubs and meetups end with the account', why: 'comes with meet-svc' },
  'M-12': { part: 'the four lists and counts of clubs and meetups', why: 'come with meet-svc' },
  'M-13': { all: true, part: 'the list of liked clubs and meetups', why: 'comes with meet-svc' },
  'M-14': { part: 'blocks hide clubs, meetups and reviews', why: 'comes with meet-svc' },
  'D-05': { part: 'my parties and posts in the profile', why: 'come with meet-svc and board-svc' },
};

function files(folder) {
  return fs.readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const full = path.join(folder, entry.name);
    if (entry.isDirectory()) return ['node_modules', 'support', 'corpus'].includes(entry.name) ? [] : files(full);
    return /\.(c|mjs)$/.test(entry.name) ? [full] : [];
  });
}

/** [{where, title, ids}] of one file. */
function marks(file) {
  const text = fs.readFileSync(file, 'utf8');
  const where = path.relative(tests, file);
  const found = [];
  if (file.endsWith('.c')) {
    for (const [, name, shows] of text.matchAll(/^TEST\(\s*(\w+)\s*,\s*((?:"[^"]*"\s*)+)\)/gm)) {
      found.push({ where, title: name, ids: shows.match(/\b[A-Z]+-\d+\b/g) ?? [] });
    }
  } else {
    for (const [, , title] of text.matchAll(/\b(?:test|it|describe|suite|verdict)\s*\(\s*(['"`])((?:\\.|(?!\1)[^\\])*)\1/g)) {
      found.push({ where, title, ids: [...title.matchAll(/\[([A-Z]+-\d+)\]/g)].map((match) => match[1]) });
    }
  }
  return found;
}

const byId = new Map(IDS.map((id) => [id, []]));
const strangers = [];
let count = 0;
for (const mark of files(tests).sort().flatMap(marks)) {
  count++;
  for (const id of new Set(mark.ids)) {
    if (byId.has(id)) byId.get(id).push(mark);
    else if (!ALL.has(id)) strangers.push(`${mark.where}: ${id}`);
  }
}

const missing = IDS.filter((id) => byId.get(id).length === 0 && !LATER[id]?.all);
for (const id of IDS) {
  const shown = byId.get(id);
  if (brief && !missing.includes(id)) continue;
  console.log(`${id}  ${shown.length ? `${shown.length} test${shown.length > 1 ? 's' : ''}` : LATER[id]?.all ? 'later' : 'NO TEST'}`);
  for (const { where, title } of shown) console.log(`      ${where}: ${title.replace(/(\[[A-Z]+-\d+\])+ */g, '')}`);
  if (LATER[id]) console.log(`      later: ${LATER[id].part} (${LATER[id].why})`);
}
for (const stranger of strangers) console.log(`unknown id in ${stranger}`);
const later = IDS.filter((id) => LATER[id]?.all).length;
console.log(
  `${IDS.length} ids, ${count} tests: ${IDS.length - missing.length - later} shown, ${later} later, ${missing.length} without a test${missing.length ? `: ${missing.join(' ')}` : ''}`,
);
process.exitCode = missing.length || strangers.length ? 1 : 0;
