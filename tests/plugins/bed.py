"""A daemon in this process with plugins from files: the real node on loopback, a memory storage, the real reactor."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Coroutine
from pathlib import Path
from textwrap import dedent
from typing import Any, TypeVar

import msgspec
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from lwm2md.config import load
from lwm2md.config.schema import Settings
from lwm2md.node import Node
from lwm2md.plugins.loading import Loaded, Loader
from lwm2md.plugins.plugin import Plugin
from lwm2md.storage.interface import Storage
from lwm2md.storage.memory import MemoryStorage
from lwm2md.subscriptions import Delivered, Filter
from tests import web
from tests.processes import ROOT
from tests.test_node import Device

T = TypeVar("T")
TOKEN = "token-of-the-test"
HEAD = """\
from lwm2md import hookimpl
from lwm2md.plugins import *
import time, os, sys
API_VERSION = 1
RESTARTABLE = True
"""


class Bed(TestCase):
    """A daemon with plugins, one for each test."""

    timeout = 30
    node: Node

    def setUp(self) -> None:
        self.place = Path(self.mktemp()).resolve()
        self.place.mkdir(parents=True)
        self.events: list[Delivered] = []
        before = list(sys.path)
        self.addCleanup(lambda: sys.path.__setitem__(slice(None), before))

    def write(self, name: str, source: str) -> None:
        """Make a plugin of some lines; its version and usual imports are before them."""
        (self.place / f"{name.replace('-', '_')}.py").write_text(HEAD + dedent(source), encoding="utf-8")

    def example(self, name: str) -> None:
        """Have one of the examples."""
        shutil.copy(ROOT / "examples" / f"{name}.py", self.place)

    def settings(self, *names: str, **more: str) -> Settings:
        """Settings that enable plugins; ``more`` as ``section__key`` or, of the only plugin, ``key``."""
        sets = [
            "coap.listen=127.0.0.1:0",
            "api.listen=127.0.0.1:0",
            f"plugins.enable={','.join(names)}",
            f"plugins.path={self.place}",
        ]
        for key, value in more.items():
            section, double, setting = key.partition("__")
            sets.append(f"{section}.{setting}={value}" if double else f"plugin:{names[0]}.{key}={value}")
        return load(None, sets)

    def loaded(self, *names: str, **more: str) -> Loaded:
        """Plugins that were loaded, and not started."""
        return Loader().load(self.settings(*names, **more))

    async def start(self, *names: str, storage: Storage | None = None, **more: str) -> Node:
        """Start a daemon with these plugins."""
        settings = self.settings(*names, **more)
        self.found = settings
        loaded = Loader().load(settings)
        node = Node(settings, storage or MemoryStorage(), TOKEN, reactor, read=lambda: self.found, loaded=loaded)
        node.bind()
        self.node = node
        node.delivery.subscribe(Filter(["*"]), None, self.events.extend)
        self.addCleanup(node.stop)
        await node.start()
        await self.until(lambda: all(each.state != "starting" for each in node.plugins.plugins.values()))
        return node

    def deferred(self, coroutine: Coroutine[Any, Any, T]) -> Deferred[T]:
        """The Deferred of a coroutine, for assertions that take one."""
        return Deferred.fromCoroutine(coroutine)

    def plugin(self, name: str) -> Plugin:
        """A plugin of the daemon."""
        return self.node.plugins.plugins[name]

    def module(self, name: str) -> Any:
        """The module of a plugin."""
        return sys.modules[f"lwm2md_plugin_{name.replace('-', '_')}"]

    async def until(self, condition: Any) -> None:
        """Let the reactor turn until something is so."""
        while not condition():
            await deferLater(reactor, 0.002, lambda: None)

    def device(self) -> Device:
        """A device beside the daemon."""
        return Device(self, self.node.listeners()[0]["address"])

    async def api(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Ask the API as the administrator."""
        address = next(each["address"] for each in self.node.listeners() if each["transport"] == "http")
        headers = {"Authorization": f"Bearer {TOKEN}"}
        data = None if body is None else msgspec.json.encode(body)
        return await web.document(method, f"http://{address}{path}", headers=headers, data=data)

    def failures(self, name: str) -> list[Any]:
        """The documents of the events that say that a plugin failed."""
        found = [msgspec.json.decode(each.document) for each in self.events if each.type == "plugin.failed"]
        return [each for each in found if each["plugin"] == name]
