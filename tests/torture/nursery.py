"""A process that has imported what the daemon needs and forks one daemon after the other: ``python nursery.py``.

RULES: a child is the daemon as twistd starts it, in a process of its own that can be killed with -9; only the seconds
that Python takes to import are saved. No reactor is installed before the fork. Orders come as JSON lines, one answer
line to each: ``["start", log, arguments]`` gives the process id, ``["kill", pid, signal]`` the status once it is gone,
``["signal", pid, signal]`` null, ``["gone", pid]`` the status or null.
"""

from __future__ import annotations

import json
import os
import sys
from typing import NoReturn


def _import_everything() -> None:
    import twisted.scripts.twistd  # noqa: F401, PLC0415

    if "twisted.internet.reactor" in sys.modules:
        raise SystemExit("a reactor is installed before the fork")


def _daemon(log: str, arguments: list[str]) -> NoReturn:
    """Become the daemon; never returns."""
    from twisted.scripts.twistd import run  # noqa: PLC0415

    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["twistd", "--pidfile=", "-n", "lwm2md", *arguments]
    status = 1
    try:
        run()
        status = 0
    except SystemExit as ended:
        if isinstance(ended.code, str):
            sys.stderr.write(f"{ended.code}\n")
        elif not ended.code:
            status = 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _start(log: str, arguments: list[str]) -> int:
    pid = os.fork()
    if pid == 0:
        _daemon(log, arguments)
    return pid


def _kill(pid: int, signal: int) -> int:
    os.kill(pid, signal)
    return os.waitpid(pid, 0)[1]


def _signal(pid: int, signal: int) -> None:
    os.kill(pid, signal)


def _gone(pid: int) -> int | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    return status if found else None


def main() -> None:
    """Carry out orders until there are no more."""
    _import_everything()
    orders = {"start": _start, "kill": _kill, "signal": _signal, "gone": _gone}
    for line in sys.stdin:
        order, *arguments = json.loads(line)
        sys.stdout.write(json.dumps(orders[order](*arguments)) + "\n")  # type: ignore[operator]
        sys.stdout.flush()


if __name__ == "__main__":
    main()
