-- The count of a log's row comes before its records: to count them is not to read them.
CREATE TABLE counted_events (
    id TEXT PRIMARY KEY NOT NULL, count INTEGER NOT NULL, value BLOB NOT NULL
) WITHOUT ROWID;
INSERT INTO counted_events SELECT id, count, value FROM events;
DROP TABLE events;
ALTER TABLE counted_events RENAME TO events;
CREATE TABLE counted_audit (
    id TEXT PRIMARY KEY NOT NULL, count INTEGER NOT NULL, value BLOB NOT NULL
) WITHOUT ROWID;
INSERT INTO counted_audit SELECT id, count, value FROM audit;
DROP TABLE audit;
ALTER TABLE counted_audit RENAME TO audit;
-- A row of the history may hold several samples, packed, from `time` to `last`; a count of 0 stands for one as it is.
ALTER TABLE history ADD COLUMN last INTEGER;
ALTER TABLE history ADD COLUMN count INTEGER NOT NULL DEFAULT 0;
