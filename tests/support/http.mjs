// http.mjs - a small HTTP client: keep-alive, deadlines, bodies of any kind, and bytes as they are for what no client would send.
import { randomInt } from 'node:crypto';
import http from 'node:http';
import net from 'node:net';
import { patience } from './wait.mjs';

// CONTRACT=on: replies of routes that docs/openapi.yaml has must be what it says; CONTRACT=tell: what is not is only told.
const contract = process.env.CONTRACT ? await import('./contract.mjs').then(({ breach }) => (method, url, reply) => breach(method, new URL(url).pathname, reply)) : undefined;

export const agent = new http.Agent({ keepAlive: true, maxSockets: 1024, keepAliveMsecs: 1000 });

const REPEATABLE = new Set(['GET', 'HEAD', 'PUT', 'DELETE']);

/**
 * One request. `body`: an object is sent as JSON; a string, Buffer or stream as it is. Never throws for a status; rejects when no whole
 * reply came. Result: {status, headers, text, json, problem} (json: parsed body or undefined; problem: its code, of problem+json only).
 */
export function request(method, url, { headers = {}, body, token, timeout = patience(15000), via = agent } = {}) {
  return new Promise((resolve, reject) => {
    const all = { ...headers };
    let payload = body;
    if (body !== undefined && !Buffer.isBuffer(body) && typeof body !== 'string' && typeof body?.pipe !== 'function') {
      payload = JSON.stringify(body);
      all['Content-Type'] ??= 'application/json';
    }
    if (token) all.Authorization = `Bearer ${token}`;
    if (typeof payload === 'string') payload = Buffer.from(payload);
    if (Buffer.isBuffer(payload)) all['Content-Length'] ??= payload.length;
    const outgoing = http.request(url, { method, headers: all, agent: via });
    const timer = setTimeout(() => outgoing.destroy(new Error(`no reply in ${timeout} ms: ${method} ${url}`)), timeout);
    let reply;
    const fail = (error) => {
      clearTimeout(timer);
      reject(error);
    };
    outgoing.on('response', (incoming) => {
      // An answer before the end of the body: what is left of it is not wanted.
      if (typeof payload?.destroy === 'function') payload.destroy();
      const parts = [];
      incoming.on('data', (part) => parts.push(part));
      incoming.on('error', fail);
      incoming.on('aborted', () => fail(new Error('the reply was cut')));
      incoming.on('end', () => {
        clearTimeout(timer);
        reply = replyOf(incoming.statusCode, incoming.headers, Buffer.concat(parts));
        const wrong = contract?.(method, url, reply);
        if (wrong && process.env.CONTRACT === 'tell') console.error(`CONTRACT ${wrong}`);
        if (wrong && process.env.CONTRACT === 'on') reject(new Error(`not what docs/openapi.yaml says: ${wrong}`));
        else resolve(reply);
      });
    });
    let answered = false;
    outgoing.on('response', () => (answered = true));
    outgoing.on('error', (error) => {
      // The server had closed the kept connection for its idleness, and this process was too busy to see it: as browsers do, once more on another.
      if (error.code === 'ECONNRESET' && outgoing.reusedSocket && !answered && REPEATABLE.has(method) && typeof payload?.pipe !== 'function') {
        clearTimeout(timer);
        resolve(request(method, url, { headers, body, token, timeout, via: false }));
        return;
      }
      // A server may answer and close before it has read the whole body: then the reply counts, not the broken pipe.
      setTimeout(() => (reply ? undefined : fail(error)), 50);
    });
    if (typeof payload?.pipe === 'function') payload.pipe(outgoing);
    else outgoing.end(payload);
  });
}

/** A port that was free a moment ago, for servers that can't tell theirs or come back at the same one: below those that the kernel gives to outgoing connections, or one of these might have it by then. */
export function freePort(tries = 100) {
  const port = randomInt(16000, 20000);
  return new Promise((resolve, reject) => {
    const probe = net.createServer();
    probe.once('error', (error) => (error.code === 'EADDRINUSE' && tries > 1 ? resolve(freePort(tries - 1)) : reject(error)));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(port)));
  });
}

function replyOf(status, headers, bytes) {
  const text = bytes.toString('utf8');
  const type = headers['content-type'] ?? '';
  let json;
  if (/json/.test(type)) {
    try {
      json = JSON.parse(text);
    } catch {
      json = undefined;
    }
  }
  return { status, headers, bytes, text, json, problem: type.startsWith('application/problem+json') ? json?.code : undefined };
}

/** Requests of one base address, with a token if there is one. */
export class Api {
  constructor(base, token) {
    this.base = base;
    this.token = token;
  }
  call(method, path, options = {}) {
    return request(method, this.base + path, { token: this.token, ...options });
  }
  get(path, options) {
    return this.call('GET', path, options);
  }
  post(path, body, options) {
    return this.call('POST', path, { body, ...options });
  }
  put(path, body, options) {
    return this.call('PUT', path, { body, ...options });
  }
  patch(path, body, options) {
    return this.call('PATCH', path, { body, ...options });
  }
  delete(path, body, options) {
    return this.call('DELETE', path, { body, ...options });
  }
}

/**
 * Sends bytes as they are and reads until the other side closes, `enough` says so, or `timeout` passes.
 * Result: {text, status, body, closed}; status 0: no reply.
 */
export function raw(url, bytes, { timeout = patience(8000), enough = wholeReply } = {}) {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = net.connect(Number(port), hostname);
    const parts = [];
    let closed = false;
    const done = () => {
      clearTimeout(timer);
      socket.destroy();
      const text = Buffer.concat(parts).toString('latin1');
      resolve({
        text,
        status: Number(/^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1] ?? 0),
        body: text.split('\r\n\r\n').slice(1).join('\r\n\r\n'),
        closed,
      });
    };
    const timer = setTimeout(done, timeout);
    socket.on('connect', () => socket.write(bytes));
    socket.on('data', (part) => {
      parts.push(part);
      if (enough(Buffer.concat(parts).toString('latin1'))) done();
    });
    socket.on('close', () => {
      closed = true;
      done();
    });
    socket.on('error', () => {
      closed = true;
    });
  });
}

function wholeReply(text) {
  const [head, ...rest] = text.split('\r\n\r\n');
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  return rest.length > 0 && length !== undefined && rest.join('\r\n\r\n').length >= Number(length);
}
