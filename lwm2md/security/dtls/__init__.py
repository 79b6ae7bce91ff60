"""DTLS 1.2 (RFC 6347) after its handshake: records, key blocks, sessions, Connection ID (RFC 9146)."""
