"""CoAP without sockets and clocks: messages, exchanges, observation (RFC 7252, 7641, 7959, 7967, 8132, 9175).

`message` and `numbers` are the vocabulary; `engine` is the one class that a user drives: datagrams and `now` in,
datagrams out. Nothing here knows LwM2M.
"""

from __future__ import annotations
