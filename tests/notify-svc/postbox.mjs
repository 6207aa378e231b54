// postbox.mjs - a mail server that takes what it gets, or misbehaves as a test says. Plain SMTP on this machine.
import net from 'node:net';

export class Postbox {
  constructor() {
    this.mails = []; // {to, text, id}
    this.mode = 'take'; // take; later: 451 after the text; never: 550; hang: takes the text and says nothing; cut: takes it and breaks off
    this.first = []; // modes of the next mails, before `mode` counts
    this.sockets = new Set();
  }
  async start(port = 0) {
    this.server = net.createServer((socket) => this.serve(socket));
    await new Promise((resolve) => this.server.listen(port, '127.0.0.1', resolve));
    this.port = this.server.address().port;
    return `smtp://127.0.0.1:${this.port}`;
  }
  stop() {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }
  serve(socket) {
    let rest = '', inText = false, to = '';
    const say = (line) => socket.write(`${line}\r\n`);
    this.sockets.add(socket);
    socket.setEncoding('utf8');
    socket.on('error', () => {});
    socket.on('close', () => this.sockets.delete(socket));
    say('220 postbox');
    socket.on('data', (part) => {
      rest += part;
      for (;;) {
        const end = inText ? rest.indexOf('\r\n.\r\n') : rest.indexOf('\r\n');
        if (end < 0) return;
        const line = rest.slice(0, end);
        rest = rest.slice(end + (inText ? 5 : 2));
        if (inText) {
          inText = false;
          this.take({ to, text: line, id: /^Message-ID: *(\S+)/im.exec(line)?.[1] }, say, socket);
        } else if (/^DATA/i.test(line)) {
          inText = true;
          say('354 go on');
        } else {
          if (/^RCPT/i.test(line)) to = /<([^>]*)>/.exec(line)?.[1];
          say(/^QUIT/i.test(line) ? '221 bye' : '250 ok');
        }
      }
    });
  }
  take(mail, say, socket) {
    const mode = this.first.shift() ?? this.mode;
    if (mode === 'never') return say('550 no such person');
    if (mode === 'later') return say('451 try later');
    this.mails.push(mail);
    if (mode === 'take') say('250 ok');
    if (mode === 'cut') socket.destroy();
  }
  of(address) {
    return this.mails.filter(({ to }) => to === address);
  }
}
