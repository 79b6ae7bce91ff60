"""A batch on its way to the storage, and what happens when it is there."""

from __future__ import annotations

from typing import Final

import attrs

from lwm2md.documents import told_documents
from lwm2md.eventids import LOG, texts
from lwm2md.events import DEVICE_VALUE
from lwm2md.server.effects import Commit, Sample, Told, Write
from lwm2md.server.telling import rows
from lwm2md.storage.interface import Append
from lwm2md.subscriptions import Delivered

_DROP: Final = 1 << 18
"""What it costs to remove the series of an owner, in bytes: there may be many."""
_SAMPLE: Final = 64
"""What a sample takes beside its value, which is among the writes or in the document too."""


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

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to be stored."""
        return not (self.writes or self.appends or self.samples or self.dropped)

    def add(self, commit: Commit) -> None:
        """Take one more commit, but for what gets an id."""
        self.commits.append(commit)
        self.writes += commit.writes
        size = self.size
        for write in commit.writes:
            size += len(write.key) + len(write.value or b"")
        self.size = size
        if commit.dropped:
            # The storage drops first: what came before goes with it, what comes after stays.
            gone = frozenset(commit.dropped)
            self.samples = [sample for sample in self.samples if sample[0] not in gone]
            self.dropped.extend(commit.dropped)
            self.size += _DROP
        if commit.samples:
            self.samples += commit.samples
            self.size += _SAMPLE * len(commit.samples)

    def append(self, event: Delivered) -> None:
        """Take an event, which is kept in the log if it is one that is stored."""
        self.events.append(event)
        if event.stored:
            self.appends.append(Append(LOG, event.id, event.document))
            self.size += len(event.document)

    def tell(self, told: Told, first: int) -> None:
        """Take what was told, each with an event; ``first`` is the id of the first."""
        writes, samples, written = rows(told)
        ids = texts(first, len(written))
        documents = told_documents(told, written, ids)
        self.writes += writes
        self.samples += samples
        self.appends += [Append(LOG, name, document) for name, document in zip(ids, documents, strict=True)]
        self.events += [
            Delivered(name, DEVICE_VALUE, value[0], value[1], document)
            for name, value, document in zip(ids, told.values, documents, strict=True)
        ]
        self.size += sum(map(len, documents)) + 2 * _SAMPLE * len(documents)
