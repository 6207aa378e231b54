-- Who has an account, and by which names and outside identities they are known.
-- Names are unique by constraint, on folded columns: two sign-ups at once can't both win.

CREATE TABLE accounts (                                         -- every account ever made; a withdrawn one keeps its row
    id              uuid        PRIMARY KEY,                    -- UUIDv7
    email           text        CHECK (length(email) <= 254),   -- as typed; NULL: social log-in without one, or withdrawn
    email_folded    text,                                       -- lower case: what is compared
    email_verified  boolean     NOT NULL DEFAULT false,         -- the address answered a code, or a provider vouched for it
    handle          text        CHECK (handle ~ '^[a-z0-9_.]{2,30}$'),
    nickname        text,                                       -- as shown (NFC)
    nickname_folded text,                                       -- NFKC and case-folded: what is compared
    name            text        CHECK (length(name) <= 50),     -- the real one, if told; never an event
    gender          text        CHECK (gender IN ('female', 'male')),
    birth_date      date,
    phone           text        CHECK (phone ~ '^\+?[0-9]{8,15}$'), -- proved, digits only; people may share one
    phone_proved_at timestamptz,                                -- find_login answers with the newest
    password_hash   text,                                       -- Argon2id with its parameters; NULL: social only
    locale          text        NOT NULL DEFAULT 'en' CHECK (locale IN ('en', 'ko')),
    role            text        NOT NULL CHECK (role IN ('guest', 'user', 'tutor', 'admin')),
    role_version    bigint      NOT NULL DEFAULT 1,             -- claim rv; older tokens are stale
    version         bigint      NOT NULL DEFAULT 1,             -- grows with each change that other services are told
    created_at      timestamptz NOT NULL DEFAULT now(),
    last_login_at   timestamptz,
    withdrawn_at    timestamptz,
    CHECK (withdrawn_at IS NOT NULL OR (handle IS NOT NULL AND nickname_folded IS NOT NULL)),
    CHECK (withdrawn_at IS NULL OR (email IS NULL AND handle IS NULL AND nickname IS NULL AND phone IS NULL))
);
CREATE UNIQUE INDEX accounts_email_key    ON accounts (email_folded);
CREATE UNIQUE INDEX accounts_handle_key   ON accounts (handle);
CREATE UNIQUE INDEX accounts_nickname_key ON accounts (nickname_folded);
CREATE INDEX accounts_phone ON accounts (phone, phone_proved_at DESC) WHERE phone IS NOT NULL;
CREATE INDEX accounts_admins ON accounts (id) WHERE role = 'admin';   -- few; "is there another one?"

CREATE TABLE withdrawn_logins (                                 -- the freed names of withdrawn accounts, as keyed hashes, so that
    login_mac bytea NOT NULL,                                   -- the right password is still told "withdrawn"
    user_id   uuid  NOT NULL REFERENCES accounts (id),
    PRIMARY KEY (login_mac, user_id)                            -- a freed name can be used, and freed, again
);

CREATE TABLE identities (                                       -- social log-ins: who a provider says it is, never an e-mail
    provider   text        NOT NULL,
    subject    text        NOT NULL CHECK (length(subject) <= 255),
    user_id    uuid        NOT NULL REFERENCES accounts (id),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (provider, subject)                             -- kept after withdrawal: no way back in
);
CREATE INDEX identities_user ON identities (user_id);

CREATE TABLE devices (                                          -- browsers that logged in before (a cookie): strangers' failures
    user_id     uuid        NOT NULL REFERENCES accounts (id),  -- do not lock them out
    device_hash bytea       NOT NULL,
    seen_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, device_hash)
);
CREATE INDEX devices_seen ON devices (seen_at);

CREATE TABLE secrets (                                          -- made once when AUTH_SECRET is not set
    name  text  PRIMARY KEY,
    value bytea NOT NULL
);
