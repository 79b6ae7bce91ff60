"""Gets every foreign peer into the cache: ``python -m tests.peers.install``. What is there already costs nothing."""

from __future__ import annotations

import sys
import time

from tests.peers import (
    aiocoap,
    leshan_client,
    leshan_demo_server,
    libcoap,
    libcoap_server,
    mosquitto,
    node_lwm2m,
    openssl,
    schemathesis_cli,
    txthings,
)


def main() -> int:
    """Install all peers, one line each."""
    for name, install in (
        ("Leshan client", leshan_client.install),
        ("Leshan demo server", leshan_demo_server.install),
        ("libcoap coap-client", libcoap.install),
        ("libcoap coap-server", libcoap_server.install),
        ("openssl", openssl.install),
        ("aiocoap", aiocoap.install),
        ("txthings", txthings.install),
        ("mosquitto", mosquitto.install),
        ("lwm2m-node-lib", node_lwm2m.install),
        ("schemathesis", schemathesis_cli.install),
    ):
        start = time.monotonic()
        found = install()
        sys.stdout.write(f"{name}: {' '.join(found)} ({time.monotonic() - start:.1f} s)\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
