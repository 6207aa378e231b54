// talkers.mjs - groups that chat while everything around them dies, and readers on sockets that lose the connection and come back.
//
// A Talk owns one group and is alone with it, so it knows after each answer what the room holds. A send is repeated with its client_id until the answer
// is certain. A Listener follows the room on a socket with `after` and `rev`, so what it has seen must have neither gap nor double.
import { Stomp } from '../support/stomp.mjs';
import { pause } from '../support/wait.mjs';
import { Actor, Person, STUCK_MS, seen } from './actor.mjs';

const MEMBERS = 4;
const WISHES = ['send', 'send', 'send', 'send', 'send', 'read', 'read', 'edit', 'react', 'delete'];

export class Talk extends Actor {
  constructor(name, seed, doors, people) {
    super(name, seed, doors);
    this.people = people.slice(0, MEMBERS).map((person) => new Person(this, person));
    this.sent = []; // {client_id, seq, content, sender, deleted}: every acknowledged message, as it must be now
    this.marks = new Map(); // user id -> highest acknowledged mark
    this.count = 0;
  }

  /** Before the chaos: friends, and a room. */
  async begin() {
    const [creator, ...others] = this.people;
    const { reply } = await creator.sure('POST', '/api/chat/rooms', { kind: 'group', user_ids: others.map(({ id }) => id) });
    if (reply.status !== 201) throw new Error(`a room: ${reply.status} ${reply.text}`);
    this.room = reply.json.id;
    return this;
  }

  async step() {
    const wish = this.pick(WISHES);
    const own = this.sent.filter(({ deleted }) => !deleted);
    if (wish === 'send' || own.length === 0) await this.say();
    else if (wish === 'read') await this.read(this.pick(this.people));
    else await this[wish](this.pick(own.slice(-20)));
    await pause(this.chance() * 120);
  }

  async say() {
    const person = this.pick(this.people);
    const client_id = `${this.name} ${++this.count}`.replace(/ /g, '-');
    const content = `말 ${client_id} ${'x'.repeat(Math.floor(this.chance() * 150))}`;
    for (const began = performance.now(); ; ) {
      const { reply } = await person.sure('POST', `/api/chat/rooms/${this.room}/messages`, { client_id, content });
      if (reply.status === 202) {
        this.patient(began, `message ${client_id}`);
        continue; // accepted; asking again gives the message
      }
      if (reply.status !== 201 || reply.json.content !== content) return this.surprise(`send: ${reply.status} ${reply.text.slice(0, 200)}`);
      this.sent.push({ client_id, content, seq: reply.json.seq, sender: person.id });
      this.marked(person, reply.json.seq);
      return undefined;
    }
  }

  marked(person, seq) {
    this.marks.set(person.id, Math.max(this.marks.get(person.id) ?? 0, seq));
  }

  async read(person) {
    const { seq } = this.pick(this.sent);
    const reply = await this.change(person, 'PUT', `/api/chat/rooms/${this.room}/read`, { seq });
    if (reply.status === 200) this.marked(person, seq);
    else this.surprise(`read: ${reply.status} ${reply.text.slice(0, 200)}`);
  }

  /** A change that may be repeated; 202: it is on its way, and a repeat tells. */
  async change(person, method, path, body) {
    for (const began = performance.now(); ; this.patient(began, `${method} ${path}`)) {
      const { reply } = await person.sure(method, path, body);
      if (reply.status !== 202) return reply;
    }
  }

  /** "On its way" is no certain answer either. */
  patient(began, what) {
    if (performance.now() - began < STUCK_MS) return;
    seen.stuck.push(`${this.name}: ${what}: accepted, and never done`);
    throw new Error('stuck');
  }

  owner(message) {
    return this.people.find(({ id }) => id === message.sender);
  }

  async edit(message) {
    const content = `${message.client_id} again ${++this.count}`;
    const reply = await this.change(this.owner(message), 'PATCH', `/api/chat/rooms/${this.room}/messages/${message.seq}`, { content });
    if (reply.status === 200) message.content = content;
    else this.surprise(`edit: ${reply.status} ${reply.text.slice(0, 200)}`);
  }

  async delete(message) {
    const reply = await this.change(this.owner(message), 'DELETE', `/api/chat/rooms/${this.room}/messages/${message.seq}`);
    if (reply.status === 200 || reply.status === 204 || reply.problem === 'message_deleted') message.deleted = true;
    else this.surprise(`delete: ${reply.status} ${reply.text.slice(0, 200)}`);
  }

  async react(message) {
    const path = `/api/chat/rooms/${this.room}/messages/${message.seq}/reactions/${encodeURIComponent('👍')}`;
    const reply = await this.change(this.pick(this.people), 'PUT', path);
    if (reply.status >= 300) this.surprise(`reaction: ${reply.status} ${reply.text.slice(0, 200)}`);
  }
}

/** Follows a Talk's room; connects again as long as it lives. */
export class Listener extends Actor {
  constructor(name, seed, doors, person, talk) {
    super(name, seed, doors);
    this.person = new Person(this, person);
    this.talk = talk;
    this.seqs = []; // of the messages it was given, in that order
    this.last = 0;
    this.rev = 0;
    this.connections = 0;
    this.reloads = 0;
  }

  async live(running) {
    while (running()) {
      await this.follow(running).catch(() => {}); // a lost connection is what this is about
      await pause(50 + this.chance() * 150);
    }
  }

  async follow(running) {
    if (!this.person.token || this.stale) await this.person.logIn();
    this.stale = false;
    const socket = (this.socket = new Stomp(this.doors[this.turn++ % this.doors.length], {
      token: this.person.token,
      onFrame: (frame) => this.hear(frame),
    }));
    try {
      await socket.connect().catch((error) => {
        this.stale = true; // perhaps the token is too old
        throw error;
      });
      this.connections++;
      const headers = { id: 'room', destination: `/topic/rooms.${this.talk.room}`, after: this.last, rev: this.rev, mark: 'manual' };
      await socket.receipt('SUBSCRIBE', headers);
      while (running() && !socket.gone) await pause(20);
    } finally {
      await socket.close();
    }
  }

  hear({ command, headers, body }) {
    if (command !== 'MESSAGE' || headers.subscription !== 'room') return;
    const event = JSON.parse(body);
    if (event.reload) this.reloads++;
    if (event.rev) this.rev = Math.max(this.rev, event.rev);
    const message = event.message ?? event;
    if (event.type !== 'message') return;
    if (message.seq !== this.last + 1) this.surprise(`message ${message.seq} follows ${this.last}`);
    this.last = message.seq;
    this.seqs.push(message.seq);
  }
}
