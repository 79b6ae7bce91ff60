-- The operator's device profiles, by name.
CREATE TABLE device_profiles (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
-- What was found out of devices, by Endpoint Client Name: their deviations and abilities.
CREATE TABLE findings (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
