"""``--watch``: a command again and again, as a screen that is refreshed or as JSON lines.

RULES: what fails at first ends it; a failure after that is shown, and it goes on, so that a restart of the daemon ends
nothing. On a terminal only as many lines are shown as fit.
"""

from __future__ import annotations

import io
import shutil
import time
from argparse import Namespace
from collections.abc import Callable
from typing import Final, TextIO

from lwm2md.ctl.client import Client
from lwm2md.ctl.errors import CommandError
from lwm2md.ctl.output import Output

_HOME: Final = "\x1b[H\x1b[2J"


def repeat(
    options: Namespace,
    client: Client,
    output: Output,
    *,
    note: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Run the command of ``options`` every so many seconds until it is interrupted. Raises CommandError at first."""
    first = True
    while True:
        try:
            if output.as_json:
                options.run(options, client, output)
            else:
                _screen(options, client, output.stream)
        except CommandError as error:
            if first:
                raise
            note(str(error))
        first = False
        sleep(options.every)


def _screen(options: Namespace, client: Client, stream: TextIO) -> None:
    drawn = io.StringIO()
    options.run(options, client, Output(drawn, as_json=False))
    lines = [f"every {options.every:g} s, {time.strftime('%H:%M:%S')}", "", *drawn.getvalue().splitlines()]
    rows = shutil.get_terminal_size().lines
    stream.write(_HOME + "\n".join(lines[: max(3, rows - 1)]) + "\n")
    stream.flush()
