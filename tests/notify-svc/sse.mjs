// sse.mjs - a reader of text/event-stream that shows everything: status, headers, each event, comments, and how it ended.
import http from 'node:http';
import { eventually } from '../support/wait.mjs';

export class Stream {
  /** Resolves when the reply's head is here. `path` may carry a query. */
  static async open(instance, { token, path = '/api/notifications/stream', headers = {} } = {}) {
    const stream = new Stream();
    await new Promise((resolve, reject) => {
      const all = { Accept: 'text/event-stream', ...headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
      stream.req = http.get(instance.url + path, { headers: all, agent: false });
      stream.req.on('error', (error) => (stream.reply ? undefined : reject(error)));
      stream.req.on('response', (reply) => {
        stream.reply = reply;
        stream.status = reply.statusCode;
        stream.headers = reply.headers;
        reply.setEncoding('utf8');
        reply.on('data', (part) => stream.feed(part));
        reply.on('error', () => {});
        reply.on('close', () => (stream.closed = true));
        resolve();
      });
    });
    return stream;
  }
  constructor() {
    this.events = [];
    this.comments = 0;
    this.closed = false;
    this.lastId = '';
    this.rest = '';
  }
  /** As WHATWG has it, for the fields that we send. */
  feed(part) {
    const blocks = (this.rest + part).split('\n\n');
    this.rest = blocks.pop();
    for (const block of blocks) {
      const event = { event: 'message', data: [] };
      for (const line of block.split('\n')) {
        const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line);
        if (name === '') this.comments++;
        else if (name === 'id') event.id = this.lastId = value;
        else if (name === 'event') event.event = value;
        else if (name === 'data') event.data.push(value);
        else if (name === 'retry') this.retry = Number(value);
        else throw new Error(`unknown field: ${line}`);
      }
      if (event.data.length) this.events.push({ event: event.event, id: event.id, data: JSON.parse(event.data.join('\n')) });
    }
  }
  of(name) {
    return this.events.filter(({ event }) => event === name).map(({ data }) => data);
  }
  get seqs() {
    return this.of('notification').map(({ seq }) => seq);
  }
  /** The whole body of a reply that is no stream. */
  async problem() {
    await eventually(5000, () => this.closed, 'the reply ended');
    return JSON.parse(this.rest);
  }
  until(what, look, ms = 15000) {
    return eventually(ms, () => look(this), `${what}; events: ${JSON.stringify(this.events).slice(0, 2000)}`);
  }
  hello() {
    return this.until('hello', () => this.of('hello')[0]);
  }
  close() {
    this.req.destroy();
  }
}
