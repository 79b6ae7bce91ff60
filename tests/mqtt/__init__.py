"""The plugin of plugins/mqtt: its pure parts, its connection, and all of it with a real daemon and a real broker."""
