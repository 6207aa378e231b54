-- Rooms for everybody are few: they are found by their kind. (With the time of the last message in an index, every message would touch it.)
DROP INDEX rooms_open;
CREATE INDEX rooms_open ON rooms (kind) WHERE kind IN ('global', 'company') AND closed_at IS NULL;
