-- Social log-ins under way. A row lives from the redirect to the provider until its one-time code is swapped or too old.

CREATE TABLE social_logins (
    state_hash   bytea       PRIMARY KEY,                       -- of the state parameter
    provider     text        NOT NULL,
    browser_hash bytea       NOT NULL,                          -- of the cookie madang_social: the browser that started it
    return_to    text        NOT NULL,
    nonce        text        NOT NULL,                          -- must come back inside the id_token
    verifier     text        NOT NULL,                          -- PKCE
    expires_at   timestamptz NOT NULL,
    claimed_at   timestamptz,                                   -- a callback is at work; a second one waits for its result
    decided_at   timestamptz,
    outcome      text,                                          -- ok, or the error of the redirect; the same at every callback
    user_id      uuid        REFERENCES accounts (id),
    code_hash    bytea       UNIQUE,                            -- of the one-time code (itself derived from the state)
    exchanged_at timestamptz
);
CREATE INDEX social_logins_expires ON social_logins (expires_at);
