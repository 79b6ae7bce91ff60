"""The audit log where it is kept: pages, and the end of old records."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.auditing import AuditLog
from lwm2md.security.audit import Record, to_row
from lwm2md.storage.interface import Append, Batch, StorageError
from lwm2md.storage.memory import MemoryStorage


class AuditLogTests(SynchronousTestCase):
    """A log over a storage in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.storage = MemoryStorage()
        self.storage.open()
        self.log = AuditLog(self.storage, self.clock, 3)

    def append(self, *numbers: int) -> None:
        """Append records."""
        rows = [Append("audit", f"{number:04}", to_row(Record(float(number), "admin", "x"))) for number in numbers]
        self.storage.commit(Batch(appends=rows))

    def times(self, after: str = "", limit: int = 100) -> list[float]:
        """The times of a page of records."""
        page = self.successResultOf(Deferred.fromCoroutine(self.log.page(after, limit)))
        return [record.time for _, record in page]

    def test_pages(self) -> None:
        """Records come in order, behind an id, and one that can't be read keeps no others out."""
        self.append(1, 2, 3)
        self.storage.commit(Batch(appends=[Append("audit", "0004", b"nonsense")]))
        self.append(5)
        self.assertEqual((self.times(), self.times("0002"), self.times("", 2)), ([1, 2, 3, 5], [3, 5], [1, 2]))

    def test_kept(self) -> None:
        """The newest stay, by the number that the operator says; it is looked after each hour."""
        self.append(*range(1, 7))
        self.log.start()
        self.assertEqual(self.times(), [4, 5, 6])
        self.append(7, 8)
        self.log.configure(2)
        self.assertEqual(len(self.times()), 5)
        self.clock.advance(3600)
        self.assertEqual(self.times(), [7, 8])
        self.log.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_storage_fails(self) -> None:
        """A storage that fails is asked again an hour later, and says so to who reads."""
        self.storage.close()
        self.log.start()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.failureResultOf(Deferred.fromCoroutine(self.log.page("", 1)), StorageError)
        self.log.stop()
