"""The command line: so many kills by a seed; 1 with seed, kill and trail where a promise was broken."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import traceback
from pathlib import Path
from random import Random
from typing import Any, Final

from twisted.internet import task
from twisted.internet.defer import Deferred

from tests.torture.bus import Bus
from tests.torture.model import Violation
from tests.torture.power import Power
from tests.torture.torture import Torture

_SYNC: Final = 0.004
"""Seconds that a sync takes, so that kills fall into it."""


async def torture(
    seed: int,
    kills: int,
    *,
    power: bool = False,
    lies: bool = False,
    mqtt: bool = False,
    dtls: bool = False,
    keep: str | None = None,
) -> int:
    """Torture a new daemon, tell of it, and return the exit status; what it left when it failed goes to ``keep``."""
    with tempfile.TemporaryDirectory(prefix="lwm2md-torture-") as place:
        directory = Path(place)
        below = Power(directory) if power or lies else None
        if below is not None:
            below.faults(lies=lies, delay=_SYNC)
        tortured = Torture(directory, seed, power=below, bus=Bus(directory) if mqtt else None, dtls=dtls)
        try:
            await tortured.run(kills)
        except Exception as error:
            for line in tortured.model.trail:
                sys.stderr.write(f"{line}\n")
            if not isinstance(error, Violation):
                traceback.print_exc()
            sys.stderr.write(tortured.daemon.text()[-2000:])
            sys.stderr.write(f"torture: FAILED, seed {seed}, kill {tortured.figures.kills}: {error}\n")
            if keep is not None:
                tortured.daemon.kill()
                shutil.copytree(directory, keep, dirs_exist_ok=True)
            return 1
        finally:
            await tortured.close()
        sys.stdout.write(f"torture: seed {seed}: {tortured.figures.text(tortured)}\n")
        return 0


def main() -> None:
    """Run as the command line says, and exit."""
    parser = argparse.ArgumentParser("python -m tests.torture", description="Kill a daemon under load, and compare.")
    parser.add_argument("--kills", type=int, default=100, help="how often (default: 100)")
    parser.add_argument("--seed", type=int, default=None, help="the seed of all choices (default: any)")
    parser.add_argument("--power", action="store_true", help="each kill is a power cut: what is not synced is lost")
    parser.add_argument("--lies", action="store_true", help="so it is, and syncs do nothing: this must fail")
    parser.add_argument("--mqtt", action="store_true", help="a broker reads the events, too")
    parser.add_argument("--dtls", action="store_true", help="the fleet speaks DTLS")
    parser.add_argument("--keep", metavar="DIRECTORY", help="where the state goes when a promise was broken")
    options = parser.parse_args()
    seed = Random().randrange(1 << 32) if options.seed is None else options.seed

    def run(_: Any) -> Deferred[None]:
        async def whole() -> None:
            how = {name: getattr(options, name) for name in ("power", "lies", "mqtt", "dtls", "keep")}
            status = await torture(seed, options.kills, **how)
            if status:
                raise SystemExit(status)

        return Deferred.fromCoroutine(whole())

    task.react(run)


if __name__ == "__main__":
    main()
