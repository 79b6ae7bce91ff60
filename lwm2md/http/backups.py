"""Backups as a file, and going back to one.

RULES: the file goes out as its reader takes it; what a reader that went away had asked for is given up. A restore is
answered when the file was found good; what comes of it is told by another call, since all connections end with it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from lwm2md.backup import BackupState, BusyError, UnsupportedError, able
from lwm2md.http.node import Node
from lwm2md.http.problems import Problem, storage_failed
from lwm2md.http.replies import NO_STORE, Reply, json_reply
from lwm2md.http.request import Call
from lwm2md.http.routes import Route
from lwm2md.http.uploads import FileBody
from lwm2md.restoration import Restoration, RestoreState
from lwm2md.storage.interface import StorageError

MEDIA_TYPE: Final = "application/octet-stream"
_PART: Final = 1 << 18


class BackupDocument(msgspec.Struct):
    """The last backup: ``none``, ``copying``, ``done`` or ``failed``, and how far, in units of the storage."""

    state: BackupState
    done: int
    of: int
    error: str | None


class RestoreDocument(msgspec.Struct):
    """Going back to a backup: ``none``, ``checking``, ``restoring``, ``done`` or ``failed``, and why.

    ``aside`` is where the state before is kept.
    """

    state: RestoreState
    error: str | None
    aside: str | None


@implementer(IPushProducer)
class _Sending:
    """A file on its way to a caller."""

    def __init__(self, call: Call, file: BinaryIO, size: int) -> None:
        self._call = call
        self._file = file
        self._left = size
        self._paused = self._running = False

    def start(self) -> None:
        """Send the head, and then as much as the caller takes."""
        name = f"lwm2md-{datetime.fromtimestamp(self._call.node.now(), UTC):%Y%m%dT%H%M%SZ}.backup"
        headers = (*NO_STORE, (b"Content-Disposition", f'attachment; filename="{name}"'.encode("ascii")))
        self._call.lost = self._file.close
        self._call.start_stream(MEDIA_TYPE.encode("ascii"), self._left, headers)
        self._call.registerProducer(self, True)  # type: ignore[no-untyped-call]
        self.resumeProducing()

    def pauseProducing(self) -> None:
        """The connection takes no more for now."""
        self._paused = True

    def resumeProducing(self) -> None:
        """The connection takes data again."""
        self._paused = False
        if self._running:
            return
        self._running = True
        while self._left and not self._paused and not self._file.closed:
            part = self._file.read(min(_PART, self._left))
            self._left -= len(part)
            self._call.push(part)
        self._running = False
        if not self._left and not self._file.closed:
            self._file.close()
            self._call.unregisterProducer()  # type: ignore[no-untyped-call]
            self._call.disconnect()

    def stopProducing(self) -> None:
        """The caller is gone."""
        self._file.close()


def _backup(call: Call) -> None:
    try:
        making = call.node.backups.make()
    except (BusyError, UnsupportedError) as error:
        raise _refusal(error) from None
    call.lost = making.cancel

    def made(file: BinaryIO) -> None:
        size = file.seek(0, 2)
        file.seek(0)
        _Sending(call, file, size).start()

    def failed(failure: Failure) -> None:
        call.complete(lambda: _unmade(failure))

    making.addCallback(made).addErrback(failed)


def _unmade(failure: Failure) -> Reply:
    if isinstance(failure.value, StorageError | CancelledError):
        raise storage_failed(str(failure.value) or "the daemon ends")
    failure.raiseException()
    raise AssertionError("it was raised")


def _made(call: Call) -> Reply:
    last = call.node.backups
    return json_reply(BackupDocument(last.state, last.done, last.of, last.error))


def _refusal(error: Exception) -> Problem:
    return Problem("busy" if isinstance(error, BusyError) else "backup-unsupported", str(error))


def _restoration(node: Node) -> Restoration:
    if node.restoration is None:
        raise Problem("backup-unsupported", "this daemon can't begin anew by itself")
    return node.restoration


def _place(node: Node) -> Path:
    """Where the file of a restore goes, if there may be one."""
    try:
        _restoration(node).require(node.storage)
        return able(node.storage).scratch()
    except (BusyError, UnsupportedError) as error:
        raise _refusal(error) from None


def _restore(call: Call) -> None:
    if call.upload is None:
        _place(call.node)
        raise Problem("bad-backup", "the file is expected as the body")
    source, restoration = call.upload.take(), _restoration(call.node)

    def checked(_: None) -> Reply:
        restoration.begin(source)
        return _restored(call, 202)

    def refused(failure: Failure) -> Reply:
        if isinstance(failure.value, StorageError):
            raise Problem("bad-backup", str(failure.value).replace(str(source), "the file"))
        if isinstance(failure.value, BusyError):
            source.unlink(missing_ok=True)
            raise _refusal(failure.value)
        failure.raiseException()
        raise AssertionError("it was raised")

    checking: Deferred[None] = ensureDeferred(restoration.check(call.node.storage, source))
    checking.addCallbacks(
        lambda _: call.complete(lambda: checked(None)), lambda failure: call.complete(lambda: refused(failure))
    )


def _restored(call: Call, status: int = 200) -> Reply:
    last = _restoration(call.node)
    return json_reply(RestoreDocument(last.state, last.error, None if last.aside is None else str(last.aside)), status)


ROUTES: Final = (
    Route("GET", "/v1/backup", _made, "How far the last backup is", answers={200: BackupDocument}),
    Route(
        "POST",
        "/v1/backup",
        _backup,
        "A copy of all that the daemon keeps, as it is now, in one file",
        answers={200: None},
        media_type=MEDIA_TYPE,
        fails=(409, 501, 503),
    ),
    Route(
        "GET", "/v1/restore", _restored, "What came of the last restore", answers={200: RestoreDocument}, fails=(501,)
    ),
    Route(
        "POST",
        "/v1/restore",
        _restore,
        "Go back to a backup, all of it or nothing",
        body=FileBody(_place),
        answers={202: RestoreDocument},
        fails=(409, 422, 501, 503),
    ),
)
