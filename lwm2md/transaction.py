"""A batch on its way to the storage, and what happens when it is there."""

from __future__ import annotations

import attrs

from lwm2md.server.effects import Commit, Sample, Write
from lwm2md.storage.interface import Append
from lwm2md.subscriptions import Delivered


@attrs.define(slots=True)
class Transaction:
    """What is to be stored, and the commits and events that it is of.

    ``size`` is about what it takes in bytes, ``reserved`` the end of the ids that it reserves, 0 for none.
    """

    commits: list[Commit] = attrs.Factory(list)
    writes: list[Write] = attrs.Factory(list)
    appends: list[Append] = attrs.Factory(list)
    events: list[Delivered] = attrs.Factory(list)
    samples: list[Sample] = attrs.Factory(list)
    dropped: list[str] = attrs.Factory(list)
    size: int = 0
    reserved: int = 0
