"""What the server asks of the device: from the request to the operation on the tree, and to the answer's code.

Source: OMA LwM2M Core TS 1.2, 6.3 and 6.4, Transport TS, table of operations. RULES, in this order: options and path
syntax 4.02; an empty path 4.00; Security Objects 4.01; unknown Object 4.04; formats 4.15 and 4.06; missing Instance
4.04; unknown Resource 4.04; operation not supported there 4.05; payload 4.00. A PUT without Content-Format is
Write-Attributes, a GET that accepts Link Format is Discover, a POST on a Resource with text or nothing is Execute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from lwm2md.coap import numbers
from lwm2md.coap.interfaces import Response
from lwm2md.coap.message import Message, Options, options
from lwm2md.device import writing
from lwm2md.device.attached import Attached, parameters
from lwm2md.device.discovery import discover
from lwm2md.device.errors import Refused
from lwm2md.device.observers import Observers
from lwm2md.device.tree import Tree, executable, readable
from lwm2md.lwm2m import formats, tlv
from lwm2md.lwm2m.attributes import NotificationAttributes
from lwm2md.lwm2m.execute import Arguments, BadArguments, parse_arguments
from lwm2md.lwm2m.linkformat import SECURITY_OBJECTS
from lwm2md.lwm2m.nodes import ContentError, Nodes
from lwm2md.lwm2m.paths import ROOT, Path, PathError
from lwm2md.lwm2m.values import ResourceType

FORMATS: Final = (numbers.TEXT, numbers.OPAQUE, numbers.TLV)
"""The Content-Formats that the device reads and writes."""

_READ_CRITICAL: Final = frozenset({numbers.URI_PATH, numbers.URI_QUERY, numbers.ACCEPT, numbers.BLOCK2, numbers.BLOCK1})
_DELETE_CRITICAL: Final = frozenset({numbers.URI_PATH, numbers.ACCEPT})

READ: Final = "read"
WRITTEN: Final = "written"
EXECUTED: Final = "executed"
CREATED: Final = "created"
DELETED: Final = "deleted"
DISCOVERED: Final = "discovered"
ATTRIBUTES: Final = "attributes written"
OBSERVED: Final = "observed"
CANCELLED: Final = "observation cancelled"
REFUSED: Final = "refused"


@attrs.frozen(slots=True)
class Outcome:
    """What a request led to: the answer, what happened (one of the words above), where, and the changed paths."""

    response: Response
    what: str
    path: Path = ROOT
    changed: tuple[Path, ...] = ()


Execute = Callable[[Path, Arguments], None]
"""Plans the execution of a Resource; raises Refused. What it does starts after the answer."""


class Requests:
    """Answers the server's requests. ``version`` is the LwM2M version that the device registered with."""

    __slots__ = ("_attached", "_execute", "_observers", "_tree", "version")

    def __init__(self, tree: Tree, attached: Attached, observers: Observers, execute: Execute, version: str) -> None:
        self._tree = tree
        self._attached = attached
        self._observers = observers
        self._execute = execute
        self.version = version

    def handle(self, message: Message, now: float) -> Outcome:
        """Do what ``message`` asks; every refusal becomes an answer."""
        try:
            path = self._target(message)
            return self._operations[message.code](self, message, path, now)
        except Refused as refusal:
            return Outcome(Response(refusal.code, refusal.reason.encode()), REFUSED)

    def read(self, path: Path, accept: int | None) -> Response:
        """The answer to a Read of ``path``. Raises Refused."""
        if accept is not None and accept not in FORMATS:
            raise Refused(numbers.NOT_ACCEPTABLE, f"format {accept} is not supported")
        self._must_exist(path)
        model = self._tree.model(path)
        if model is not None and not readable(model):
            raise Refused(numbers.METHOD_NOT_ALLOWED, f"{path} is not readable")
        if not self._tree.exists(path):
            raise Refused(numbers.NOT_FOUND, f"{path} has no value")
        chosen = self._format(path, accept)
        nodes = self._tree.nodes(path)
        try:
            payload = formats.encode(chosen, path, nodes, self._tree.model) if nodes else b""
        except ContentError as error:
            raise Refused(numbers.NOT_ACCEPTABLE, str(error)) from error
        return Response(numbers.CONTENT, payload, options(content_format=chosen))

    def _get(self, message: Message, path: Path, now: float) -> Outcome:
        if message.accept == numbers.LINK_FORMAT:
            return self._discover(message, path)
        observe = message.observe
        if observe == 0:
            return self._observe(message, path, now)
        self._no_query(message)
        response = self.read(path, message.accept)
        if observe == 1 and self._observers.cancel(message.token) is not None:
            return Outcome(response, CANCELLED, path)
        return Outcome(response, READ, path)

    def _observe(self, message: Message, path: Path, now: float) -> Outcome:
        override = None
        if message.query:
            if self.version != "1.2":
                self._no_query(message)
            self._must_exist(path)
            override = NotificationAttributes().changed(parameters(self._tree, path, message.query))
        response = self.read(path, message.accept)
        observation = self._observers.observe(message.token, path, message.accept, override, now)
        if observation is None:
            return Outcome(response, READ, path)
        return Outcome(with_observe(response, observation.sequence), OBSERVED, path)

    def _discover(self, message: Message, path: Path) -> Outcome:
        if len(path) == 4:
            raise Refused(numbers.METHOD_NOT_ALLOWED, "no discovery below a resource")
        depth = self._depth(message)
        self._must_exist(path)
        if not self._tree.exists(path):
            raise Refused(numbers.NOT_FOUND, f"{path} has no value")
        links = discover(self._tree, self._attached, path, self.version, depth)
        response = Response(numbers.CONTENT, links.encode(), options(content_format=numbers.LINK_FORMAT))
        return Outcome(response, DISCOVERED, path)

    def _depth(self, message: Message) -> int | None:
        depth = None
        for argument in message.query:
            name, _, text = argument.partition("=")
            if name != "depth" or len(message.query) > 1:
                self._no_query(message)
            # A device that does not know the parameter yet ignores it.
            if self.version == "1.2":
                if text not in ("0", "1", "2", "3"):
                    raise Refused(numbers.BAD_REQUEST, "depth is 0 to 3")
                depth = int(text)
        return depth

    def _put(self, message: Message, path: Path, now: float) -> Outcome:
        if message.content_format is None:
            if message.payload:
                raise Refused(numbers.BAD_REQUEST, "a payload without Content-Format")
            self._must_exist(path)
            if not self._tree.exists(path):
                raise Refused(numbers.NOT_FOUND, f"{path} has no value")
            self._attached.write(path, message.query)
            return Outcome(_CHANGED, ATTRIBUTES, path)
        self._no_query(message)
        content = self._content_format(message)
        if len(path) == 1:
            raise Refused(numbers.METHOD_NOT_ALLOWED, "an object cannot be written")
        self._must_exist(path)
        self._must_be_writable(path)
        changed = writing.replace(self._tree, path, self._decode(content, path, message.payload))
        return Outcome(_CHANGED, WRITTEN, path, changed)

    def _post(self, message: Message, path: Path, now: float) -> Outcome:
        self._no_query(message)
        if len(path) == 1:
            return self._create(message, path)
        if len(path) == 4:
            raise Refused(numbers.METHOD_NOT_ALLOWED, "a resource instance takes no POST")
        if len(path) == 3 and message.content_format in (None, numbers.TEXT):
            return self._run(message, path)
        if message.content_format is None:
            raise Refused(numbers.METHOD_NOT_ALLOWED, f"{path} cannot be executed")
        content = self._content_format(message)
        if len(path) == 3 and self.version != "1.2":
            raise Refused(numbers.UNSUPPORTED_CONTENT_FORMAT, "arguments of Execute are text")
        self._must_exist(path)
        self._must_be_writable(path)
        changed = writing.update(self._tree, path, self._decode(content, path, message.payload))
        return Outcome(_CHANGED, WRITTEN, path, changed)

    def _run(self, message: Message, path: Path) -> Outcome:
        self._must_exist(path)
        model = self._tree.model(path)
        if model is None or not executable(model):
            raise Refused(numbers.METHOD_NOT_ALLOWED, f"{path} cannot be executed")
        try:
            arguments = parse_arguments(message.payload)
        except BadArguments as error:
            raise Refused(numbers.BAD_REQUEST, str(error)) from error
        self._execute(path, arguments)
        return Outcome(_CHANGED, EXECUTED, path)

    def _create(self, message: Message, path: Path) -> Outcome:
        content = self._content_format(message) if message.payload else numbers.TLV
        if not self._tree.supported[path[0]].dynamic:
            raise Refused(numbers.METHOD_NOT_ALLOWED, f"{path} has no instances to create")
        if tlv.wrapped(message.payload):
            nodes = self._decode(content, path, message.payload)
            created = writing.named_instance(nodes)
        else:
            created = writing.free_instance(self._tree, path)
            nodes = self._decode(content, created, message.payload)
        writing.create(self._tree, created, nodes)
        response = Response(numbers.CREATED, b"", options(location=(str(created[0]), str(created[1]))))
        return Outcome(response, CREATED, created)

    def _delete(self, message: Message, path: Path, now: float) -> Outcome:
        if len(path) in (1, 3) or (len(path) == 4 and self.version != "1.2"):
            raise Refused(numbers.METHOD_NOT_ALLOWED, f"{path} cannot be deleted")
        self._must_exist(path)
        writing.delete(self._tree, path)
        return Outcome(_DELETED, DELETED, path, (path,))

    _operations: Final = {numbers.GET: _get, numbers.PUT: _put, numbers.POST: _post, numbers.DELETE: _delete}

    def _target(self, message: Message) -> Path:
        known = _DELETE_CRITICAL if message.code == numbers.DELETE else _READ_CRITICAL
        for number, _ in message.options:
            if number & 1 and number not in known:
                raise Refused(numbers.BAD_OPTION, f"option {number} is not understood")
        if message.code not in self._operations:
            raise Refused(numbers.METHOD_NOT_ALLOWED)
        path = _path(message.path)
        if not path:
            raise Refused(numbers.BAD_REQUEST, "the root takes no operation")
        if path[0] in SECURITY_OBJECTS:
            raise Refused(numbers.UNAUTHORIZED)
        if path[0] not in self._tree.supported:
            raise Refused(numbers.NOT_FOUND, f"no object {path[0]}")
        if len(path) == 4 and self.version == "1.0":
            raise Refused(numbers.METHOD_NOT_ALLOWED, "resource instances came with LwM2M 1.1")
        return path

    def _must_exist(self, path: Path) -> None:
        if len(path) > 1 and self._tree.instance(path) is None:
            raise Refused(numbers.NOT_FOUND, f"no instance {Path(path[:2])}")
        if len(path) > 2 and self._tree.model(path) is None:
            raise Refused(numbers.NOT_FOUND, f"no resource {Path(path[:3])}")

    def _must_be_writable(self, path: Path) -> None:
        model = self._tree.model(path)
        if model is not None and "W" not in model.operations:
            raise Refused(numbers.METHOD_NOT_ALLOWED, f"{path} is not writable")

    def _no_query(self, message: Message) -> None:
        if message.query:
            raise Refused(numbers.BAD_OPTION, f"query {message.query[0][:32]!r} is not understood")

    def _content_format(self, message: Message) -> int:
        given = message.content_format
        content = formats.ALIASES.get(given, given) if given is not None else None
        if content not in FORMATS:
            raise Refused(numbers.UNSUPPORTED_CONTENT_FORMAT, f"format {given} is not supported")
        return content

    def _decode(self, content: int, path: Path, payload: bytes) -> Nodes:
        if len(path) < 3 and content != numbers.TLV:
            raise Refused(numbers.BAD_REQUEST, "a single value for an instance")
        try:
            return formats.decode(content, path, payload, self._tree.model, _strictly)
        except ContentError as error:
            raise Refused(numbers.BAD_REQUEST, str(error)) from error

    def _format(self, path: Path, accept: int | None) -> int:
        model = self._tree.model(path)
        single = model is not None and (len(path) == 4 or not model.multiple)
        opaque = model is not None and model.type is ResourceType.OPAQUE
        if accept is None:
            return (numbers.OPAQUE if opaque else numbers.TEXT) if single else numbers.TLV
        if accept != numbers.TLV and not (single and (opaque or accept == numbers.TEXT)):
            raise Refused(numbers.NOT_ACCEPTABLE, f"{path} is not a single value of that format")
        return accept


def with_observe(response: Response, sequence: int) -> Response:
    """The same answer as a notification with that sequence number."""
    return Response(response.code, response.payload, _add_observe(response.options, sequence))


def _add_observe(present: Options, sequence: int) -> Options:
    return options(observe=sequence, extra=present)


def _strictly(deviation: str) -> None:
    raise ContentError(f"malformed: {deviation}")


def _path(segments: tuple[str, ...]) -> Path:
    if any("/" in segment for segment in segments):
        raise Refused(numbers.BAD_OPTION, "the path is not made of ids")
    try:
        return Path.from_segments(segments)
    except PathError as error:
        raise Refused(numbers.BAD_OPTION, str(error)) from error


_CHANGED: Final = Response(numbers.CHANGED)
_DELETED: Final = Response(numbers.DELETED)
