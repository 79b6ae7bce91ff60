-- The object lists that operators give to profile ids.
CREATE TABLE profiles (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
