-- Sessions (one per log-in and device), and the numbered list of what ended.

CREATE TABLE sessions (                                         -- one family of refresh tokens each
    id            uuid        PRIMARY KEY,                      -- claim sid
    user_id       uuid        NOT NULL REFERENCES accounts (id),
    device_name   text        NOT NULL,
    ip            text        NOT NULL,
    in_cookie     boolean     NOT NULL,                         -- the refresh token travels in madang_refresh
    current_hash  bytea       NOT NULL,                         -- SHA-256 of the refresh token that is good now
    twin_hash     bytea,                                        -- a second good one (POST /complete); one use ends both
    previous_hash bytea,                                        -- of the one before it
    rotated_at    timestamptz NOT NULL DEFAULT now(),           -- the one before it stays good for REFRESH_GRACE_SECONDS
    created_at    timestamptz NOT NULL DEFAULT now(),
    last_used_at  timestamptz NOT NULL DEFAULT now(),           -- last refresh
    expires_at    timestamptz NOT NULL,                         -- slides with each refresh,
    ends_at       timestamptz NOT NULL,                         -- but never past this
    ended_at      timestamptz,
    end_reason    text
);
CREATE INDEX sessions_live ON sessions (user_id, last_used_at DESC) WHERE ended_at IS NULL;
CREATE INDEX sessions_expiring ON sessions (expires_at) WHERE ended_at IS NULL;
CREATE INDEX sessions_ended ON sessions (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE revocation_counter (                               -- one row. Its lock is held from the numbering to the commit,
    one boolean PRIMARY KEY DEFAULT true CHECK (one),           -- so numbers are in commit order and a reader misses none
    n   bigint NOT NULL
);
INSERT INTO revocation_counter (n) VALUES (0);

CREATE TABLE revocations (                                      -- ended sessions and least role versions, while tokens could live
    n          bigint      PRIMARY KEY,
    session_id uuid,
    user_id    uuid,
    least_rv   bigint,                                          -- tokens of user_id with a lower rv are stale
    until      timestamptz NOT NULL,
    CHECK ((session_id IS NULL) <> (user_id IS NULL)),
    CHECK ((user_id IS NULL) = (least_rv IS NULL))
);
CREATE INDEX revocations_until ON revocations (until);
