-- Credentials of devices by identity, sealed where the operator has given a key.
CREATE TABLE credentials (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
-- Devices that were refused, and why.
CREATE TABLE refused (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
-- DTLS sessions by their id in hex, sealed like credentials.
CREATE TABLE sessions (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
-- Who did what when.
CREATE TABLE audit (id TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
