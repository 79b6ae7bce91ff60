"""Who a peer is, what it may do, and the records that hide what it says: DTLS sessions, credentials, policies.

RULES: no socket, no clock, no OpenSSL: bytes, objects and ``now`` in, decisions out. Secrets are in no text that these
objects give of themselves.
"""
