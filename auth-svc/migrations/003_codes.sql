-- Six-digit codes, the proofs they turn into, and what was sent (for the quotas). Nothing here can be read back:
-- codes are keyed hashes, proofs are hashes of 256 random bits.

CREATE TABLE codes (                                            -- at most one per purpose and address
    purpose    text        NOT NULL,
    address    text        NOT NULL,                            -- folded e-mail or normal phone number
    code_mac   bytea       NOT NULL,
    tries      int         NOT NULL DEFAULT 0,
    sent_at    timestamptz NOT NULL,                            -- resend once a minute
    expires_at timestamptz NOT NULL,
    used       boolean     NOT NULL DEFAULT false,              -- kept until it expires, so that the minute holds
    PRIMARY KEY (purpose, address)
);
CREATE INDEX codes_expires ON codes (expires_at);

CREATE TABLE code_sends (                                       -- one row per code asked for, kept for the longest quota
    address text        NOT NULL,
    ip      text        NOT NULL,
    at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX code_sends_address ON code_sends (address, at);
CREATE INDEX code_sends_ip ON code_sends (ip, at);
CREATE INDEX code_sends_at ON code_sends (at);

CREATE TABLE proofs (                                           -- "this address answered a code for this purpose": used once
    proof_hash bytea       PRIMARY KEY,
    purpose    text        NOT NULL,
    address    text        NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX proofs_expires ON proofs (expires_at);
