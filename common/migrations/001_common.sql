-- What every service keeps besides its own tables. They are made in the service's own schema (search_path), so each service has
-- its own three and no service sees another's.

CREATE TABLE outbox (                                       -- events on their way to Kafka; a row is here until Kafka has it
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                                                            -- the order of sending. Rows of one key are written while their aggregate's row is
                                                            -- locked, so they are in order; ids of different keys may commit out of order,
                                                            -- so rows are deleted by id, never "up to" an id
    topic       TEXT NOT NULL,
    key         TEXT NOT NULL,                              -- the aggregate: decides the partition
    payload     TEXT NOT NULL,                              -- JSON as it leaves (text keeps the order of members; nobody queries it)
    request_id  TEXT,                                       -- Kafka headers x-request-id and traceparent
    traceparent TEXT,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now()
) WITH (
    autovacuum_vacuum_scale_factor = 0,                     -- a table that is empty most of the time and turns over fast:
    autovacuum_vacuum_threshold = 2000                      -- vacuum by the number of dead rows, not by its size
);

-- Wakes the relay at commit. NOTIFY makes the commits of all transactions that use it wait for each other, and a burst needs one
-- wake-up, not thousands: only the transaction that gets the lock calls; what commits beside it is found by the relay's next look.
CREATE FUNCTION outbox_wake() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_try_advisory_xact_lock(hashtext('outbox wake'), hashtext(TG_TABLE_SCHEMA)) THEN
        PERFORM pg_notify('outbox_' || TG_TABLE_SCHEMA, '');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER outbox_wake AFTER INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION outbox_wake();

CREATE TABLE applied (                                      -- how far the events of other services are worked into this schema
    topic       TEXT   NOT NULL,
    partition   INT    NOT NULL,
    next_offset BIGINT NOT NULL,                            -- the first offset not yet applied; written with the work itself
    PRIMARY KEY (topic, partition)
);

CREATE TABLE idempotency_keys (                             -- answers to writes that carried an Idempotency-Key, for 24 h
    user_id     TEXT NOT NULL,
    method      TEXT NOT NULL,
    path        TEXT NOT NULL,
    key         TEXT NOT NULL,                              -- chosen by the client
    fingerprint TEXT NOT NULL,                              -- SHA-256 of the body: another body is another request
    status      INT  NOT NULL,
    body        TEXT NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key, method, path)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at); -- the sweep takes the oldest
