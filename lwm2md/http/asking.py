"""Answers that come with a Deferred: of the storage, of a change that it must take first."""

from __future__ import annotations

from collections.abc import Coroutine
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from lwm2md.http.problems import storage_failed, unreadable, wrong_field
from lwm2md.http.replies import Reply
from lwm2md.http.request import Call
from lwm2md.security.credentials import BadCredential
from lwm2md.storage.interface import StorageError
from lwm2md.vault import NotStored


def answer_with(call: Call, work: Coroutine[Deferred[Any], Any, Reply]) -> None:
    """Answer with what ``work`` returns, or the document of what it raises."""
    done: Deferred[Reply] = Deferred.fromCoroutine(work)
    done.addCallbacks(
        lambda reply: call.complete(lambda: reply), lambda failure: call.complete(partial(_failed, call, failure))
    )


def _failed(call: Call, failure: Failure) -> Reply:
    error = failure.value
    if isinstance(error, BadCredential):
        raise wrong_field("bad-credential", error.field, str(error))
    if isinstance(error, NotStored):
        raise storage_failed(call.node.delivery.failure)
    if isinstance(error, StorageError):
        raise unreadable(error)
    failure.raiseException()
