-- Events that are no text: market.commands have a binary form (common/market.h). A row has one of the two.
ALTER TABLE outbox ALTER COLUMN payload DROP NOT NULL;
ALTER TABLE outbox ADD COLUMN bytes BYTEA;                  -- the payload as it leaves, where it is no text
ALTER TABLE outbox ADD CONSTRAINT outbox_one_payload CHECK ((payload IS NULL) <> (bytes IS NULL));
