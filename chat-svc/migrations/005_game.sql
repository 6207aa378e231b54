-- What the trading game brings: lines that the server says once, and the companies of each market.

CREATE TABLE said (                                  -- server's messages that a room has got: a command that comes twice says nothing twice
    message_id uuid PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now()    -- swept after some days: doubles come soon or never
);
CREATE INDEX said_at ON said (at);

CREATE TABLE market_companies (                      -- of rounds that were announced: fills name companies by their number
    market     uuid NOT NULL,
    index      integer NOT NULL,
    company_id uuid NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (market, index)
);
CREATE INDEX market_companies_at ON market_companies (at);

-- Company rooms go some time after their round; then their messages go first.
CREATE INDEX rooms_closed ON rooms (closed_at) WHERE kind = 'company' AND closed_at IS NOT NULL;
