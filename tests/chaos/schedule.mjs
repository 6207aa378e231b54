// schedule.mjs - who is killed when. The same seed and the same instances give the same schedule.
import { random } from '../support/wait.mjs';

const GAP_MS = [2000, 5000];
const CALM_MS = 1500; // at the beginning: every client shall have begun

/** [{at, target}]: every target once before any comes twice. */
export function makeSchedule(seed, seconds, targets) {
  const chance = random(seed);
  const kills = [];
  let deck = [];
  for (let at = CALM_MS; at < seconds * 1000; at += GAP_MS[0] + Math.floor(chance() * (GAP_MS[1] - GAP_MS[0]))) {
    if (deck.length === 0) deck = shuffle([...targets], chance);
    kills.push({ at, target: deck.pop() });
  }
  return kills;
}

function shuffle(list, chance) {
  for (let i = list.length - 1; i > 0; i--) {
    const j = Math.floor(chance() * (i + 1));
    [list[i], list[j]] = [list[j], list[i]];
  }
  return list;
}
