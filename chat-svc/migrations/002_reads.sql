-- What reading asks for, and files that go.

CREATE INDEX rooms_open ON rooms (active_at DESC, id DESC) WHERE kind IN ('global', 'company') AND closed_at IS NULL;
CREATE INDEX messages_by_file ON messages (file_id) WHERE file_id IS NOT NULL;

CREATE TABLE room_keys (                             -- rooms opened with an Idempotency-Key, for 24 h: a repeat is the same room
    user_id     uuid NOT NULL,
    key         text NOT NULL,
    fingerprint text NOT NULL,                       -- SHA-256 of the body: another body is another request
    room_id     uuid NOT NULL,
    at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key)
);
CREATE INDEX room_keys_at ON room_keys (at);

CREATE TABLE file_trash (                            -- objects whose row is gone; a row stays until the object is deleted
    key text PRIMARY KEY,
    due timestamptz NOT NULL DEFAULT now()
);
