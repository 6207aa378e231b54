-- Schema "notify": what people are told, what left to the outside and what became of it, and what they want to be told.

CREATE TABLE accounts (                                     -- the read copy of auth-svc's accounts (topic accounts); a withdrawn one keeps a blanked row
    user_id        uuid PRIMARY KEY,
    email          text NOT NULL,                           -- '' when none
    email_verified boolean NOT NULL,
    nickname       text NOT NULL,
    phone          text NOT NULL,                           -- E.164; '' when none
    locale         text NOT NULL,
    withdrawn      boolean NOT NULL DEFAULT false,
    version        bigint NOT NULL CHECK (version > 0)
);
CREATE INDEX accounts_email ON accounts (lower(email)) WHERE email <> '';

CREATE TABLE inboxes (                                      -- one row per user who was ever told something; its lock orders all that happens to the inbox
    user_id     uuid PRIMARY KEY,
    last_seq    bigint NOT NULL DEFAULT 0 CHECK (last_seq >= 0),      -- of the newest notice; grows by one per notice, without gaps
    read_up_to  bigint NOT NULL DEFAULT 0 CHECK (read_up_to >= 0),    -- all up to here are read
    read_rev    bigint NOT NULL DEFAULT 0 CHECK (read_rev >= 0),      -- grows with each change of read marks: streams compare it
    CHECK (read_up_to <= last_seq)
);

CREATE TABLE notices (                                      -- the inbox
    user_id    uuid NOT NULL,
    seq        bigint NOT NULL CHECK (seq > 0),
    id         uuid NOT NULL,
    kind       text NOT NULL,
    dedupe_id  text NOT NULL,                               -- the sender's: told twice is stored once
    title      text NOT NULL,                               -- in the language the user had then
    body       text NOT NULL,
    data       text NOT NULL,                               -- JSON object: what the templates were filled with
    at         timestamptz NOT NULL,                        -- when it was asked for
    stored_at  timestamptz NOT NULL DEFAULT now(),
    read_at    timestamptz,
    read_rev   bigint,                                      -- inboxes.read_rev when it was marked by its id; NULL: not, or with all before it
    PRIMARY KEY (user_id, seq),
    CONSTRAINT notices_once UNIQUE (user_id, dedupe_id)
);
CREATE UNIQUE INDEX notices_id ON notices (id);
CREATE INDEX notices_unread ON notices (user_id, seq) WHERE read_at IS NULL;
CREATE INDEX notices_marked ON notices (user_id, read_rev) WHERE read_rev IS NOT NULL;
CREATE INDEX notices_stored ON notices (stored_at);

CREATE TABLE deliveries (                                   -- one row per notice and outgoing channel: the queue, the dead letters, the record
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel     text NOT NULL,                              -- email, sms, slack; push rows are 'sent' at once: they left as push.requests
    target      text NOT NULL,                              -- the user id, or the address
    kind        text NOT NULL,
    dedupe_id   text NOT NULL,
    user_id     uuid,                                       -- NULL: to an address
    address     text,                                       -- NULL: e-mail and telephone of the account, looked up at each attempt
    locale      text NOT NULL,
    title       text NOT NULL,
    body        text NOT NULL,
    secret      boolean NOT NULL,                           -- title and body are blanked once it is over
    state       text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'dead', 'dropped')),
    attempts    integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_try_at timestamptz NOT NULL DEFAULT now(),         -- a sender that takes it moves this ahead: who dies while sending gives it back
    expires_at  timestamptz NOT NULL,                       -- worth nothing afterwards: dead
    reason      text NOT NULL DEFAULT '',                   -- of the last attempt that failed
    created_at  timestamptz NOT NULL DEFAULT now(),
    done_at     timestamptz,
    CONSTRAINT deliveries_once UNIQUE (target, channel, dedupe_id),
    CHECK ((state = 'waiting') = (done_at IS NULL))
);
CREATE INDEX deliveries_due ON deliveries (channel, next_try_at) WHERE state = 'waiting';
CREATE INDEX deliveries_dead ON deliveries (channel, id) WHERE state = 'dead';
CREATE INDEX deliveries_done ON deliveries (done_at) WHERE done_at IS NOT NULL;
CREATE INDEX deliveries_user ON deliveries (user_id) WHERE state = 'waiting' AND user_id IS NOT NULL;

CREATE TABLE choices (                                      -- what users chose apart from the kinds' defaults
    user_id  uuid NOT NULL,
    kind     text NOT NULL,
    named    integer NOT NULL,                              -- the channels chosen, a bit each (enum channel_bit) ...
    wanted   integer NOT NULL,                              -- ... and those of them that are on
    PRIMARY KEY (user_id, kind),
    CHECK (wanted & ~named = 0)
);

CREATE TABLE preferences (                                  -- one row per user who ever changed a setting
    user_id    uuid PRIMARY KEY,
    quiet_from text,                                        -- '22:00'; all three NULL: no quiet hours
    quiet_to   text,
    time_zone  text,                                        -- a name of the time zone database
    version    bigint NOT NULL DEFAULT 0,                   -- grows with each change; notify.settings carries it
    CHECK (num_nulls(quiet_from, quiet_to, time_zone) IN (0, 3))
);

CREATE TABLE stream_sessions (                              -- sessions that opened a stream by a ticket: their cookie works until they end
    session_id uuid PRIMARY KEY,
    user_id    uuid NOT NULL,
    used_at    timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz                                  -- set also for sessions never seen here, so that a late ticket finds it
);
CREATE INDEX stream_sessions_used ON stream_sessions (used_at);

CREATE TABLE stream_keys (                                  -- what signs the streams' cookies; one row, made at the first start
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    key      bytea NOT NULL CHECK (length(key) = 32)
);
