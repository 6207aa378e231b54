-- Schema "push": whose devices there are, what is to be pushed to them, and what came of it.

-- ---- read copies: written only by the workers, together with the offset --------------------------------------------------

CREATE TABLE people (                                       -- of topic accounts; a withdrawn person keeps a row
    user_id          uuid PRIMARY KEY,
    locale           text NOT NULL DEFAULT '',
    withdrawn        boolean NOT NULL DEFAULT false,
    account_version  bigint NOT NULL DEFAULT 0              -- 0: made from a token before the event came
);

CREATE TABLE presence (                                     -- of topic presence.changes: the truth, not what friends may see
    user_id  uuid PRIMARY KEY,                              -- no row: was never seen, so is not there
    online   boolean NOT NULL,
    n        bigint NOT NULL                                -- an older change changes nothing
);

CREATE TABLE preferences (                                  -- of topic notify.settings: what people chose about pushes
    user_id      uuid PRIMARY KEY,                          -- no row: everything on, no quiet hours
    chat_off     boolean NOT NULL,                          -- no pushes of chat messages (other kinds are held back by their sender)
    quiet_start  int CHECK (quiet_start BETWEEN 0 AND 1439),-- minutes of the day in `zone`; start > end runs over midnight
    quiet_end    int CHECK (quiet_end BETWEEN 0 AND 1439),
    zone         text,                                      -- a name that PostgreSQL knows: looked up before it is stored
    version      bigint NOT NULL,
    CHECK (num_nulls(quiet_start, quiet_end, zone) IN (0, 3))
);

CREATE TABLE ended_sessions (                               -- of topic sessions.ended, for as long as a token of theirs could still be shown:
    session_id  uuid PRIMARY KEY,                           -- a device that is put after its session's end is refused
    ended_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ended_sessions_at ON ended_sessions (ended_at);

-- ---- ours --------------------------------------------------------------------------------------------------------------

CREATE TABLE devices (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id       uuid NOT NULL,
    device_id     text NOT NULL,                            -- chosen by the app; its own among the user's
    session_id    uuid NOT NULL,                            -- the session that put it last: the device goes with it
    platform      text NOT NULL CHECK (platform IN ('android', 'ios', 'web')),
    name          text,
    address       text NOT NULL,                            -- the registration token, or the endpoint of the subscription. Both are secrets
    address_hash  bytea NOT NULL UNIQUE,                    -- SHA-256: one address is one device of one user, wherever it was put last
    p256dh        bytea,                                    -- of a subscription: the browser's public key (65 bytes) ...
    auth          bytea,                                    -- ... and its secret (16 bytes); NULL: a token
    slow_until    timestamptz,                              -- the provider's quota for this device is used up until then
    created_at    timestamptz NOT NULL DEFAULT now(),
    put_at        timestamptz NOT NULL DEFAULT now(),       -- beyond the limit the one put longest ago goes
    UNIQUE (user_id, device_id),
    CHECK ((p256dh IS NULL) = (auth IS NULL))
);
CREATE INDEX devices_session ON devices (session_id);

CREATE TABLE requests (                                     -- one row per push asked for: (user, dedupe_id) once
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id       uuid NOT NULL,
    dedupe_id     text NOT NULL,
    source        text NOT NULL,                            -- chat or notify
    urgent        boolean NOT NULL,                         -- about the account's safety: quiet hours do not hold it
    title         text NOT NULL,
    body          text NOT NULL,
    data          text NOT NULL,                            -- a JSON object of texts
    collapse_key  text,                                     -- a newer one with the same key replaces it on the device
    expires_at    timestamptz NOT NULL,
    at            timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, dedupe_id)
);
CREATE INDEX requests_at ON requests (at);                  -- the sweep takes the oldest

CREATE TABLE sends (                                        -- one row per request and device
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request_id   bigint NOT NULL REFERENCES requests ON DELETE CASCADE,
    user_id      uuid NOT NULL,
    device       bigint NOT NULL,                           -- devices.id; the device may be gone meanwhile, and its number never comes again
    channel      text NOT NULL CHECK (channel IN ('fcm', 'web')),
    low_value    boolean NOT NULL,                          -- goes first when the queue is full: chat, which stays unread in the app
    collapse_key text,
    state        text NOT NULL DEFAULT 'queued' CHECK (state IN
                     ('queued',                             -- waits for its first try
                      'retry',                              -- waits for the next one, at next_at
                      'delivered',                          -- the provider (or the local sink) took it
                      'dead_token',                         -- the address is no good: the device was removed
                      'dropped',                            -- by policy: see reason
                      'rejected')),                         -- the provider says the message is wrong: a dead letter, ours to look at
    reason       text,                                      -- why it waits, or why it ended
    attempts     int NOT NULL DEFAULT 0,
    next_at      timestamptz NOT NULL DEFAULT now(),        -- taken by an instance: the end of its claim
    claimed_by   int,                                       -- the slot of the instance that has it in hand
    done_at      timestamptz,                               -- NULL while it waits
    created_at   timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX sends_due ON sends (channel, next_at) WHERE done_at IS NULL;
CREATE INDEX sends_low ON sends (low_value DESC, id) WHERE done_at IS NULL;     -- whose turn it is to go when the queue is full
CREATE INDEX sends_request ON sends (request_id);
CREATE INDEX sends_collapse ON sends (device, collapse_key, id) WHERE collapse_key IS NOT NULL; -- is there a newer one?

CREATE TABLE sink (                                         -- where no credentials are set: what would have left, for the developer to read
    send_id    bigint PRIMARY KEY,
    user_id    uuid NOT NULL,
    device_id  text NOT NULL,
    platform   text NOT NULL,
    title      text NOT NULL,
    body       text NOT NULL,
    data       text NOT NULL,
    at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sink_user ON sink (user_id, at);
CREATE INDEX sink_at ON sink (at);

CREATE TABLE vapid (                                        -- the key of this deployment where no setting gives one, so that browsers can subscribe
    one          boolean PRIMARY KEY DEFAULT true CHECK (one),
    private_key  bytea NOT NULL                             -- 32 bytes
);
