// store_door.mjs - a door in front of PostgreSQL that has accidents: it hangs, or a COMMIT is done and its answer lost, as when a network goes at that moment.
import net from 'node:net';

const COMMITTED = Buffer.from('COMMIT\0'); // CommandComplete: the transaction is in the log of the store

export class StoreDoor {
  /** `url` of the store; `door.url` is the same through the door. */
  static async open(url) {
    const door = new StoreDoor();
    const store = new URL(url);
    door.ways = new Set();
    door.lost = 0; // answers that nobody got
    door.toLose = 0;
    door.hanging = false;
    door.server = net.createServer((client) => door.lead(client, net.connect(Number(store.port), store.hostname)));
    await new Promise((resolve) => door.server.listen(0, '127.0.0.1', resolve));
    door.address = `127.0.0.1:${door.server.address().port}`;
    return door;
  }
  /** The same store as `url` says, through the door. */
  through(url) {
    return Object.assign(new URL(url), { host: this.address }).toString();
  }

  lead(client, store) {
    const way = { client, store };
    this.ways.add(way);
    const end = () => {
      this.ways.delete(way);
      client.destroy();
      store.destroy();
    };
    for (const one of [client, store]) one.on('error', end).on('close', end).setNoDelay(true);
    client.on('data', (bytes) => store.write(bytes));
    store.on('data', (bytes) => {
      if (this.toLose > 0 && bytes.includes(COMMITTED)) {
        this.toLose--;
        this.lost++;
        end();
        return;
      }
      client.write(bytes);
    });
    if (this.hanging) this.still(way);
  }

  still({ client, store }) {
    client.pause();
    store.pause();
  }
  /** Nothing goes through, and nothing breaks: connections are made and wait. */
  hang() {
    this.hanging = true;
    for (const way of this.ways) this.still(way);
  }
  goOn() {
    this.hanging = false;
    for (const { client, store } of this.ways) {
      client.resume();
      store.resume();
    }
  }
  /** The next `count` transactions are done, and who asked for them only sees the connection break. */
  loseCommits(count) {
    this.toLose += count;
  }
  async close() {
    this.goOn();
    for (const { client, store } of this.ways) {
      client.destroy();
      store.destroy();
    }
    await new Promise((resolve) => this.server.close(resolve));
  }
}
