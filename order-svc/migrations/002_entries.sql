-- The four ledger lines of a trade follow from its row, so they are not written a second time: `entries` has the lines of all other
-- events, and `ledger` is a view of both. Half of what settlement wrote were lines of trades and their index.

CREATE TABLE entries (                                      -- double entry: the lines of one event sum to zero per asset
    market_id   uuid NOT NULL,
    seq         bigint NOT NULL,                            -- of the event
    line        int NOT NULL,                               -- from 0 within the event
    user_id     uuid,                                       -- NULL: the issuer, whom all money and shares come from and return to
    company_id  uuid,                                       -- NULL: cash; else shares of this company
    amount      bigint NOT NULL CHECK (amount <> 0),        -- what the owner has more (or less) of
    PRIMARY KEY (market_id, seq, line)
);

LOCK TABLE ledger, trades;
INSERT INTO entries (market_id, seq, line, user_id, company_id, amount)
    SELECT market_id, seq, line, user_id, company_id, amount FROM ledger l
    WHERE NOT EXISTS (SELECT FROM trades t WHERE t.market_id = l.market_id AND t.seq = l.seq);
DROP TABLE ledger;

CREATE VIEW ledger (market_id, seq, line, user_id, company_id, amount) AS
    SELECT market_id, seq, line, user_id, company_id, amount FROM entries
    UNION ALL
    SELECT c.market_id, t.seq, l.line, l.user_id, l.company_id, l.amount
    FROM companies c JOIN trades t ON t.company_id = c.id
    CROSS JOIN LATERAL (VALUES
        (0, CASE t.taker_side WHEN 'buy' THEN t.taker ELSE t.maker END, NULL::uuid,   -t.price * t.quantity),
        (1, CASE t.taker_side WHEN 'buy' THEN t.taker ELSE t.maker END, t.company_id, t.quantity),
        (2, CASE t.taker_side WHEN 'buy' THEN t.maker ELSE t.taker END, NULL::uuid,   t.price * t.quantity),
        (3, CASE t.taker_side WHEN 'buy' THEN t.maker ELSE t.taker END, t.company_id, -t.quantity)
    ) AS l (line, user_id, company_id, amount);

-- An instance of the release before, which runs beside this one while instances are replaced, tells lines to the ledger: those of a
-- trade, which it has written before, are there already.
CREATE FUNCTION ledger_told() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM companies c JOIN trades t ON t.company_id = c.id WHERE c.market_id = new.market_id AND t.seq = new.seq) THEN
        INSERT INTO entries VALUES (new.market_id, new.seq, new.line, new.user_id, new.company_id, new.amount);
    END IF;
    RETURN new;
END
$$;
CREATE TRIGGER ledger_told INSTEAD OF INSERT ON ledger FOR EACH ROW EXECUTE FUNCTION ledger_told();
