-- Snapshots of a market go an hour after it was closed, its row when the log has forgotten it.
CREATE INDEX markets_closed ON markets (closed_at) WHERE closed_at IS NOT NULL;
