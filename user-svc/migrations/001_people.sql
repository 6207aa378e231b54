-- Schema "users": people, what they are to each other, and the pictures that may go.

CREATE TABLE people (                                       -- everybody known; a withdrawn person keeps a blanked row
    user_id          uuid PRIMARY KEY,
    -- The read copy of auth-svc's accounts (topic accounts). Only the worker changes these columns; the caller's own row is
    -- made from the token with account_version 0, so that the first event wins.
    handle           text NOT NULL,
    nickname         text NOT NULL,
    email            text NOT NULL,                         -- '' when unknown or none
    role             text NOT NULL,                         -- guest, user, tutor, admin
    locale           text NOT NULL,
    withdrawn        boolean NOT NULL DEFAULT false,
    created_at       timestamptz NOT NULL,                  -- of the account
    account_version  bigint NOT NULL CHECK (account_version >= 0),
    -- What search looks at: NFC, case-folded. Written with the copy.
    handle_folded    text NOT NULL,
    nickname_folded  text NOT NULL,
    email_folded     text NOT NULL,
    grams            text[] NOT NULL,                       -- the pieces of two code points of both names
    -- The profile: ours.
    bio              text NOT NULL DEFAULT '',
    location         text NOT NULL DEFAULT '',
    interests        text[] NOT NULL DEFAULT '{}',
    avatar_key       text,                                  -- file name of the picture; NULL: a stock picture
    profile_version  bigint NOT NULL DEFAULT 0
);
CREATE INDEX people_grams ON people USING gin (grams) WITH (fastupdate = off);   -- a pending list would be scanned by each search
CREATE INDEX people_handle ON people (handle_folded);
CREATE INDEX people_nickname ON people (nickname_folded);
CREATE INDEX people_email ON people (email_folded) WHERE email_folded <> '';
CREATE INDEX people_avatar ON people (avatar_key) WHERE avatar_key IS NOT NULL;

CREATE TABLE pairs (                                        -- one row per two people who ever had to do with each other
    a              uuid NOT NULL,                           -- the smaller id: one row whoever begins, so crossing requests meet
    b              uuid NOT NULL,
    friends_since  timestamptz,                             -- set: they are friends
    requested_by   uuid,                                    -- set: a request is pending, from here ...
    requested_to   uuid,                                    -- ... to here
    requested_at   timestamptz,
    a_rejected_at  timestamptz,                             -- a's last request was rejected: a waits 24 h, b may ask at once
    b_rejected_at  timestamptz,
    a_blocked_at   timestamptz,                             -- a blocks b; each direction on its own
    b_blocked_at   timestamptz,
    a_told_at      timestamptz,                             -- a request of a was last told to b (not again within an hour)
    b_told_at      timestamptz,
    version        bigint NOT NULL DEFAULT 0,               -- grows by one with each change; events carry it
    PRIMARY KEY (a, b),
    CHECK (a < b),
    CHECK (num_nulls(requested_by, requested_to, requested_at) IN (0, 3)),
    CHECK (requested_by IS NULL OR (requested_by = a AND requested_to = b) OR (requested_by = b AND requested_to = a)),
    CHECK (friends_since IS NULL OR requested_by IS NULL),
    CHECK ((a_blocked_at IS NULL AND b_blocked_at IS NULL) OR (friends_since IS NULL AND requested_by IS NULL))
);
CREATE INDEX pairs_b ON pairs (b);
CREATE INDEX pairs_sent ON pairs (requested_by, requested_at, requested_to) WHERE requested_by IS NOT NULL;
CREATE INDEX pairs_received ON pairs (requested_to, requested_at, requested_by) WHERE requested_by IS NOT NULL;
CREATE INDEX pairs_a_blocks ON pairs (a, a_blocked_at, b) WHERE a_blocked_at IS NOT NULL;
CREATE INDEX pairs_b_blocks ON pairs (b, b_blocked_at, a) WHERE b_blocked_at IS NOT NULL;

CREATE TABLE friends (                                      -- both directions of each friendship, so that a list is one range of an index
    user_id    uuid NOT NULL,                               -- written only together with the pair's row, under its lock
    friend_id  uuid NOT NULL,
    since      timestamptz NOT NULL,                        -- = pairs.friends_since
    PRIMARY KEY (user_id, friend_id)
);
CREATE INDEX friends_list ON friends (user_id, since, friend_id);

CREATE TABLE trash (                                        -- pictures to delete: a picture stands here before it is stored and
    key      text PRIMARY KEY,                              -- leaves when a profile takes it, so a crash leaves no orphan
    due      timestamptz NOT NULL,
    claimed  boolean NOT NULL DEFAULT false                 -- the sweep has it: too late to take it
);
CREATE INDEX trash_due ON trash (due);
