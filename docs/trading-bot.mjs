// trading-bot.mjs - a small bot that follows the news (docs/trading.md explains every step). Node 18 or later, nothing else.
//   MADANG_URL=http://127.0.0.1:8080 MADANG_LOGIN=demo@madang.local MADANG_PASSWORD=... node docs/trading-bot.mjs
// It ends after MADANG_ORDERS orders (not set: never).
import { randomUUID } from 'node:crypto';

const base = process.env.MADANG_URL ?? 'http://127.0.0.1:8080';
const login = process.env.MADANG_LOGIN;
const password = process.env.MADANG_PASSWORD;
const ordersMost = Number(process.env.MADANG_ORDERS ?? Infinity);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let token;
let orders = 0;

/** One call; waits and asks again when the yard says so (429, 503), logs in again when the token is over. Safe to repeat: orders carry a client_order_id. */
async function call(method, path, body, headers = {}) {
  for (;;) {
    const reply = await fetch(base + path, {
      method,
      headers: { ...(token && { Authorization: `Bearer ${token}` }), ...(body && { 'Content-Type': 'application/json' }), ...headers },
      body: body && JSON.stringify(body),
    }).catch(() => undefined); // no answer: the call may have worked, and repeating it is safe
    if (reply?.status === 401 && path !== '/api/auth/login') {
      await logIn();
    } else if (!reply || reply.status === 429 || reply.status === 503) {
      await sleep(Number(reply?.headers.get('Retry-After') ?? 1) * 1000);
    } else {
      const text = await reply.text();
      return { status: reply.status, etag: reply.headers.get('ETag'), json: text ? JSON.parse(text) : undefined };
    }
  }
}

async function logIn() {
  const { status, json } = await call('POST', '/api/auth/login', { login, password });
  if (status !== 200) throw new Error(`log-in: ${json.title}`);
  token = json.access_token;
}

/** The verdict is in the reply: filled, open, cancelled - or a problem that says why not. */
async function order(wish) {
  const { status, json } = await call('POST', '/api/orders', { client_order_id: randomUUID(), ...wish });
  if (status < 300) console.log(`${json.side} ${json.filled} of ${json.quantity} at ${json.average_price ?? '-'}: ${json.status}`);
  else console.log(`${wish.side} ${wish.quantity}: ${json.code} (${json.title})`);
}

/** Good news: the bots of the game will buy in 3 to 5 seconds, so buy before them. Bad news: sell what is there. */
async function act(news) {
  console.log(`${news.good ? '+' : '-'} ${news.text.en}`);
  const [{ json: portfolio }, { json: companies }] = await Promise.all([call('GET', '/api/portfolio'), call('GET', '/api/game/companies')]);
  const company = companies.items.find(({ id }) => id === news.company_id);
  const held = portfolio.holdings.find((holding) => holding.company.id === news.company_id);
  const quantity = news.good ? Math.floor(portfolio.available_cash / 4 / company.price) : held?.available ?? 0;
  if (quantity < 1) return false;
  await order({ company_id: company.id, side: news.good ? 'buy' : 'sell', type: 'market', quantity });
  return true;
}

/** From the opening to the close. */
async function play(round) {
  let etag, seen = 0;
  console.log(`round ${round.number} is open until ${round.closes_at}`);
  while (orders < ordersMost) {
    const { json: now } = await call('GET', '/api/game/round');
    if (now.id !== round.id || now.phase !== 'open') break;
    const news = await call('GET', '/api/game/news', undefined, etag && { 'If-None-Match': etag });
    etag = news.etag ?? etag;
    const fresh = (news.json?.items ?? []).filter(({ number }) => number > seen).reverse(); // 304 has no body: nothing is new
    for (const one of seen === 0 ? fresh.slice(-1) : fresh) if (orders < ordersMost && (await act(one))) orders++;
    seen = Math.max(seen, ...fresh.map(({ number }) => number));
    await sleep(300);
  }
}

await logIn();
for (let last; orders < ordersMost; ) {
  const { json: round } = await call('GET', '/api/game/round');
  if (round.phase === 'open') await play((last = round));
  else await sleep(500);
  if (last && round.phase === 'closed' && round.id === last.id) {
    const { json } = await call('GET', `/api/game/rounds/${last.id}`);
    if (json.ranked) console.log(json.me ? `round ${json.number}: place ${json.me.place} of ${json.me.participants}, ${json.me.return_pct}%` : `round ${json.number}: took no part`);
    if (json.ranked) last = undefined;
  }
}
