-- What an owner of a market's partition needs to take it over: which markets there are, and the newest snapshots of each.
-- The truth is the log (market.commands, market.events): these rows only say where in it to begin.

CREATE TABLE markets (
    id           uuid PRIMARY KEY,
    partition    int NOT NULL,                -- of market.commands, and of market.events
    first_offset bigint NOT NULL,             -- of its OPEN in market.commands; written before OPEN is answered
    events_from  bigint NOT NULL,             -- no event of it stands before this offset in market.events
    orders_max   bigint NOT NULL,             -- of the engine, as they were when it was opened: a replay must have the same
    accounts_max bigint NOT NULL,
    opened_at    timestamptz NOT NULL DEFAULT now(),
    closed_at    timestamptz                  -- its last snapshot is stored; until then a new owner of the partition rebuilds it
);
CREATE INDEX markets_live ON markets (partition) WHERE closed_at IS NULL;

CREATE TABLE snapshots (                      -- the last three of each market
    market_id      uuid NOT NULL REFERENCES markets ON DELETE CASCADE,
    command_offset bigint NOT NULL,           -- every command below it is in
    events_offset  bigint NOT NULL,           -- no event after `seq` stands before it in market.events
    seq            bigint NOT NULL,           -- of the last event
    hash           bigint NOT NULL,           -- of the state
    bytes          bytea NOT NULL,            -- what the engine saved
    checksum       bytea NOT NULL,            -- SHA-256 of all of the above
    taken_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (market_id, command_offset)
);
ALTER TABLE snapshots ALTER COLUMN bytes SET STORAGE EXTERNAL; -- numbers and random ids: compressing costs more than it saves
