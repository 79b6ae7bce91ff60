"""Tests of lwm2md.storage.memory."""

from __future__ import annotations

from lwm2md.storage import conformance
from lwm2md.storage.interface import Storage
from lwm2md.storage.memory import MemoryStorage


class MemoryStorageTests(conformance.StorageConformance):
    """The memory storage keeps the contract."""

    def make(self) -> Storage:
        return MemoryStorage()

    def test_answers_at_once(self) -> None:
        """Every Deferred has fired when it is returned."""
        self.assertTrue(self.successResultOf(self.storage.commit(conformance.put("a", b"1"))))
        self.assertEqual(self.successResultOf(self.storage.get("devices", "a")), b"1")
