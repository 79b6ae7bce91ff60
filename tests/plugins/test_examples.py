"""Tests of the examples beyond what they show of their hooks: the storage keeps the contract of storages."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from lwm2md.storage import conformance
from lwm2md.storage.interface import Storage
from tests.processes import ROOT


def example(name: str) -> Any:
    """The module of an example."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class FileLogTests(conformance.DurableConformance):
    """``examples/filelog.py`` as the guide on storages asks."""

    def setUp(self) -> Any:
        self.path = Path(self.mktemp())
        self.backend = example("filelog").FileLog
        return super().setUp()

    def make(self) -> Storage:
        storage: Storage = self.backend(self.path)
        return storage

    def again(self) -> Storage:
        storage: Storage = self.backend(self.path)
        return storage

    async def test_torn(self) -> None:
        """A batch that was not written whole, because of a power cut, leaves nothing, and the next one is kept."""
        await self.storage.commit(conformance.put("a", b"1"))
        await self.storage.commit(conformance.put("b", b"2"))
        await self.storage.close()
        self.path.write_bytes(self.path.read_bytes()[:-3])
        self.storage = self.again()
        await self.storage.open()
        await self.storage.commit(conformance.put("c", b"3"))
        await self.reopened()
        self.assertEqual(await self.storage.scan("devices"), [("a", b"1"), ("c", b"3")])
