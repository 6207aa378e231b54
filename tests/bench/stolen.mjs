// stolen.mjs - what the host takes away from a machine that shares it: a run with a third of its processors stolen says nothing about the program. Each run's share stands
// beside its figures, and CALM=2 has a benchmark wait (ten minutes at most) before each run until less than two percent are stolen while every core is asked for.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';

const LOOK_SECONDS = 2, PAUSE_MS = 5000, PATIENCE_MS = 600_000;

/** Of all processors since the start, in ticks: proc_stat(5). */
function ticks() {
  const all = fs.readFileSync('/proc/stat', 'utf8').split('\n', 1)[0].trim().split(/\s+/).slice(1, 9).map(Number);
  return { all: all.reduce((sum, each) => sum + each, 0), stolen: all[7] };
}

/** Begins to look; what it returns tells the percentage that was stolen since. */
export function stolenSince() {
  const before = ticks();
  return () => {
    const now = ticks();
    return Math.round((1000 * (now.stolen - before.stolen)) / Math.max(1, now.all - before.all)) / 10;
  };
}

/** Waits for a calm machine when CALM (percent) is set. */
export async function calm() {
  const most = Number(process.env.CALM ?? NaN);
  if (Number.isNaN(most)) return;
  for (const until = Date.now() + PATIENCE_MS; ; await pause(PAUSE_MS)) {
    const stolen = stolenSince();
    const spinners = os.cpus().map(() => new Promise((resolve) => spawn('timeout', [String(LOOK_SECONDS), 'sh', '-c', 'while :; do :; done'], { stdio: 'ignore' }).on('close', resolve)));
    await Promise.all(spinners);
    const share = stolen();
    if (share < most) return;
    if (Date.now() > until) {
      console.log(`no calm minute: ${share} % stolen`);
      return;
    }
  }
}
