// stomp_kit.mjs - two clients for the sockets: `Raw` says and hears frames as they are (over npm's ws), `connectStomp` is the standard library.
import { Client } from '@stomp/stompjs';
import WebSocket from 'ws';
import { eventually } from '../support/wait.mjs';

export const room = (one) => `/topic/rooms.${one.id ?? one}`;
export const to = (one, what = 'messages') => `/app/rooms.${one.id ?? one}.${what}`;
export const EVENTS = '/user/queue/events';
export const ERRORS = '/user/queue/errors';

/** One frame out of text; header values are left escaped. */
export function parseFrame(text) {
  const end = text.indexOf('\n\n');
  const [command, ...lines] = text.slice(0, end).split('\n');
  const headers = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    headers[line.slice(0, colon)] ??= line.slice(colon + 1);
  }
  const body = text.slice(end + 2, text.endsWith('\0') ? -1 : undefined);
  let json;
  try {
    json = JSON.parse(body);
  } catch {
    json = undefined;
  }
  return { command, headers, body, json };
}

export class Raw {
  constructor(url, { token, protocols = ['v12.stomp'], headers = {}, ticket, ...options } = {}) {
    const address = ticket ? `${url}?ticket=${encodeURIComponent(ticket)}` : url;
    this.frames = [];
    this.beats = 0;
    this.socket = new WebSocket(address, protocols, { headers: { ...headers, ...(token && { Authorization: `Bearer ${token}` }) }, perMessageDeflate: false, ...options });
    this.opened = new Promise((resolve, reject) => {
      this.socket.on('open', resolve);
      this.socket.on('error', reject);
      this.socket.on('unexpected-response', (req, res) => {
        let text = '';
        res.on('data', (part) => (text += part));
        res.on('end', () => reject(Object.assign(new Error(`refused: ${res.statusCode} ${text}`), { status: res.statusCode, text })));
      });
    });
    this.opened.catch(() => {});
    this.socket.on('message', (data) => {
      const text = data.toString();
      if (text === '\n') this.beats++;
      else this.frames.push({ ...parseFrame(text), heard: performance.now() });
    });
    this.closed = new Promise((resolve) => this.socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() })));
    this.closed.then((how) => (this.end = how));
  }
  send(command, headers = {}, body = '') {
    const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`);
    this.socket.send(`${command}\n${lines.join('')}\n${body}\0`);
  }
  /** The first frame that fits and was not taken before. */
  async take(fits, ms = 8000, what = String(fits)) {
    const index = await eventually(ms, () => {
      const found = this.frames.findIndex((frame) => !frame.taken && fits(frame));
      return found >= 0 ? found + 1 : 0;
    }, `${what}; frames: ${JSON.stringify(this.frames.slice(-5))} ${JSON.stringify(this.end ?? '')}`, 5);
    this.frames[index - 1].taken = true;
    return this.frames[index - 1];
  }
  frame(command, ms) {
    return this.take((frame) => frame.command === command, ms, command);
  }
  receipt(id, ms) {
    return this.take((frame) => frame.command === 'RECEIPT' && frame.headers['receipt-id'] === id, ms, `receipt ${id}`);
  }
  body(fits, ms, what = String(fits)) {
    return this.take((frame) => frame.json && fits(frame.json, frame), ms, what).then((frame) => frame.json);
  }
  async connect(headers = {}) {
    await this.opened;
    this.send('CONNECT', { 'accept-version': '1.2', host: 'madang', ...headers });
    this.connected = await this.frame('CONNECTED');
    return this;
  }
  async subscribe(destination, id, headers = {}) {
    this.send('SUBSCRIBE', { id, destination, receipt: `s-${id}`, ...headers });
    await this.receipt(`s-${id}`);
    return this;
  }
  messages(id) {
    return this.frames.filter(({ command, headers, json }) => command === 'MESSAGE' && headers.subscription === id && json?.type === 'message').map(({ json }) => json);
  }
  close() {
    this.socket.terminate();
  }
}

/** A connected Raw of a person. */
export async function connectRaw(instance, person, options = {}) {
  return new Raw(instance.wsUrl ?? instance, { token: person.token, ...options }).connect();
}

/** A connected client of @stomp/stompjs. `stompVersions` as the library has it; `headers`: of CONNECT. */
export async function connectStomp(url, { stompVersions, headers = {}, webSocketFactory, ...options } = {}) {
  const client = new Client({
    brokerURL: url,
    connectHeaders: headers,
    reconnectDelay: 0,
    heartbeatIncoming: 10000,
    heartbeatOutgoing: 10000,
    ...(stompVersions && { stompVersions }),
    webSocketFactory: webSocketFactory ?? (() => new WebSocket(url, (stompVersions?.protocolVersions() ?? ['v12.stomp', 'v11.stomp', 'v10.stomp']))),
    ...options,
  });
  client.heard = [];
  await new Promise((resolve, reject) => {
    client.onConnect = (frame) => resolve((client.welcome = frame));
    client.onStompError = (frame) => reject(Object.assign(new Error(frame.headers.message), { frame }));
    client.onWebSocketError = reject;
    client.activate();
  });
  return client;
}
