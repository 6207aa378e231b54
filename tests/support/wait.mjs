// wait.mjs - waiting for conditions, never for times.
import { setTimeout as sleep } from 'node:timers/promises';

/** Machines differ: what a test gives a condition is for a quick one that has nothing else to do. A deadline only ends what hangs; it asserts nothing. */
const PATIENCE = 3;
export const patience = (ms) => PATIENCE * ms;

/** Calls `look` until it returns something true, which is the result. Throws after patience(`ms`) with `what` and the last error or value. */
export async function eventually(ms, look, what = String(look), step = 25) {
  const until = performance.now() + patience(ms);
  for (let last; ; await sleep(step)) {
    try {
      last = await look();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    if (performance.now() >= until) {
      throw new Error(`not within ${patience(ms)} ms: ${what}; at last: ${last instanceof Error ? last.message : JSON.stringify(last)}`);
    }
  }
}

/** Between two looks at the world, or to let load run for a while; never to wait for a result. */
export const pause = (ms) => sleep(ms);

/** Splitmix32: numbers in [0, 1) that a printed seed brings back. */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32;
  };
}
