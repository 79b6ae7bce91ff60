"""lwm2mctl from its arguments to its exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from lwm2md.ctl import foreign
from lwm2md.ctl.arguments import parser
from lwm2md.ctl.client import Client, find_token
from lwm2md.ctl.completing import candidates
from lwm2md.ctl.errors import DONE, FAILED, USAGE, CommandError
from lwm2md.ctl.output import Output, complain
from lwm2md.ctl.patience import Meter
from lwm2md.ctl.repeating import repeat
from lwm2md.ctl.watching import events


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 0 done, 1 refused or failed, 2 usage, 3 not reachable, 4 queued.

    Raises SystemExit where argparse does: for help, and with 2 for wrong usage.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        for text in given:
            text.encode()
    except UnicodeEncodeError:
        complain("the arguments are not UTF-8")
        return USAGE
    if given[:2] == ["completion", "words"]:
        for word in candidates(parser(os.environ), given[2:], os.environ):
            sys.stdout.write(word + "\n")
        return DONE
    top = parser(os.environ)
    if foreign.wanted(top, given):
        top = parser(os.environ, foreign.commands(foreign.own_commands(top), complain))
    options = top.parse_args(given)
    try:
        client = Client(options.url, find_token(options.token_file, os.environ))
        meter = Meter(sys.stderr) if sys.stderr.isatty() else None
        output = Output(sys.stdout, options.json or not sys.stdout.isatty(), meter=meter)
        if getattr(options, "every", None) is not None:
            return repeat(options, client, output, note=complain)
        status: int = options.run(options, client, output)
    except CommandError as error:
        complain(str(error))
        return error.status
    except BrokenPipeError:
        # Whoever read the output has seen enough; the interpreter must not try to flush the rest into the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        endless = (
            options.run is events or getattr(options, "watch", False) or getattr(options, "every", None) is not None
        )
        return DONE if endless else FAILED
    return status
