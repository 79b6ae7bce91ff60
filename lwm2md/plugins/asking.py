"""Operations that are asked of devices, by whomever: authorized by the plugins that want a say, then given to the core.

RULES: nothing reaches the core before it is allowed. A failure of who is asked means no. Where no plugin authorizes
operations, nothing here is on the way of an operation of the API.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
from twisted.internet.defer import Deferred

from lwm2md.http.documents import operation_document
from lwm2md.http.problems import Problem
from lwm2md.http.times import WRITING, with_times
from lwm2md.plugins.records import AskedOperation, Verdict
from lwm2md.server.errors import Refused, UnknownDevice
from lwm2md.server.records import Operation, OperationRequest

if TYPE_CHECKING:
    from lwm2md.plugins.host import Host
    from lwm2md.server.core import Server

Document = dict[str, Any]

FORBIDDEN: Final = "forbidden"


class OperationRefused(Exception):  # noqa: N818  the word of the API
    """An operation that was not taken; ``code`` is the stable word of the API, ``field`` what is wrong, if one is."""

    def __init__(self, code: str, text: str, field: str | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.field = field


class SubmittedOperation:
    """An operation that was taken, for whoever asked: follows it to its end."""

    def __init__(self, node: Host, operation: Operation, over: Callable[[], None]) -> None:
        self._node = node
        self._operation = operation
        self._waiting: list[Deferred[Document]] = []
        self._over: Callable[[], None] | None = over
        if self.finished:
            self._ended(operation)
        else:
            if operation.watchers is None:
                operation.watchers = []
            operation.watchers.append(self._ended)

    @property
    def id(self) -> str:
        """The id of the operation."""
        return self._operation.id

    @property
    def finished(self) -> bool:
        """Whether nothing will change any more, not by a crash either."""
        return self._operation.finished and not self._operation.ending

    def document(self) -> Document:
        """The operation as ``/v1/operations/{id}`` shows it now."""
        return shown(self._operation.certain)

    def ended(self) -> Deferred[Document]:
        """Fire with the document when the operation has ended, at once if it has. May be cancelled."""
        waiting: Deferred[Document] = Deferred(self._forget)
        if self.finished:
            waiting.callback(self.document())
        else:
            self._waiting.append(waiting)
        return waiting

    def keep(self) -> Deferred[bool]:
        """Make an open operation durable: only then may anybody be told that it will be done.

        Fires with False where the storage did not take it.
        """
        kept: Deferred[bool] = Deferred()
        self._node.server.keep(self._operation, self._node.now(), lambda committed, _: kept.callback(committed))
        self._node.settle()
        return kept

    def _forget(self, waiting: Deferred[Document]) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)

    def _ended(self, operation: Operation) -> None:
        over, self._over = self._over, None
        if over is not None:
            over()
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(self.document())


def shown(operation: Operation) -> Document:
    """An operation as a document of plain values."""
    document: Document = msgspec.to_builtins(operation_document(operation))
    return document


def request_of(asked: Mapping[str, Any]) -> OperationRequest:
    """The request that a body of ``POST …/operations`` is; raises OperationRefused for what is none."""
    try:
        return msgspec.convert(asked, OperationRequest)
    except msgspec.ValidationError as error:
        raise OperationRefused("bad-body", str(error)) from None


def asked_operation(server: Server, principal: str, endpoint: str, request: OperationRequest) -> AskedOperation:
    """What the plugins that authorize operations are shown."""
    device = server.devices.get(endpoint)
    labels = {} if device is None else device.all_labels()
    document = {name: value for name, value in _members(request) if value is not None}
    paths = (request.path,) if request.path is not None else request.paths or tuple(request.values or ())
    return AskedOperation(principal, endpoint, request.op, tuple(paths), document, labels)


def _members(request: OperationRequest) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in msgspec.structs.asdict(request).items() if value is not msgspec.UNSET)


async def submit(
    node: Host,
    authorize: Callable[[AskedOperation], Deferred[Verdict]] | None,
    principal: str,
    endpoint: str,
    request: OperationRequest,
) -> Operation:
    """Give an operation to the core if ``authorize`` allows it. Raises OperationRefused."""
    if endpoint not in node.server.devices:
        raise OperationRefused(UnknownDevice.code, f"no device {endpoint!r} is known")
    if authorize is not None:
        verdict = await authorize(asked_operation(node.server, principal, endpoint, request))
        if not verdict.allowed:
            raise OperationRefused(FORBIDDEN, verdict.cause or "a plugin does not allow it")
    try:
        if request.op in WRITING:
            registration = node.server.devices[endpoint].registration
            versions = registration.objects.versions if registration is not None else {}
            request = with_times(request, node.server.models.type_of(versions))
        operation = node.server.submit(endpoint, request, node.now())
    except Refused as refused:
        raise OperationRefused(refused.code, str(refused), refused.field) from None
    except Problem as problem:
        raise OperationRefused(problem.code, str(problem)) from None
    node.settle()
    return operation
