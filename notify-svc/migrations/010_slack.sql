-- Slack: whose account is whose Slack user, the codes that prove it, and the events Slack told.

CREATE TABLE slack_links (
    user_id   uuid PRIMARY KEY,
    slack_id  text UNIQUE,                                  -- a Slack user for one account at a time; NULL: unlinked by its owner, so an event does not link again
    how       text NOT NULL CHECK (how IN ('code', 'email')),
    linked_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE slack_codes (                                  -- at most one a user: the last one asked for
    user_id    uuid PRIMARY KEY,
    slack_id   text NOT NULL,
    salt       bytea NOT NULL,
    code_hash  bytea NOT NULL,                              -- SHA-256 of salt and code
    tries      integer NOT NULL DEFAULT 0 CHECK (tries >= 0),
    expires_at timestamptz NOT NULL
);
CREATE INDEX slack_codes_expires ON slack_codes (expires_at);

CREATE TABLE slack_code_sends (                             -- for the quotas: nobody's Slack fills with our codes
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id  uuid NOT NULL,
    slack_id text NOT NULL,
    at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX slack_code_sends_user ON slack_code_sends (user_id, at);
CREATE INDEX slack_code_sends_slack ON slack_code_sends (slack_id, at);
CREATE INDEX slack_code_sends_at ON slack_code_sends (at);

CREATE TABLE slack_events (                                 -- what Slack told, once each, though it tells again until it hears 200
    event_id    text PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('team_join', 'member_joined_channel')),
    slack_id    text NOT NULL,                              -- who joined
    channel     text NOT NULL,                              -- which channel; '' of team_join
    state       text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'dead')),
    attempts    integer NOT NULL DEFAULT 0,
    next_try_at timestamptz NOT NULL DEFAULT now(),         -- who takes it moves this ahead
    received_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX slack_events_due ON slack_events (next_try_at) WHERE state = 'waiting';
CREATE INDEX slack_events_received ON slack_events (received_at);
