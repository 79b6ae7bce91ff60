"""A process that commits until it is killed: prints the number of each commit once it was acknowledged."""

from __future__ import annotations

import sys

from twisted.internet import reactor, task
from twisted.internet.defer import Deferred

from lwm2md.storage.interface import Append, Batch, Write
from lwm2md.storage.sqlite import SQLiteStorage


async def _main(path: str) -> None:
    storage = SQLiteStorage(path, reactor)  # type: ignore[arg-type]
    await storage.open()
    number = 0
    while True:
        number += 1
        key = f"{number:06}"
        await storage.commit(
            Batch(
                [Write("devices", key, key.encode()), Write("meta", "last", key.encode())],
                [Append("events", key, b"e")],
            )
        )
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    task.react(lambda _reactor, path: Deferred.fromCoroutine(_main(path)), sys.argv[1:])
