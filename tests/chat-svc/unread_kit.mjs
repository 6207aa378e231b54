// unread_kit.mjs - one person with two devices on two instances, and what may happen to her rooms: messages, edits, deletes, marks, rooms that are open or not, all at
// once in an order that a seed brings back. The test of unread and its benchmark play it.
import assert from 'node:assert/strict';
import { eventually, random } from '../support/wait.mjs';
import { ERRORS, EVENTS, connectRaw, room as topic, to } from './stomp_kit.mjs';
import { clientId } from './world.mjs';

const at = (room, rest = '') => `/api/chat/rooms/${room.id}${rest}`;

export class Interleaving {
  subscriptions = 0;
  said = []; // {room, author, seq} of every message that was taken
  /** `seed`: of the order in which things happen. */
  static async begin(world, seed) {
    const self = new Interleaving();
    const [ann, bob, eve] = await world.friends(3);
    Object.assign(self, { world, seed, ann, next: random(seed) });
    self.rooms = [await world.dm(ann, bob), await world.dm(ann, eve), await world.group(ann, [bob, eve])];
    self.others = [[bob], [eve], [bob, eve]];
    self.devices = [];
    for (const instance of [world.instances[0], world.instances.at(-1)]) {
      const raw = await connectRaw(instance, ann);
      for (const [destination, id] of [[EVENTS, 'e'], [ERRORS, 'err']]) await raw.subscribe(destination, id);
      self.devices.push({ raw, open: new Map() }); // subscription id -> {room, reads}
    }
    return self;
  }
  close() {
    for (const { raw } of this.devices) raw.close();
  }

  // ---- what may happen ----

  pick(list) {
    return list[Math.floor(this.next() * list.length)];
  }
  /** One thing, whose dice are thrown now; the result is what does it, and resolves when it is acknowledged. */
  thing() {
    const [dice, index, device] = [this.next(), Math.floor(this.next() * this.rooms.length), this.pick(this.devices)];
    const room = this.rooms[index];
    if (dice < 0.4) return this.say(room, this.pick(this.others[index]), this.next() < 0.5);
    if (dice < 0.45) return this.say(room, this.ann, this.next() < 0.5);
    if (dice < 0.65) return this.mark(room, device, this.next(), this.next() < 0.5);
    if (dice < 0.75) return this.change(this.next(), this.next() < 0.5);
    if (dice < 0.9) return this.look(room, device, this.next() < 0.6);
    return this.lookAway(device);
  }
  say(room, author, first) {
    return async () => {
      const reply = await (first ? author.api : author.other).post(at(room, '/messages'), { client_id: clientId(), content: 'x' });
      assert.equal(reply.status, 201, reply.text);
      this.said.push({ room, author, seq: reply.json.seq });
    };
  }
  /** To a place that is there, as far as this client knows. */
  mark(room, { raw }, share, bySocket) {
    return async () => {
      const seq = Math.floor(share * (1 + Math.max(0, ...this.said.filter((one) => one.room === room).map((one) => one.seq))));
      if (!bySocket) return assert.equal((await this.ann.other.put(at(room, '/read'), { seq })).status, 200);
      const receipt = clientId();
      raw.send('SEND', { destination: to(room, 'read'), receipt }, JSON.stringify({ seq }));
      return raw.receipt(receipt);
    };
  }
  /** An edit or a delete of any message so far, by who said it. */
  change(share, edit) {
    return async () => {
      if (!this.said.length) return;
      const { room, author, seq } = this.said[Math.floor(share * this.said.length)];
      const reply = edit ? await author.other.patch(at(room, `/messages/${seq}`), { content: 'y' }) : await author.api.delete(at(room, `/messages/${seq}`));
      assert.ok([200, 204, 409].includes(reply.status), reply.text); // 409: deleted before
    };
  }
  /** A room that is open is read, unless its subscription says `mark: manual`. */
  look(room, device, reads) {
    return async () => {
      const id = `s${++this.subscriptions}`;
      device.open.set(id, { room, reads });
      await device.raw.subscribe(topic(room), id, reads ? {} : { mark: 'manual' });
    };
  }
  lookAway(device) {
    return async () => {
      const [id] = device.open.keys();
      if (id === undefined) return;
      device.open.delete(id);
      const receipt = clientId();
      device.raw.send('UNSUBSCRIBE', { id, receipt });
      await device.raw.receipt(receipt);
    };
  }

  /** So many things, a few at a time; resolves when all are acknowledged. */
  async burst(count, width = 4) {
    const things = Array.from({ length: count }, () => this.thing());
    await Promise.all(Array.from({ length: width }, async () => {
      for (let thing = things.shift(); thing; thing = things.shift()) await thing();
    }));
    this.ended = performance.now();
  }

  // ---- what must be so ----

  /** What a device was told last of a room: {unread, heard}. */
  told({ raw }, room) {
    const frame = raw.frames.findLast(({ json }) => json?.type === 'unread' && room.id in json.rooms);
    return frame ? { unread: frame.json.rooms[room.id], heard: frame.heard } : { unread: 0, heard: 0 };
  }
  isRead(room) {
    return this.devices.some(({ open }) => [...open.values()].some((one) => one.room === room && one.reads));
  }
  /**
   * Resolves when both devices were told, of each room, what both instances answer, and a room that is open on one of them is read. {unread: of each room,
   * ms: from the end of the burst until the last word of it that a device needed}.
   */
  agreed(ms = 20000) {
    return eventually(ms, async () => {
      const [one, two] = await Promise.all([this.ann.api, this.ann.other].map(async (api) => (await api.get('/api/chat/unread')).json.rooms));
      const unread = this.rooms.map(({ id }) => one[id] ?? 0);
      const fits = this.rooms.every((room, i) => {
        const last = this.devices.map((device) => this.told(device, room).unread);
        return unread[i] === (two[room.id] ?? 0) && last.every((n) => n === unread[i]) && (unread[i] === 0 || !this.isRead(room));
      });
      const heard = this.devices.flatMap((device) => this.rooms.map((room) => this.told(device, room).heard));
      return fits && { unread, ms: Math.max(0, ...heard.map((when) => when - this.ended)) };
    }, `both devices agree (seed ${this.seed})`, 5);
  }
  /** GET rooms on both instances: unread is what lies behind the mark, and the end is the last message. */
  async checkDefinition(unread) {
    for (const api of [this.ann.api, this.ann.other])
      for (const [i, room] of this.rooms.entries()) {
        const { last_seq, my_read_seq, ...shown } = (await api.get(at(room))).json;
        assert.deepEqual([shown.unread, last_seq - my_read_seq], [unread[i], unread[i]], `seed ${this.seed}`);
        assert.equal(last_seq, Math.max(room.last_seq, ...this.said.filter((one) => one.room === room).map(({ seq }) => seq)));
      }
  }
}
