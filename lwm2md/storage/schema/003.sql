-- Series of values over time: each device (owner) has one for each path (name); times are Unix microseconds.
CREATE TABLE history (
    owner TEXT NOT NULL, name TEXT NOT NULL, time INTEGER NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (owner, name, time)
) WITHOUT ROWID;
