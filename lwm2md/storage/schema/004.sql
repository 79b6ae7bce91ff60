-- Templates of observations, by name.
CREATE TABLE templates (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
