-- What the owner's batches ask for. Rooms and members are updated by every message: no index may hold what then changes (marks, revisions, the time of the
-- last message), and pages keep room, so that an update stays in its page and touches no index. "Not read by n" reads the few members of one room.

DROP INDEX members_by_mark;
ALTER TABLE rooms SET (fillfactor = 50);
ALTER TABLE members SET (fillfactor = 70);

CREATE INDEX relations_blocks_a ON relations (a) WHERE blocked_by <> '{}';   -- who may not hear whom
CREATE INDEX relations_blocks_b ON relations (b) WHERE blocked_by <> '{}';

ALTER TABLE events_out SET (                         -- a table that is almost empty and turns over fast
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 2000
);
