// world.mjs - game-svc with short rounds (tests/support/world.mjs), and a real match-svc beside it where a test wants the market's answers.
import { readTopic } from '../support/topics.mjs';
import { eventually } from '../support/wait.mjs';
import { ServiceWorld } from '../support/world.mjs';

export const PHASES = { GAME_SETUP_SECONDS: '1', GAME_OPEN_SECONDS: '4', GAME_BREAK_SECONDS: '1', GAME_NEWS_SECONDS: '1', GAME_BOT_DELAY_MS: '200', GAME_BOT_GAP_MS: '50', GAME_REFILL_SECONDS: '1', GAME_COUNTDOWN_SECONDS: '1' };

export class World extends ServiceWorld {
  constructor() {
    super('game');
  }
  /** `match`: with a market's owner. Rounds begin at once. */
  async start({ settings = {}, instances = 1, match = true } = {}) {
    if (match) this.match = await new ServiceWorld('match').open({ instances: typeof match === 'number' ? match : 1 });
    return this.open({ settings: { ...PHASES, ...settings }, instances });
  }
  async stop() {
    try {
      await super.stop();
    } finally {
      await this.match?.stop();
    }
  }

  // ---- rounds ----

  rounds() {
    return this.sql('SELECT * FROM rounds ORDER BY number');
  }
  async round(number) {
    return (await this.sql('SELECT * FROM rounds WHERE number = $1', [number]))[0];
  }
  /** Waits until round `number` is in this phase, or beyond it; the row. */
  reached(number, phase, ms = 30000) {
    const order = ['setup', 'open', 'closed', 'ranked'];
    return eventually(ms, async () => {
      const round = await this.round(number);
      const now = round?.ranked_at ? 'ranked' : round?.phase;
      return round && order.indexOf(now) >= order.indexOf(phase) && round;
    }, `round ${number} is ${phase}`);
  }
  /** Ends the game: no more rounds, so topics can be compared with tables. */
  companies(round) {
    return this.sql('SELECT * FROM companies WHERE round_id = $1 ORDER BY index', [round.id]);
  }

  // ---- what left ----

  /** The values of one market on a topic, in the order of its partition; once there is what `until` asks for. */
  async told(topic, market, until = () => true, ms = 20000) {
    let values;
    await eventually(ms, async () => {
      values = (await readTopic(topic)).filter(({ key }) => key === market).map(({ value }) => value);
      return until(values);
    }, `${topic} has it`, 200);
    return values;
  }
  commands(market, until) {
    return this.told('market.commands', market, until);
  }
  gameEvents(market, until) {
    return this.told('game.events', market, until);
  }
}
