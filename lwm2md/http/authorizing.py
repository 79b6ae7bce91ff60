"""The word of plugins on an operation that a caller of the API asks for, before the core hears of it.

RULES: a handler that needs it stops before it has changed anything, and runs again from its beginning when the answer
is yes. Where no plugin has a say, a look at one attribute is all that it costs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred

from lwm2md.http.problems import Problem
from lwm2md.http.replies import Reply
from lwm2md.http.request import Call
from lwm2md.plugins.asking import FORBIDDEN, asked_operation
from lwm2md.plugins.records import Verdict
from lwm2md.server.records import OperationRequest

PRINCIPAL: Final = "admin"


class Asking(Exception):  # noqa: N818  it says what goes on
    """Raised by a handler that has to wait for the verdict on an operation."""

    def __init__(self, call: Call, asked: tuple[str, OperationRequest], verdict: Deferred[Verdict]) -> None:
        super().__init__("the verdict is waited for")
        self._call = call
        self._asked = asked
        self._verdict = verdict

    def then(self, answer: Callable[[Callable[[], Any]], None], again: Callable[[], Any]) -> None:
        """Let ``answer`` answer with what comes of doing it ``again``, or with the problem."""

        def decided(verdict: Verdict) -> None:
            if verdict.allowed:
                self._call.authorized = self._asked
                answer(again)
            else:
                answer(lambda: _refuse(verdict.cause))

        self._verdict.addCallback(decided)


def authorize(call: Call, endpoint: str, request: OperationRequest) -> None:
    """Go on if this operation may be asked; raise `Asking` where that is to be found out."""
    ask = call.node.plugins.operation_authorizer
    if ask is not None and call.authorized != (endpoint, request):
        verdict = ask(asked_operation(call.node.server, PRINCIPAL, endpoint, request))
        raise Asking(call, (endpoint, request), verdict)


def _refuse(cause: str) -> Reply:
    raise Problem(FORBIDDEN, cause or "a plugin does not allow it")
