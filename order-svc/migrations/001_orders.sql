-- Schema "orders": what was ordered, traded and owned in the trading game. Everything but `people` and the names is settled from
-- market.events by one worker per partition: the offset that it has reached stands in `applied`, written in the same transaction.
-- Money is whole won, quantities are whole shares. What an open order reserves is computed from it, never stored.

CREATE TABLE people (                                       -- the read copy of accounts (topic accounts), and of their rating
    user_id    uuid PRIMARY KEY,                            -- (topic game.events); either may come first
    nickname   text NOT NULL DEFAULT '',                    -- '' while unknown, and of the withdrawn
    withdrawn  boolean NOT NULL DEFAULT false,
    version    bigint NOT NULL DEFAULT 0,                   -- of the account; 0: only the rating is known
    rating     bigint NOT NULL DEFAULT 0 CHECK (rating >= 0),
    tier       text NOT NULL DEFAULT 'bronze'
);

CREATE TABLE markets (                                      -- a round of the game is a market
    id            uuid PRIMARY KEY,
    partition     int NOT NULL,                             -- of market.commands and market.events alike
    phase         text NOT NULL CHECK (phase IN ('set_up', 'open', 'closed')),
    seed_cash     bigint NOT NULL CHECK (seed_cash >= 0),   -- of a person's account, which is made at the first order
    tick          bigint NOT NULL,
    price_min     bigint NOT NULL,
    price_max     bigint NOT NULL,
    size_rule     boolean NOT NULL,
    seq           bigint NOT NULL,                          -- of the last event that is settled: one that is not above it is a double
    first_offset  bigint NOT NULL,                          -- of its first record in market.events: an audit begins there
    opened_at     timestamptz NOT NULL,
    started_at    timestamptz,
    closed_at     timestamptz,
    differences   bigint NOT NULL DEFAULT 0,                -- final accounts of the engine that were not ours: always 0
    audited_at    timestamptz,                              -- the audit after its close
    audit_differences bigint,
    given_up      boolean NOT NULL DEFAULT false            -- by an operator, after a loss of its log: its events are passed over
);
CREATE INDEX markets_opened ON markets (opened_at);
CREATE INDEX markets_unaudited ON markets (closed_at) WHERE closed_at IS NOT NULL AND audited_at IS NULL;

CREATE TABLE company_names (                                -- what the game says they are called; may come before the market does
    company_id uuid PRIMARY KEY,
    market_id  uuid NOT NULL,
    name       text NOT NULL
);
CREATE INDEX company_names_market ON company_names (market_id);

CREATE TABLE companies (
    id             uuid PRIMARY KEY,
    market_id      uuid NOT NULL REFERENCES markets,
    index          smallint NOT NULL,                       -- its place in the market's list: events say this
    name           text,                                    -- NULL until the game has told
    initial_price  bigint NOT NULL,
    last_price     bigint NOT NULL,
    volume         bigint NOT NULL DEFAULT 0 CHECK (volume >= 0),
    high           bigint NOT NULL DEFAULT 0,               -- of the trades; 0 before the first
    low            bigint NOT NULL DEFAULT 0,
    trades         bigint NOT NULL DEFAULT 0,               -- the number of the last one
    halted         boolean NOT NULL DEFAULT false,
    UNIQUE (market_id, index)
);

CREATE TABLE accounts (                                     -- who trades in a market; nobody's before the first order that was taken
    market_id  uuid NOT NULL,
    user_id    uuid NOT NULL,
    bot        boolean NOT NULL,
    cash       bigint NOT NULL CONSTRAINT cash_not_negative CHECK (cash >= 0),   -- reserved included
    PRIMARY KEY (market_id, user_id)
) WITH (fillfactor = 50);                                   -- the same few rows change in every batch: room for them in their page
CREATE INDEX accounts_user ON accounts (user_id) WHERE NOT bot;

CREATE TABLE holdings (                                     -- shares that somebody owns or owned; all are 0 after the close
    market_id   uuid NOT NULL,
    user_id     uuid NOT NULL,
    company_id  uuid NOT NULL,
    quantity    bigint NOT NULL CONSTRAINT quantity_not_negative CHECK (quantity >= 0), -- reserved included
    cost        bigint NOT NULL CHECK (cost >= 0),          -- what was paid for them: the average price is cost / quantity
    PRIMARY KEY (market_id, user_id, company_id)
) WITH (fillfactor = 50);

CREATE TABLE orders (                                       -- every order that reached a market, the rejected ones too
    id               uuid PRIMARY KEY,
    market_id        uuid NOT NULL,
    company_id       uuid,                                  -- NULL: rejected for an unknown company
    user_id          uuid NOT NULL,
    side             text NOT NULL,                         -- buy, sell
    type             text NOT NULL,                         -- limit, market
    tif              text NOT NULL,                         -- gtc, ioc, fok
    post_only        boolean NOT NULL,
    bot              boolean NOT NULL,
    client_order_id  text,
    price            bigint,                                -- NULL: a market order
    quantity         bigint NOT NULL,                       -- the total, what is filled included
    filled           bigint NOT NULL CHECK (filled >= 0),
    remaining        bigint NOT NULL GENERATED ALWAYS AS (quantity - filled) STORED, -- also when the order has ended
    paid             bigint NOT NULL CHECK (paid >= 0),     -- sum of price x quantity of its fills
    status           text NOT NULL CHECK (status IN ('open', 'filled', 'cancelled', 'rejected')), -- open with fills: partial
    reason           text,                                  -- of the end: filled, cancelled, unfilled, self_trade, round_closed; or of the refusal
    seq              bigint NOT NULL,                       -- of the last event that changed it
    created_at       timestamptz NOT NULL,                  -- times are those of the log
    updated_at       timestamptz NOT NULL,
    CONSTRAINT not_overfilled CHECK (filled <= quantity OR status = 'rejected')
) WITH (fillfactor = 80);
CREATE INDEX orders_user ON orders (user_id, id DESC) WHERE NOT bot;   -- a list of mine: say NOT bot
CREATE INDEX orders_open ON orders (market_id, user_id) WHERE status = 'open';
CREATE INDEX orders_market ON orders USING brin (market_id) WITH (pages_per_range = 32, autosummarize = on); -- audit and sweep: a round's
                                                            -- orders lie together

CREATE TABLE trades (
    company_id   uuid NOT NULL,
    number       bigint NOT NULL,                           -- per company from 1, without holes
    market_id    uuid NOT NULL,
    seq          bigint NOT NULL,                           -- the event's
    price        bigint NOT NULL CHECK (price > 0),         -- the resting order's
    quantity     bigint NOT NULL CHECK (quantity > 0),
    taker_side   text NOT NULL,                             -- buy, sell
    maker_order  uuid NOT NULL,
    taker_order  uuid NOT NULL,
    maker        uuid NOT NULL,
    taker        uuid NOT NULL,
    maker_bot    boolean NOT NULL,
    taker_bot    boolean NOT NULL,
    at           timestamptz NOT NULL,
    PRIMARY KEY (company_id, number)
);
CREATE INDEX trades_maker ON trades (maker, at, seq) WHERE NOT maker_bot;   -- fills of mine: one row is a fill of each side
CREATE INDEX trades_taker ON trades (taker, at, seq) WHERE NOT taker_bot;

CREATE TABLE ledger (                                       -- double entry: the lines of one event sum to zero per asset
    market_id   uuid NOT NULL,
    seq         bigint NOT NULL,                            -- of the event
    line        int NOT NULL,                               -- from 0 within the event
    user_id     uuid,                                       -- NULL: the issuer, whom all money and shares come from and return to
    company_id  uuid,                                       -- NULL: cash; else shares of this company
    amount      bigint NOT NULL CHECK (amount <> 0),        -- what the owner has more (or less) of
    PRIMARY KEY (market_id, seq, line)
);

CREATE TABLE candles (                                      -- of the seconds in which there were trades; wider ones are made when read
    company_id  uuid NOT NULL,
    at          timestamptz NOT NULL,                       -- the second's begin
    open        bigint NOT NULL,
    high        bigint NOT NULL,
    low         bigint NOT NULL,
    close       bigint NOT NULL,
    volume      bigint NOT NULL CHECK (volume > 0),
    PRIMARY KEY (company_id, at)
) WITH (fillfactor = 80);
