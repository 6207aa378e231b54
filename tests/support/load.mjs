// load.mjs - closed-loop load: n clients, each does one thing after the other until it is told to stop.
import { pause } from './wait.mjs';

/**
 * Starts the clients. `act(client, turn)` does one request and returns a reply or throws; what is wrong with it says `judge(reply, error)`
 * (a text, or nothing). Result: {stop(), done, wrong[]}: done counts requests; stop waits for the last ones.
 */
export function load(n, act, judge = lost) {
  const state = { done: 0, wrong: [], stopping: false };
  const loops = Array.from({ length: n }, async (_, client) => {
    for (let turn = 0; !state.stopping; turn++) {
      let reply, error;
      const began = performance.now();
      try {
        reply = await act(client, turn);
      } catch (thrown) {
        error = thrown;
      }
      state.done++;
      const why = judge(reply, error);
      if (why) state.wrong.push(`${why} (client ${client}, turn ${turn}, began ${began | 0}, took ${(performance.now() - began) | 0} ms)`);
      // A server that refuses at once shall not be asked ten thousand times a second.
      if (why) await pause(20);
    }
  });
  state.stop = async () => {
    state.stopping = true;
    await Promise.all(loops);
    return state;
  };
  /** Until so many more requests are done. */
  state.more = async (requests) => {
    for (const goal = state.done + requests; state.done < goal;) await pause(5);
  };
  return state;
}

/** Failed = no reply, a 5xx, or a token that was good a moment ago. */
export function lost(reply, error) {
  if (error) return `no reply: ${error.code ?? ''} ${error.message}`;
  if (reply && (reply.status >= 500 || reply.status === 401)) return `${reply.status} ${reply.problem ?? reply.text?.slice(0, 100)}`;
  return undefined;
}
