// market_kit.mjs - a round of the trading game as game-svc tells it on game.events, and its market.
import { Market } from '../support/market_play.mjs';
import { uuid } from './world.mjs';

/** A round as game-svc tells it. */
export class Round {
  constructor(world, number = 1 + Math.floor(Math.random() * 1e6)) {
    this.world = world;
    this.number = number;
    this.id = uuid();
    this.companies = ['Hanul Electronics', 'Dal Motors', 'Byeol Chemicals'].map((name, index) => ({ id: uuid(), index, name, initial_price: 200_000 }));
  }
  /** Its market, open, with a house that sells 1,000 shares of the second company at 200,000. */
  async market() {
    const market = new Market(this.companies, this.id);
    await market.open();
    await market.send(market.place(market.house, 'sell', 1000, 200_000, { company: 1 }));
    return market;
  }
  event(kind, more) {
    return this.world.event(kind, { market: this.id, ...more });
  }
  phase(phase, inMs = 60_000) {
    const at = Date.now();
    const after = (ms) => new Date(at + ms).toISOString();
    const times = { setup: { opens_at: after(inMs), closes_at: null, next_at: null }, open: { opens_at: after(0), closes_at: after(inMs), next_at: after(2 * inMs) }, closed: { opens_at: after(-9e5), closes_at: after(0), next_at: after(inMs) } };
    return { ...this.event('round', { number: this.number, phase, ...times[phase], seed_cash: 10_000_000, companies: this.companies }), at: after(0) };
  }
  news(company = this.companies[0], en = 'record sales') {
    return this.event('news', { company: company.id, company_name: company.name, line: 'record_sales', text: { en: `${company.name}: ${en}`, ko: `${company.name}: 사상 최대 매출` }, good: true });
  }
  countdown(seconds_left = 45) {
    return this.event('countdown', { phase: 'open', seconds_left });
  }
  ranking(places, participants = places.length) {
    return this.event('ranking', { number: this.number, participants, places });
  }
  tell(...events) {
    this.world.publish('game.events', events.map((event) => [this.id, event]));
  }
}
