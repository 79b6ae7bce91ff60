"""The log: one observer made from the settings, which twistd takes in place of its own.

RULES: a line of text is one event; what a peer could put into a message cannot begin a line of its own. Under systemd
(``JOURNAL_STREAM``) text lines carry the priority instead of the time. Secrets mask themselves when they are formatted.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from twisted.application.service import IService, IServiceCollection, MultiService
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    formatEvent,
)
from twisted.python.components import Componentized
from twisted.python.logfile import LogFile
from zope.interface import implementer

from lwm2md.config.errors import plain
from lwm2md.config.schema import Logging

_PRIORITIES: Final[Mapping[LogLevel, int]] = {
    LogLevel.debug: 7,
    LogLevel.info: 6,
    LogLevel.warn: 4,
    LogLevel.error: 3,
    LogLevel.critical: 3,
}


@implementer(ILogObserver)
class Observer:
    """A log whose levels may change while it is written; ``form`` makes the text of an event."""

    def __init__(self, settings: Logging, stream: TextIO, form: Callable[[LogEvent], str]) -> None:
        self._writer = _Writer(stream, form)
        self.configure(settings)

    def __call__(self, event: LogEvent) -> None:
        """Write an event, if it is let through."""
        self._filtered(event)

    def configure(self, settings: Logging) -> None:
        """Let through what ``settings`` say from now on."""
        predicate = LogLevelFilterPredicate(LogLevel.levelWithName(settings.level))
        for namespace, level in settings.levels:
            predicate.setLogLevelForNamespace(namespace, LogLevel.levelWithName(level))
        self._filtered = FilteringLogObserver(self._writer, [predicate])


def observer(settings: Logging, stream: TextIO, *, journal: bool) -> Observer:
    """Return an observer that writes to ``stream`` what ``settings`` let through; ``journal`` gives text priorities."""
    form: Callable[[LogEvent], str] = json_line if settings.format == "json" else text_lines
    if journal and settings.format == "text":
        form = journal_lines
    return Observer(settings, stream, form)


def text_lines(event: LogEvent) -> str:
    """Write an event as ``TIME LEVEL NAMESPACE: MESSAGE``, the rest of the message and the traceback indented below."""
    return f"{_time(event)} {_body(event)}\n"


def journal_lines(event: LogEvent) -> str:
    """Write an event for the journal, which has its own time: every line with its priority, as ``<6>``."""
    mark = f"<{_PRIORITIES.get(event.get('log_level', LogLevel.info), 6)}>"
    return "".join(f"{mark}{line}\n" for line in _body(event).split("\n"))


def json_line(event: LogEvent) -> str:
    """Write an event as one JSON object: time, level, namespace, message, and traceback if it has one."""
    document = {
        "time": _time(event),
        "level": _level(event),
        "namespace": _namespace(event),
        "message": formatEvent(event),
    }
    traceback = _traceback(event)
    if traceback:
        document["traceback"] = traceback
    return json.dumps(document) + "\n"


@implementer(ILogObserver)
class _Writer:
    """Writes and flushes one event at a time; a stream that is gone costs the line, not the daemon."""

    def __init__(self, stream: TextIO, form: Callable[[LogEvent], str]) -> None:
        self._stream = stream
        self._form = form

    def __call__(self, event: LogEvent) -> None:
        line = self._form(event)
        try:
            self._stream.write(line)
            self._stream.flush()
        except (OSError, ValueError):
            return


class LoggedService(MultiService):
    """A root around ``service`` that gives the application its log observer before twistd starts logging."""

    def __init__(self, service: IService, observer: ILogObserver | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._observer = observer
        service.setServiceParent(self)  # type: ignore[no-untyped-call]

    def setServiceParent(self, parent: IServiceCollection) -> None:
        """Join ``parent``, twistd's application, and hand it the observer."""
        if self._observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._observer)  # type: ignore[no-untyped-call]
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]


def for_twistd(settings: Logging, options: Mapping[str, Any]) -> Observer | None:
    """Return the observer that fits twistd's own ``options``; None where they choose one (``--logger``, ``--syslog``).

    It writes where twistd would: to ``--logfile``, else to standard output, as a background process to twistd.log.
    """
    if options.get("logger") or options.get("syslog"):
        return None
    name = options.get("logfile") or ("-" if options.get("nodaemon") else "twistd.log")
    if name != "-":
        return observer(settings, LogFile.fromFullPath(name), journal=False)  # type: ignore[no-untyped-call]
    return observer(settings, sys.stdout, journal="JOURNAL_STREAM" in os.environ)


def _body(event: LogEvent) -> str:
    lines = formatEvent(event).split("\n") + _traceback(event).splitlines()
    message = "\n    ".join(map(plain, lines))
    return f"{_level(event)} {_namespace(event)}: {message}"


def _time(event: LogEvent) -> str:
    moment = datetime.fromtimestamp(event.get("log_time", 0.0), UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _level(event: LogEvent) -> str:
    return str(getattr(event.get("log_level"), "name", "info"))


def _namespace(event: LogEvent) -> str:
    return plain(str(event.get("log_namespace", "-")))


def _traceback(event: LogEvent) -> str:
    if "log_failure" not in event:
        return ""
    bare = {"log_failure": event["log_failure"], "log_format": "", "log_time": event.get("log_time", 0.0)}
    return eventAsText(bare, includeTimestamp=False, includeSystem=False).strip()
