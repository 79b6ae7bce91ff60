-- What was committed and is not in its table yet, a batch each; empty in a database that was closed.
CREATE TABLE journal (id INTEGER PRIMARY KEY, value BLOB NOT NULL);
-- A row of a log may hold several records, packed, under the id of the last one; 0 stands for one record as it is.
ALTER TABLE events ADD COLUMN count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE audit ADD COLUMN count INTEGER NOT NULL DEFAULT 0;
