-- How far each plugin has come in the log of events, by plugin and subscription.
CREATE TABLE cursors (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
-- What plugins keep of their own, by plugin and key.
CREATE TABLE notes (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
