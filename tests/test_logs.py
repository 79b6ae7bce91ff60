"""The log: what is let through, how it is written, and how twistd takes it."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import Any

from twisted.application.service import Application, Service
from twisted.logger import ILogObserver, Logger, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lwm2md import logs
from lwm2md.config import Secret
from lwm2md.config.schema import Logging


class _Gone(io.StringIO):
    """A stream whose reader has gone."""

    def write(self, text: str, /) -> int:
        raise BrokenPipeError


def _failure() -> Failure:
    try:
        raise KeyError("gone\nE 2026")
    except KeyError:
        return Failure()


class Writing(SynchronousTestCase):
    """What the observer writes for the events that it gets."""

    def written(self, settings: Logging, *, journal: bool = False, **event: Any) -> str:
        stream = io.StringIO()
        fields = {"log_time": 1.5, "log_level": LogLevel.info, "log_namespace": "lwm2md.net"}
        logs.observer(settings, stream, journal=journal)({**fields, **event})
        return stream.getvalue()

    def test_text(self) -> None:
        """A line of text has the time in UTC, the level, the namespace, and the message."""
        text = self.written(Logging(), log_format="{n} devices", n=3)
        self.assertEqual(text, "1970-01-01T00:00:01.500Z info lwm2md.net: 3 devices\n")

    def test_journal(self) -> None:
        """For the journal a priority takes the place of the time, on every line."""
        text = self.written(Logging(), journal=True, log_level=LogLevel.warn, log_format="one\ntwo")
        self.assertEqual(text, "<4>warn lwm2md.net: one\n<4>    two\n")
        marks = [
            self.written(Logging(level="debug"), journal=True, log_level=level, log_format="x")[:3]
            for level in (LogLevel.debug, LogLevel.info, LogLevel.error, LogLevel.critical)
        ]
        self.assertEqual(marks, ["<7>", "<6>", "<3>", "<3>"])

    def test_json(self) -> None:
        """JSON has an object a line, with the traceback as text, and never a priority."""
        settings = Logging(format="json")
        text = self.written(settings, journal=True, log_format="a\n{b}", b="ü", log_failure=_failure())
        self.assertEqual(text.count("\n"), 1)
        document = json.loads(text)
        self.assertIn("KeyError", document.pop("traceback"))
        self.assertEqual(
            document,
            {"time": "1970-01-01T00:00:01.500Z", "level": "info", "namespace": "lwm2md.net", "message": "a\nü"},
        )

    def test_no_forged_lines(self) -> None:
        """What a peer put into a message stays within the event's lines and cannot steer a terminal."""
        text = self.written(Logging(), log_format="{name}", name="x\n1970 info forged\x1b[2J\r\x85")
        _first, second, end = text.split("\n")
        self.assertEqual((second, end), ("    1970 info forged\\x1b[2J\\r\\x85", ""))

    def test_failure(self) -> None:
        """A traceback follows its message, indented."""
        lines = self.written(Logging(), log_format="failed", log_failure=_failure()).splitlines()
        self.assertTrue(lines[0].endswith("failed"))
        self.assertTrue(all(line.startswith("    ") for line in lines[1:]))
        self.assertIn("KeyError", lines[-1])

    def test_levels(self) -> None:
        """What is below the level of its namespace, or of the parent that has one, is left out."""
        settings = Logging(level="warn", levels=(("lwm2md.net", "debug"),))
        table = {"lwm2md.net": True, "lwm2md.net.udp": True, "lwm2md": False, "twisted.web": False}
        for namespace, expected in table.items():
            text = self.written(settings, log_namespace=namespace, log_format="x")
            self.assertEqual(bool(text), expected, namespace)

    def test_secrets(self) -> None:
        """A secret that gets into an event is masked."""
        for form in ("text", "json"):
            text = self.written(
                Logging(format=form), log_format="{s} {s!r} {l}", s=Secret("hunter2"), l=[Secret("hunter2")]
            )
            self.assertNotIn("hunter2", text)
            self.assertIn("*** *** [***]", text)

    def test_odd_events(self) -> None:
        """Events without fields, or with a format that fails, are written and raise nothing."""
        for form in ("text", "json"):
            stream = io.StringIO()
            observer = logs.observer(Logging(format=form), stream, journal=False)
            observer({"log_level": LogLevel.info, "log_namespace": "n"})
            observer({"log_level": LogLevel.info, "log_namespace": "n", "log_format": "{missing", "log_time": 0.0})
            self.assertEqual(stream.getvalue().count("1970-01-01T00:00:00.000Z"), 2)

    def test_stream_gone(self) -> None:
        """A reader that has gone costs the line, nothing else."""
        observer = logs.observer(Logging(), _Gone(), journal=False)
        Logger("n", observer=observer).info("x")
        self.assertTrue(verifyObject(ILogObserver, observer))


class Twistd(SynchronousTestCase):
    """How the observer gets to twistd."""

    def test_levels_change(self) -> None:
        """The levels may change while it is written; what was let through before may be left out from then on."""
        stream = io.StringIO()
        observer = logs.observer(Logging(), stream, journal=False)
        event = {"log_level": LogLevel.info, "log_namespace": "a.b", "log_format": "x", "log_time": 0.0}
        for settings, written in (
            (Logging(), 1),
            (Logging(level="warn"), 1),
            (Logging(level="warn", levels=(("a", "debug"),)), 2),
            (Logging(level="error"), 2),
        ):
            observer.configure(settings)
            observer(event)
            self.assertEqual(len(stream.getvalue().splitlines()), written)

    def test_component(self) -> None:
        """The service that joins an application gives it the observer and its own child."""
        stream, child = io.StringIO(), Service()
        observer = logs.observer(Logging(), stream, journal=False)
        application = Application("x")
        logs.LoggedService(child, observer).setServiceParent(application)
        self.assertIs(application.getComponent(ILogObserver), observer)
        logs.LoggedService(Service(), None).setServiceParent(Application("y"))
        self.assertIsNotNone(child.parent)

    def test_operators_choice(self) -> None:
        """Where twistd was told to log elsewhere, there is no observer of ours."""
        for options in ({"syslog": True}, {"logger": print}):
            self.assertIsNone(logs.for_twistd(Logging(), options))

    def test_standard_output(self) -> None:
        """In the foreground the log goes to standard output, with priorities only under systemd."""
        for environ, expected in (({}, "1970"), ({"JOURNAL_STREAM": "1:2"}, "<6>info")):
            stream = io.StringIO()
            self.patch(sys, "stdout", stream)
            self.patch(os, "environ", environ)
            self.log({"nodaemon": True})
            self.assertTrue(stream.getvalue().startswith(expected), stream.getvalue())

    def test_file(self) -> None:
        """A log file of twistd's options is written in our format."""
        path = self.mktemp()
        self.log({"logfile": path, "nodaemon": True})
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), "1970-01-01T00:00:00.000Z info n: x\n")

    def log(self, options: dict[str, object]) -> None:
        observer = logs.for_twistd(Logging(), options)
        assert observer is not None
        observer({"log_level": LogLevel.info, "log_namespace": "n", "log_format": "x", "log_time": 0.0})
