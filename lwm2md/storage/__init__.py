"""Where the daemon keeps what must survive: one interface, a volatile implementation and SQLite."""
