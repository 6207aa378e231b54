-- The ES256 keys. All instances read them here, so all sign with the same one.

CREATE TABLE signing_keys (
    kid         text        PRIMARY KEY,
    private_pem text        NOT NULL,                           -- only this schema's role can read it
    x           text        NOT NULL,                           -- the public point, base64url
    y           text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),             -- published from here
    signs_from  timestamptz NOT NULL,                           -- signs from here, until a younger one does
    gone_at     timestamptz                                     -- no longer published; set when its successor is made
);
CREATE INDEX signing_keys_signs ON signing_keys (signs_from);
