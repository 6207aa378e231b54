// webpush.mjs - a stand-in for a browser's push service (RFC 8030) and for the browser behind it: it checks the headers and VAPID (RFC 8292) and decrypts what
// comes (RFC 8291, aes128gcm). HTTP/2 and HTTP/1.1 over TLS. Messages are recorded in `messages`.
//
//   const service = await WebPush.start(certificate(folder), vapidKey);
//   const browser = service.subscribe();             // browser.subscription is what PUT takes
//   browser.answers.push({ status: 410 });           // what the next messages get; after the last one: 201
import { createDecipheriv, createECDH, createHmac, createPublicKey, randomBytes, verify } from 'node:crypto';
import http2 from 'node:http2';

const hmac = (key, ...parts) => parts.reduce((mac, part) => mac.update(part), createHmac('sha256', key)).digest();
const expand = (key, info, length) => hmac(key, info, Buffer.from([1])).subarray(0, length);

/** RFC 8291: the plaintext of one message. */
export function decrypt(body, ecdh, auth) {
  const salt = body.subarray(0, 16),
    recordSize = body.readUInt32BE(16),
    idLength = body[20],
    sender = body.subarray(21, 21 + idLength),
    record = body.subarray(21 + idLength);
  if (idLength !== 65 || record.length > recordSize || record.length < 18) throw new Error('not one record');
  const secret = ecdh.computeSecret(sender);
  const input = expand(hmac(auth, secret), Buffer.concat([Buffer.from('WebPush: info\0'), ecdh.getPublicKey(), sender]), 32);
  const key = hmac(salt, input);
  const decipher = createDecipheriv('aes-128-gcm', expand(key, 'Content-Encoding: aes128gcm\0', 16), expand(key, 'Content-Encoding: nonce\0', 12));
  decipher.setAuthTag(record.subarray(-16));
  const padded = Buffer.concat([decipher.update(record.subarray(0, -16)), decipher.final()]);
  const end = padded.findLastIndex((byte) => byte !== 0);
  if (padded[end] !== 2) throw new Error('not the last record');
  return padded.subarray(0, end);
}

function vapidProblem(header, origin, wantedKey) {
  const match = /^vapid t=([\w-]+)\.([\w-]+)\.([\w-]+), ?k=([\w-]+)$/.exec(header ?? '');
  if (!match) return 'Authorization';
  const [, head, claims, signature, key] = match;
  const point = Buffer.from(key, 'base64url');
  if (point.length !== 65 || (wantedKey && key !== wantedKey)) return 'k';
  const publicKey = createPublicKey({ key: { kty: 'EC', crv: 'P-256', x: point.subarray(1, 33).toString('base64url'), y: point.subarray(33).toString('base64url') }, format: 'jwk' });
  if (JSON.parse(Buffer.from(head, 'base64url')).alg !== 'ES256') return 'alg';
  if (!verify('sha256', Buffer.from(`${head}.${claims}`), { key: publicKey, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'))) return 'signature';
  const { aud, exp, sub } = JSON.parse(Buffer.from(claims, 'base64url'));
  const now = Date.now() / 1000;
  if (aud !== origin) return `aud ${aud}`;
  if (!(exp > now && exp <= now + 24 * 3600)) return 'exp';
  return /^(mailto:|https:)/.test(sub ?? '') ? undefined : 'sub';
}

export class WebPush {
  messages = []; // {id, text, json, headers, answer}
  refusals = [];
  browsers = new Map();

  static async start(tls, vapidKey) {
    const service = new WebPush();
    service.vapidKey = vapidKey;
    service.server = http2.createSecureServer({ key: tls.key, cert: tls.cert, allowHTTP1: true }, (request, response) => service.#handle(request, response));
    service.sockets = new Set();
    service.server.on('secureConnection', (socket) => service.sockets.add(socket.on('close', () => service.sockets.delete(socket))));
    service.server.on('sessionError', () => {});
    await new Promise((resolve) => service.server.listen(0, '127.0.0.1', resolve));
    service.url = `https://127.0.0.1:${service.server.address().port}`;
    return service;
  }

  stop() {
    for (const socket of this.sockets) socket.destroy();
    return new Promise((resolve) => this.server.close(resolve));
  }

  subscribe() {
    const id = randomBytes(16).toString('base64url');
    const ecdh = createECDH('prime256v1');
    ecdh.generateKeys();
    const auth = randomBytes(16);
    const browser = {
      id, ecdh, auth, answers: [],
      subscription: { endpoint: `${this.url}/push/${id}`, expirationTime: null, keys: { p256dh: ecdh.getPublicKey('base64url'), auth: auth.toString('base64url') } },
    };
    this.browsers.set(id, browser);
    return browser;
  }
  of(browser) {
    return this.messages.filter(({ id }) => id === browser.id);
  }

  #handle(request, response) {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      const answer = this.#answer(request, Buffer.concat(parts));
      response.writeHead(answer.status, { ...(answer.status === 201 ? { location: `${this.url}/m/1` } : {}), ...answer.headers });
      response.end();
    });
  }

  #answer(request, body) {
    const refuse = (status, why) => {
      this.refusals.push(why);
      return { status };
    };
    const { headers } = request;
    const browser = this.browsers.get(/^\/push\/([\w-]+)$/.exec(request.url)?.[1]);
    if (request.method !== 'POST') return refuse(405, 'method');
    if (!browser) return refuse(404, `path ${request.url}`);
    if (!/^\d+$/.test(headers.ttl ?? '')) return refuse(400, 'TTL');
    if (headers.urgency && !['very-low', 'low', 'normal', 'high'].includes(headers.urgency)) return refuse(400, 'Urgency');
    if (headers.topic && !/^[\w-]{1,32}$/.test(headers.topic)) return refuse(400, 'Topic');
    if (headers['content-encoding'] !== 'aes128gcm') return refuse(415, 'Content-Encoding');
    if (headers['content-type'] !== 'application/octet-stream') return refuse(415, 'Content-Type');
    if (body.length > 4096) return refuse(413, 'size');
    const problem = vapidProblem(headers.authorization, this.url, this.vapidKey);
    if (problem) return refuse(403, `vapid: ${problem}`);
    let text;
    try {
      text = decrypt(body, browser.ecdh, browser.auth).toString('utf8');
    } catch (error) {
      return refuse(400, `decrypt: ${error.message}`);
    }
    const answer = browser.answers.shift() ?? { status: 201 };
    this.messages.push({ id: browser.id, text, json: JSON.parse(text), headers, answer, size: body.length });
    return answer;
  }
}
