// env.mjs - NAME=value lines as a shell sources them. (support/stack.mjs has the same for the stack that runs; this one needs none.)
import fs from 'node:fs';

export function readEnv(file) {
  const lines = fs.readFileSync(file, 'utf8').split('\n');
  return Object.fromEntries(lines.map((line) => /^([A-Z][A-Z0-9_]*)='?(.*?)'?$/.exec(line)).filter(Boolean).map((match) => [match[1], match[2]]));
}
