// trading_verdicts.mjs - what must hold of the trading game once everything runs again.
import { sql } from '../support/db.mjs';
import { allSettled, currentRound, judgeMarket, markets, rankedRound } from '../support/trading.mjs';
import { eventually } from '../support/wait.mjs';
import { verdict } from './verdicts.mjs';

const SETTLED_WITHIN_MS = 60000;

/** How an order that was answered `told` may stand in the end (`row`). */
function fits(told, row) {
  if (!row) return 'is nowhere';
  if (told.ended) return row.status === told.status && row.filled === told.filled ? '' : `was ${told.status} with ${told.filled} filled, is ${row.status} with ${row.filled}`;
  if (row.status === 'rejected') return `was ${told.status}, is rejected`;
  if (row.filled < told.filled) return `had ${told.filled} filled, has ${row.filled}`;
  return row.filled > row.quantity ? `has ${row.filled} of ${row.quantity} filled` : '';
}

export async function judgeTrading({ base, traders, market, roundsWanted }) {
  const orders = traders.flatMap(({ name, told }) => [...told].map(([id, order]) => ({ name, id, ...order })));
  const unsure = traders.flatMap(({ unsure: list, person }) => [...list].map(([client_order_id, round]) => ({ client_order_id, round, user: person.id })));

  // The running round goes on; those that were traded in must end.
  await verdict(`[S-18] rounds went on: ${roundsWanted} or more were traded in and ranked, and another is on its way`, async () => {
    const wrong = [];
    for (const [id, number] of market.rounds) await rankedRound(id).catch((error) => wrong.push(`round ${number}: ${error.message}`));
    if (market.rounds.size < roundsWanted) wrong.push(`${market.rounds.size} rounds were seen open`);
    const last = Math.max(0, ...market.rounds.values());
    await eventually(60000, async () => (await currentRound(base))?.number > last, `a round after ${last}`).catch((error) => wrong.push(error.message));
    const [{ n }] = await sql("SELECT count(*) AS n FROM game.rounds WHERE phase <> 'closed'");
    if (n > 1) wrong.push(`${n} rounds run at once`);
    return wrong;
  });
  await verdict('[S-38] every event is settled', () => allSettled(SETTLED_WITHIN_MS).then(() => []).catch((error) => [error.message]));

  await verdict(`[S-26][S-37] all ${orders.length} orders that were answered stand once, as answered`, async () => {
    const wrong = orders.length ? [] : ['no order was answered'];
    const rows = new Map((await sql('SELECT id, market_id, user_id, client_order_id, status, filled, quantity FROM orders.orders WHERE id = ANY($1)', [orders.map(({ id }) => id)])).map((row) => [row.id, row]));
    for (const order of orders) {
      const row = rows.get(order.id);
      const why = fits(order, row) || (row.market_id !== order.round && 'is in another market') || (row.client_order_id !== order.client_order_id && `has client_order_id ${row.client_order_id}`);
      if (why) wrong.push(`${order.name}: order ${order.id} ${why}`);
    }
    return wrong;
  });
  await verdict(`[S-37] no order was done twice, nor one of ${unsure.length} without a certain answer`, async () =>
    (await sql("SELECT market_id, user_id, client_order_id, count(*) AS n FROM orders.orders WHERE NOT bot AND status <> 'rejected' AND client_order_id IS NOT NULL GROUP BY 1, 2, 3 HAVING count(*) > 1")).map((row) => JSON.stringify(row)),
  );
  await verdict('[S-16][S-37] nobody has an order that was never sent, and what was refused was not done', async () => {
    const sent = new Set([...orders, ...unsure].map(({ client_order_id }) => client_order_id));
    const refused = new Set(traders.flatMap((trader) => [...trader.refused]));
    const rows = await sql('SELECT id, client_order_id, status FROM orders.orders WHERE user_id = ANY($1)', [traders.map(({ person }) => person.id)]);
    return rows.filter((row) => !sent.has(row.client_order_id) && !(refused.has(row.client_order_id) && row.status === 'rejected')).map((row) => JSON.stringify(row));
  });

  let list = [];
  await verdict('[S-36] market.events has no gap, and every market but the running one is closed', async () => {
    list = [...(await markets()).values()];
    const open = list.filter(({ phase }) => phase !== 'closed');
    return [...list.flatMap(({ gaps }) => gaps), ...(open.length > 1 ? open.map(({ id }) => `market ${id} is open`) : [])];
  });
  const closed = list.filter(({ phase }) => phase === 'closed');
  await verdict(`[S-38][S-39][S-47] ${closed.length} closed markets: orders, trades, ledger, audit, replay and ranking agree with the log`, async () => {
    const wrong = closed.length ? [] : ['no market is closed'];
    for (const one of closed) wrong.push(...(await judgeMarket(one)));
    return wrong;
  });
  await verdict('[S-48] every rating is the sum of its points, and order-svc knows it', async () => {
    const wrong = (await sql('SELECT p.user_id, p.rating, sum(r.points) AS points FROM game.people p JOIN game.results r USING (user_id) GROUP BY 1, 2 HAVING p.rating <> sum(r.points)')).map((row) => JSON.stringify(row));
    const behind = () => sql('SELECT g.user_id, g.rating, o.rating AS known FROM game.people g LEFT JOIN orders.people o USING (user_id) WHERE g.rating > 0 AND g.rating IS DISTINCT FROM o.rating LIMIT 8');
    await eventually(30000, async () => (await behind()).length === 0, 'order-svc knows every rating').catch(async () => wrong.push(...(await behind()).map((row) => JSON.stringify(row))));
    return wrong;
  });
  await verdict('[S-49] everybody who took part finds the result in the inbox, once', async () => {
    const missing = () => sql(
      `SELECT r.round_id, r.user_id, count(n.*) AS n FROM game.results r JOIN game.rankings k ON k.round_id = r.round_id AND k.noticed_at IS NOT NULL
       LEFT JOIN notify.notices n ON n.user_id = r.user_id AND n.dedupe_id = 'round_result:' || r.round_id || ':' || r.user_id GROUP BY 1, 2 HAVING count(n.*) <> 1 LIMIT 8`,
    );
    return eventually(30000, async () => (await missing()).length === 0, 'one notice each').then(() => []).catch(async () => (await missing()).map((row) => JSON.stringify(row)));
  });
}
