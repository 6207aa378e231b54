-- Rounds and their clock. Whatever the clock does is one transaction that holds the round's row: commands and events leave by the
-- outbox of the same transaction, so a step is done once, whoever does it and however often it dies.

CREATE TABLE rounds (                                       -- one round = one market; finished ones stay
    id          UUID    PRIMARY KEY,                        -- of the market, too
    number      BIGINT  NOT NULL UNIQUE,                    -- 1, 2, 3 ... for people
    phase       TEXT    NOT NULL CHECK (phase IN ('setup', 'open', 'closed')),
    held        BOOLEAN NOT NULL,                           -- opened without a clock: only an operator ends it (GAME_HOLD)
    seed        BIGINT  NOT NULL,                           -- of all its chance: same seed, same round
    next_n      BIGINT  NOT NULL,                           -- number of its next command

    -- its rules, as the settings stood when it began
    seed_cash   BIGINT  NOT NULL,
    tick        BIGINT  NOT NULL,
    price_min   BIGINT  NOT NULL,
    price_max   BIGINT  NOT NULL,
    size_rule   BOOLEAN NOT NULL,
    bots        BOOLEAN NOT NULL,                           -- refill, and orders that follow the news
    open_ms     BIGINT  NOT NULL,                           -- length of trading

    setup_at    TIMESTAMPTZ NOT NULL,
    opens_at    TIMESTAMPTZ NOT NULL,                       -- planned; moved when the start was late
    closes_at   TIMESTAMPTZ,                                -- NULL: held
    next_at     TIMESTAMPTZ,                                -- the next round's set-up
    closed_at   TIMESTAMPTZ,                                -- when CLOSE was sent
    ranked_at   TIMESTAMPTZ
) WITH (fillfactor = 70);                                   -- next_n changes often
CREATE UNIQUE INDEX rounds_one_runs ON rounds ((true)) WHERE phase <> 'closed';

CREATE TABLE steps (                                        -- what the clock will do; a row goes when it is done
    round_id UUID        NOT NULL REFERENCES rounds (id) ON DELETE CASCADE,
    kind     TEXT        NOT NULL,                          -- start, countdown, news, bot_order, refill, close, rank, next: game-svc/steps.h
    number   BIGINT      NOT NULL,                          -- which of its kind
    at       TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (round_id, kind, number)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
CREATE INDEX steps_at ON steps (at);

CREATE TABLE companies (                                    -- invented anew for each round
    id            UUID   PRIMARY KEY,
    round_id      UUID   NOT NULL REFERENCES rounds (id) ON DELETE CASCADE,
    index         INT    NOT NULL,                          -- in the market's list
    name          TEXT   NOT NULL,
    name_en       TEXT   NOT NULL,
    business      TEXT   NOT NULL,                          -- electronics, cars, chemicals
    initial_price BIGINT NOT NULL CHECK (initial_price > 0),
    last_price    BIGINT CHECK (last_price > 0),            -- at the close
    bot_sent_n    BIGINT NOT NULL DEFAULT 0,                -- number of the bots' last order here: see progress
    UNIQUE (round_id, index)
) WITH (fillfactor = 70);

CREATE TABLE progress (                                     -- how far a market's events are worked in; written by the worker alone, so that it
    round_id    UUID     PRIMARY KEY REFERENCES rounds (id) ON DELETE CASCADE, -- never waits for the clock, which holds the round's row
    seq         BIGINT   NOT NULL,                          -- of the last event
    heard_n     BIGINT[] NOT NULL,                          -- by company: number of the bots' last order that the market has answered,
    heard_seq   BIGINT[] NOT NULL,                          -- and the sequence of that answer. Refill waits until it has heard all that was sent
    accounts_at TIMESTAMPTZ                                 -- when the final accounts were stored
) WITH (fillfactor = 50);

CREATE TABLE news (
    round_id   UUID   NOT NULL REFERENCES rounds (id) ON DELETE CASCADE,
    number     BIGINT NOT NULL,                             -- 1, 2, 3 ... in the round
    company_id UUID   NOT NULL REFERENCES companies (id) ON DELETE CASCADE,
    line       TEXT   NOT NULL,                             -- code of the line: game-svc/news.c has the words
    weight     BIGINT NOT NULL CHECK (weight <> 0),         -- drawn for this one, in thousandths; below zero: bad
    at         TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (round_id, number)
);

CREATE TABLE participants (                                 -- accounts of a market, from its events
    round_id UUID    NOT NULL REFERENCES rounds (id) ON DELETE CASCADE,
    user_id  UUID    NOT NULL,
    bot      BOOLEAN NOT NULL DEFAULT false,
    orders   BIGINT  NOT NULL DEFAULT 0,                    -- accepted; somebody with none took no part
    fills    BIGINT  NOT NULL DEFAULT 0,
    bought   BIGINT  NOT NULL DEFAULT 0,                    -- won
    sold     BIGINT  NOT NULL DEFAULT 0,
    cash     BIGINT  CHECK (cash >= 0),                     -- final, shares sold at the last price; NULL until the market has closed
    PRIMARY KEY (round_id, user_id)
) WITH (fillfactor = 70);
CREATE INDEX participants_user ON participants (user_id, round_id) WHERE NOT bot;
