-- Schema "presence": which connections are open, who is here by them, and who may know.

CREATE TABLE people (                                       -- everybody who ever connected, chose a setting or withdrew
    user_id         uuid PRIMARY KEY,
    partition       int NOT NULL DEFAULT -1,                -- of presence.signals; -1: no signal yet
    online          boolean NOT NULL DEFAULT false,         -- what was told last (presence.changes)
    look_at         timestamptz,                            -- online: look again then; at the latest when the last connection's time is over
    last_seen       timestamptz,                            -- of the last signal when he or she went; NULL: never seen
    visible         boolean NOT NULL DEFAULT true,          -- false: offline to others
    show_last_seen  boolean NOT NULL DEFAULT true,
    withdrawn       boolean NOT NULL DEFAULT false,         -- the account is gone: offline for good, in nobody's list
    n               bigint NOT NULL DEFAULT 0,              -- grows by one with each change that is told
    CHECK (NOT online OR (look_at IS NOT NULL AND NOT withdrawn))
) WITH (fillfactor = 80);
CREATE INDEX people_due ON people (look_at) WHERE online;   -- the sweep

CREATE TABLE connections (                                  -- one row per connection, for as long as its signals may still come twice
    connection_id   uuid PRIMARY KEY,
    user_id         uuid NOT NULL,
    n               bigint NOT NULL,                        -- of its last signal; lower ones change nothing
    seen_at         timestamptz NOT NULL,                   -- of its last signal
    until           timestamptz NOT NULL,                   -- the user is here until then: the lease's end, or a moment after the close
    closed          boolean NOT NULL                        -- for good
) WITH (fillfactor = 80);
CREATE INDEX connections_user ON connections (user_id);     -- no index on until: a beat then touches no index at all

CREATE TABLE relations (                                    -- read copy of user-svc's relations: who is whose friend
    a               uuid NOT NULL,
    b               uuid NOT NULL,
    friend          boolean NOT NULL,                       -- friends, and neither blocks the other
    version         bigint NOT NULL,
    PRIMARY KEY (a, b),
    CHECK (a < b)
);
CREATE INDEX relations_b ON relations (b) WHERE friend;
