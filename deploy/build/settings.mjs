// settings.mjs - docs/settings.md: every setting of every daemon in one table, from what the daemons say of themselves (--help). tests/local/settings.test.mjs compares the page
// with the daemons.
//     node deploy/build/settings.mjs build/gcc [page]     writes the page, or prints it
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

/** {name, words, otherwise} of each setting that --help lists; otherwise: the default, 'required' or 'optional'. */
export function settingsOf(daemon) {
  const help = execFileSync(daemon, ['--help'], { encoding: 'utf8' });
  return help.split('\n').flatMap((line) => {
    const found = /^ {2}([A-Z][A-Z0-9_]+) +(\S.*) \((?:default (.*)|(required|optional)(; secret)?)\)$/.exec(line);
    if (!found) return [];
    const [, name, words, value, need, secret] = found;
    return [{ name, words: words + (secret ? ` (or \`${name}_FILE\`)` : ''), otherwise: need ?? `\`${value}\`` }];
  });
}

const cell = (text) => text.replaceAll('|', '\\|');

/** Settings that stand alike in every daemon but for their default are told once. */
export function page(folder) {
  const daemons = fs.readdirSync(path.join(folder, 'bin')).filter((name) => name === 'gateway' || name.endsWith('-svc')).sort();
  const tables = new Map(daemons.map((name) => [name, settingsOf(path.join(folder, 'bin', name))]));
  const everywhere = tables.get('gateway').map(({ name }) => name).filter((name) => daemons.every((daemon) => tables.get(daemon).some((row) => row.name === name)));
  const lines = [
    '# Settings', '',
    'Every setting of every daemon. They come from the environment; a secret may also stand in the file that `NAME_FILE` names. A wrong one stops the start and says its name. `<daemon> --help` prints its own. This page is made by',
    '`make settings` from what the daemons print, and a test compares the two.', '',
    '## All daemons', '', '| setting | what | default |', '|---|---|---|',
  ];
  for (const name of everywhere) {
    const rows = daemons.map((daemon) => [daemon, tables.get(daemon).find((row) => row.name === name)]);
    const values = new Set(rows.map(([, row]) => row.otherwise));
    const value = values.size === 1 ? rows[0][1].otherwise : rows.map(([daemon, row]) => `${daemon} ${row.otherwise}`).join(', ');
    lines.push(`| \`${name}\` | ${cell(rows[0][1].words)} | ${cell(value)} |`);
  }
  for (const daemon of daemons) {
    const own = tables.get(daemon).filter(({ name }) => !everywhere.includes(name));
    lines.push('', `## ${daemon}`, '', '| setting | what | default |', '|---|---|---|');
    for (const row of own) lines.push(`| \`${row.name}\` | ${cell(row.words)} | ${cell(row.otherwise)} |`);
  }
  return `${lines.join('\n')}\n`;
}

if (process.argv[1] && path.resolve(process.argv[1]) === new URL(import.meta.url).pathname) {
  const [folder = 'build/gcc', file] = process.argv.slice(2);
  if (file) fs.writeFileSync(file, page(folder));
  else process.stdout.write(page(folder));
}
