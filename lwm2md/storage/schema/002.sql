-- The operator's object models, by Object ID and version.
CREATE TABLE models (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
-- The object lists that operators give to profile ids.
CREATE TABLE profile_ids (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
