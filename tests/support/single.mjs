// single.mjs - one service alone, as a developer starts it: make run-<service>, beside what already runs.
import { spawn } from 'node:child_process';
import { isReady, root, runDir } from './stack.mjs';
import { request } from './http.mjs';
import { eventually } from './wait.mjs';

/** Starts it and waits until it is ready: {name, url, admin, kill(signal), exited}. The caller ends it. */
export async function runService(service) {
  const child = spawn('make', ['--no-print-directory', `run-${service}`], {
    cwd: root,
    // Its own process group: make and the daemon get signals together.
    detached: true,
    env: { ...process.env, RUN_DIR: runDir, MAKEFLAGS: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (part) => (output = (output + part).slice(-20000)));
  const exited = new Promise((resolve) => child.on('exit', (code, signal) => resolve({ code, signal })));
  const kill = (what) => {
    try {
      process.kill(-child.pid, what);
    } catch {
      // it is gone already
    }
  };
  try {
    const [, url, admin] = await eventually(
      120000,
      () => {
        if (child.exitCode !== null) throw new Error(`it ended: ${output}`);
        return / at (http:\/\/\S+), admin (http:\/\/\S+)/.exec(output);
      },
      `make run-${service} says its address`,
    );
    const instance = { name: `${service}-dev`, url, admin };
    await eventually(30000, () => isReady(instance), `${instance.name} is ready`);
    return { ...instance, kill, exited, output: () => output };
  } catch (error) {
    kill('SIGKILL');
    throw new Error(`${error.message}\n${output}`);
  }
}

/** The gateway's view of a service: [{instance, state, ...}] from the JSON of /registry. everywhere: each of its threads may send requests there. */
export async function registryOf(gateway, service) {
  const reply = await request('GET', `${gateway.admin}/registry`, { headers: { Accept: 'application/json' } });
  const entry = reply.json.services.find((item) => item.service === service);
  return (entry?.instances ?? []).map((item) => ({ ...item, everywhere: item.threads === reply.json.threads }));
}
