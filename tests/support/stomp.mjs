// stomp.mjs - STOMP 1.2 over a WebSocket, as bare as can be: what a test sends and what it gets is what is on the wire.
// Tests with real client libraries stand in tests/chat-svc and tests/e2e.
import WebSocket from 'ws';
import { patience } from './wait.mjs';

const ESCAPES = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', ':': '\\c' };
const BACK = { '\\\\': '\\', '\\n': '\n', '\\r': '\r', '\\c': ':' };
const escape = (text) => String(text).replace(/[\\\n\r:]/g, (c) => ESCAPES[c]);
const unescape = (text) => text.replace(/\\[\\nrc]/g, (c) => BACK[c]);

export function encode(command, headers = {}, body = '') {
  const plain = command === 'CONNECT';
  const lines = Object.entries(headers).map(([name, value]) => (plain ? `${name}:${value}` : `${escape(name)}:${escape(value)}`));
  return `${[command, ...lines].join('\n')}\n\n${body}\0`;
}

/** The frames in a message; line feeds between them are heart-beats. */
export function decode(text) {
  const frames = [];
  for (const part of text.split('\0')) {
    const frame = part.replace(/^[\r\n]+/, '');
    if (!frame) continue;
    const end = frame.indexOf('\n\n');
    const [command, ...lines] = frame.slice(0, end).split('\n');
    const headers = {};
    for (const line of lines) {
      const colon = line.indexOf(':');
      const name = unescape(line.slice(0, colon));
      headers[name] ??= unescape(line.slice(colon + 1));
    }
    frames.push({ command, headers, body: frame.slice(end + 2) });
  }
  return frames;
}

/** One connection. `onFrame(frame)` sees all; `closed` is a promise of {code, reason}. */
export class Stomp {
  constructor(base, { token, ticket, onFrame = () => {}, protocols = ['v12.stomp'], path = '/ws/chat' } = {}) {
    const url = `${base.replace(/^http/, 'ws')}${path}${ticket ? `?ticket=${encodeURIComponent(ticket)}` : ''}`;
    this.frames = [];
    this.waiting = new Set();
    this.receipts = 0;
    this.socket = new WebSocket(url, protocols, { headers: token ? { Authorization: `Bearer ${token}` } : {}, handshakeTimeout: patience(10000) });
    this.opened = new Promise((resolve, reject) => {
      this.socket.on('open', resolve);
      this.socket.on('error', reject);
      this.socket.on('close', () => reject(new Error('closed')));
    });
    this.opened.catch(() => {});
    this.closed = new Promise((resolve) => this.socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() })));
    this.closed.then(() => {
      this.gone = true;
      for (const one of this.waiting) one.reject(new Error('the socket is closed'));
      this.waiting.clear();
    });
    this.socket.on('message', (data) => {
      for (const frame of decode(data.toString())) {
        this.frames.push(frame);
        onFrame(frame);
        for (const one of [...this.waiting]) {
          if (!one.wanted(frame)) continue;
          this.waiting.delete(one);
          one.resolve(frame);
        }
      }
    });
  }

  send(command, headers, body) {
    this.socket.send(encode(command, headers, body));
  }

  /** The next frame that `wanted` takes. Rejects when the socket closes or after patience(`ms`). */
  next(wanted, ms = 10000, what = 'a frame') {
    return new Promise((resolve, reject) => {
      if (this.gone) return reject(new Error('the socket is closed'));
      const timer = setTimeout(() => {
        this.waiting.delete(one);
        reject(new Error(`not within ${patience(ms)} ms: ${what}`));
      }, patience(ms));
      const one = {
        wanted,
        resolve: (frame) => (clearTimeout(timer), resolve(frame)),
        reject: (error) => (clearTimeout(timer), reject(error)),
      };
      this.waiting.add(one);
      return undefined;
    });
  }

  async connect(headers = {}) {
    await this.opened;
    const answer = this.next(({ command }) => command === 'CONNECTED' || command === 'ERROR', 10000, 'CONNECTED');
    this.send('CONNECT', { 'accept-version': '1.2', host: 'madang', 'heart-beat': '0,0', ...headers });
    const frame = await answer;
    if (frame.command === 'ERROR') throw new Error(`refused: ${frame.headers.message}`);
    return frame;
  }

  /** Sends a frame and waits for its receipt, or for the refusal on /user/queue/errors that names it. */
  async receipt(command, headers, body, ms = 10000) {
    const id = `r${++this.receipts}`;
    const answer = this.next(
      (frame) =>
        (frame.command === 'RECEIPT' && frame.headers['receipt-id'] === id) ||
        (frame.command === 'ERROR' && frame.headers['receipt-id'] === id) ||
        (frame.command === 'MESSAGE' && frame.headers.destination === '/user/queue/errors' && JSON.parse(frame.body).receipt === id),
      ms,
      `the receipt of ${command} ${headers.destination ?? ''}`,
    );
    answer.catch(() => {});
    this.send(command, { ...headers, receipt: id }, body);
    return answer;
  }

  close() {
    this.socket.terminate();
    return this.closed;
  }
}
