"""The messages that devices are asked with: the same for many of them, so each is made once.

RULES: a message depends on the list of Objects of its device, on its LwM2M version, and on what its profile prefers;
where it refused a format also on that, and then it is made for it alone.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Options, options
from lwm2md.coap.prepared import prepare
from lwm2md.lwm2m.paths import Path
from lwm2md.server.negotiation import default_accept
from lwm2md.server.records import Composed, Registration

_MOST: Final = 4096
_reads: Final[dict[tuple[Path, int, str, tuple[int, ...]], Composed]] = {}


def read(path: Path, registration: Registration, preferred: tuple[int, ...] = ()) -> Composed:
    """A Read in the format that is best for a device; ``preferred`` are those that are to be tried first."""
    objects = registration.objects
    key = (path, id(objects), registration.version, preferred)
    known = _reads.get(key)
    if known is not None and known.objects is objects and registration.refused_formats is None:
        return known
    accept, replaceable = default_accept(registration, one=len(path) > 2, preferred=preferred)
    made = message(n.GET, path, registration, accept=accept, replaceable=replaceable)
    if registration.refused_formats is not None:
        return made
    if len(_reads) >= _MOST:
        _reads.clear()
    ready = prepare(made.code, made.options)
    made = _reads[key] = msgspec.structs.replace(made, ready=ready)
    return made


def message(
    code: int,
    path: Path,
    registration: Registration,
    *,
    query: tuple[str, ...] = (),
    content_format: int | None = None,
    accept: int | None = None,
    payload: bytes = b"",
    replaceable: tuple[str, int | None] | None = None,
    home: str | None = None,
) -> Composed:
    """A message to a device, below the root path that it registered, or to that of its gateway, its ``home``."""
    objects = registration.objects
    asked = _options(path, objects.root if home is None else home, query, content_format, accept)
    return Composed(code, asked, payload, objects, accept, replaceable)


@lru_cache(maxsize=4096)
def _options(path: Path, root: str, query: tuple[str, ...], content_format: int | None, accept: int | None) -> Options:
    """The options of a request; a fleet is asked for the same few paths over and over."""
    segments = (*(segment for segment in root.split("/") if segment), *map(str, path))
    return options(path=segments, query=query, content_format=content_format, accept=accept)
