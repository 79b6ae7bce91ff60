"""What the server asks of the device: from the request to the operation on the tree, and to the answer's code.

Source: OMA LwM2M Core TS 1.2, 6.3 and 6.4, Transport TS, table of operations. RULES, in this order: options and path
syntax 4.02; an empty path 4.00; Security Objects 4.01; unknown Object 4.04; formats 4.15 and 4.06; missing Instance
4.04; unknown Resource 4.04; operation not supported there 4.05; payload 4.00. A PUT without Content-Format is
Write-Attributes, a GET that accepts Link Format is Discover, a POST on a Resource with text or nothing is Execute. The
LwM2M version decides what there is: Resource Instances and composite operations from 1.1 on, the depth of Discover,
parameters of Observe, Delete of a Resource Instance and partial Write of a Resource from 1.2 on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from lwm2md.coap import numbers
from lwm2md.coap.interfaces import Response
from lwm2md.coap.message import Message, Options, options
from lwm2md.device import composite, contents, targets, writing
from lwm2md.device.attached import Attached, parameters
from lwm2md.device.discovery import discover
from lwm2md.device.errors import Refused
from lwm2md.device.observers import Observation, Observers
from lwm2md.device.sending import Parcel
from lwm2md.device.tree import Tree, executable, readable
from lwm2md.lwm2m import formats, tlv
from lwm2md.lwm2m.attributes import NotificationAttributes
from lwm2md.lwm2m.execute import Arguments, BadArguments, parse_arguments
from lwm2md.lwm2m.lwm2mjson import JOINED, LINK_AS_TEXT
from lwm2md.lwm2m.nodes import ContentError, Nodes
from lwm2md.lwm2m.paths import ROOT, Path
from lwm2md.lwm2m.senmlreading import WITHOUT_ROOT
from lwm2md.lwm2m.typed import FLOAT_FOR_INTEGER

_TOLERATED: Final = frozenset({FLOAT_FOR_INTEGER, LINK_AS_TEXT, JOINED, WITHOUT_ROOT})
"""Deviations of payloads that servers in the field have and that have one meaning."""

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


Execute = Callable[[Path, Arguments, float], None]
"""Executes a Resource, or plans to at once after the answer; raises Refused."""


class Requests:
    """Answers the server's requests on one tree.

    ``root`` are the segments of a path before the ids, ``limit`` the only formats that the device has (none: all),
    ``usual`` the format that several values are in where the server has no wish.
    """

    __slots__ = ("_attached", "_execute", "_formats", "_limit", "_observers", "_root", "_tree", "_usual", "_version")

    def __init__(
        self,
        tree: Tree,
        attached: Attached,
        observers: Observers,
        execute: Execute,
        version: str,
        *,
        root: tuple[str, ...] = (),
        limit: frozenset[int] = frozenset(),
        usual: int | None = None,
    ) -> None:
        self._tree = tree
        self._attached = attached
        self._observers = observers
        self._execute = execute
        self._root = root
        self._limit = limit
        self._usual = usual
        self.speak(version)

    def speak(self, version: str) -> None:
        """From here on be a device of that LwM2M version: the one it registers with."""
        self._version = version
        self._formats = contents.available(version, self._limit)

    @property
    def root(self) -> str:
        """What stands before the ids in names: empty, or with a slash before each segment."""
        return "".join(f"/{segment}" for segment in self._root)

    def handle(self, message: Message, now: float) -> Outcome:
        """Do what ``message`` asks; every refusal becomes an answer."""
        try:
            path = targets.target(message, self._tree, self._version, self._root)
            return self._operations[message.code](self, message, path, now)
        except Refused as refusal:
            return Outcome(Response(refusal.code, refusal.reason.encode()), REFUSED)

    def report(self, observation: Observation) -> Response:
        """What an observation tells now, with what it has stored. Raises Refused where its path is gone."""
        if observation.history:
            chosen = contents.timed_format(observation.accept, self._formats, self._usual)
            if chosen is not None:
                base = ROOT if observation.composite else observation.paths[0]
                return self._content(chosen, base, observation.history.nodes())
        if observation.composite and observation.accept is not None:
            return self._read_all(observation.paths, observation.accept)
        return self._read(observation.paths[0], observation.accept)

    def parcel(self, parcel: Parcel, now: float) -> Response:
        """What a Send carries that leaves now. Raises Refused where its values have no place in its format."""
        chosen = contents.send_format(parcel.sending.content_format, self._formats, self._usual)
        return self._content(chosen, ROOT, parcel.nodes(now, timed=contents.has_times(chosen)))

    def _read(self, path: Path, accept: int | None) -> Response:
        contents.must_be_acceptable(accept, self._formats)
        targets.must_be_there(self._tree, path)
        model = self._tree.model(path)
        if model is not None and not readable(model):
            raise Refused(numbers.METHOD_NOT_ALLOWED, f"{path} is not readable")
        targets.must_have_value(self._tree, path)
        chosen = contents.answer_format(path, model, accept, self._formats, self._usual)
        return self._content(chosen, path, self._tree.nodes(path))

    def _read_all(self, paths: tuple[Path, ...], chosen: int) -> Response:
        return self._content(chosen, ROOT, composite.nodes(self._tree, paths))

    def _content(self, chosen: int, base: Path, nodes: Nodes) -> Response:
        try:
            payload = formats.encode(chosen, base, nodes, self._tree.model, root=self.root)
        except ContentError as error:
            raise Refused(numbers.NOT_ACCEPTABLE, str(error)) from error
        return Response(numbers.CONTENT, payload, options(content_format=chosen))

    def _get(self, message: Message, path: Path, now: float) -> Outcome:
        if message.accept == numbers.LINK_FORMAT:
            return self._discover(message, path)
        if message.observe == 0:
            return self._observe(message, path, now)
        self._no_parameters(message)
        return self._read_outcome(message, path, self._read(path, message.accept))

    def _no_parameters(self, message: Message) -> None:
        """Refuse a query, but for that of an Observe that is cancelled: it has the same options (RFC 7641 3.6)."""
        if message.observe is None or self._version != "1.2":
            targets.no_query(message)

    def _read_outcome(self, message: Message, path: Path, response: Response) -> Outcome:
        if message.observe == 1 and self._observers.cancel(message.token) is not None:
            return Outcome(response, CANCELLED, path)
        return Outcome(response, READ, path)

    def _observe(self, message: Message, path: Path, now: float) -> Outcome:
        override = None
        if message.query:
            if self._version != "1.2":
                targets.no_query(message)
            targets.must_be_there(self._tree, path)
            override = NotificationAttributes().changed(parameters(self._tree, path, message.query, self._version))
        response = self._read(path, message.accept)
        observation = self._observers.observe(message.token, (path,), message.accept, override, now)
        return self._observed(observation, response, path)

    def _observed(self, observation: Observation | None, response: Response, path: Path) -> Outcome:
        if observation is None:
            return Outcome(response, READ, path)
        return Outcome(with_observe(response, observation.sequence), OBSERVED, path)

    def _fetch(self, message: Message, path: Path, now: float) -> Outcome:
        self._no_parameters(message)
        content = contents.list_format(message.content_format, self._formats)
        accept = contents.composite_format(content, message.accept, self._formats)
        try:
            paths = formats.decode_paths(content, message.payload, root=self.root)
        except ContentError as error:
            raise Refused(numbers.BAD_REQUEST, str(error)) from error
        composite.check(paths)
        response = self._read_all(paths, accept)
        if message.observe != 0:
            return self._read_outcome(message, path, response)
        override = composite.parameters(message.query) if message.query else None
        observation = self._observers.observe(message.token, paths, accept, override, now, composite=True)
        return self._observed(observation, response, path)

    def _patch(self, message: Message, path: Path, now: float) -> Outcome:
        content = contents.change_format(message.content_format, self._formats)
        changed = writing.patch(self._tree, self._decode(content, path, message.payload))
        return Outcome(_CHANGED, WRITTEN, path, changed)

    def _discover(self, message: Message, path: Path) -> Outcome:
        if len(path) == 4:
            raise Refused(numbers.METHOD_NOT_ALLOWED, "no discovery below a resource")
        depth = self._depth(message)
        targets.must_be_there(self._tree, path)
        targets.must_have_value(self._tree, path)
        links = discover(self._tree, self._attached, path, self._version, depth, root=self.root)
        response = Response(numbers.CONTENT, links.encode(), options(content_format=numbers.LINK_FORMAT))
        return Outcome(response, DISCOVERED, path)

    def _depth(self, message: Message) -> int | None:
        depth = None
        for argument in message.query:
            name, _, text = argument.partition("=")
            if name != "depth" or len(message.query) > 1:
                targets.no_query(message)
            # A device that does not know the parameter yet ignores it.
            if self._version == "1.2":
                if text not in ("0", "1", "2", "3"):
                    raise Refused(numbers.BAD_REQUEST, "depth is 0 to 3")
                depth = int(text)
        return depth

    def _put(self, message: Message, path: Path, now: float) -> Outcome:
        if message.content_format is None:
            return self._write_attributes(message, path)
        targets.no_query(message)
        content = contents.content_format(message.content_format, self._formats)
        if len(path) == 1:
            raise Refused(numbers.METHOD_NOT_ALLOWED, "an object cannot be written")
        targets.must_be_there(self._tree, path)
        targets.must_be_writable(self._tree, path)
        changed = writing.replace(self._tree, path, self._decode(content, path, message.payload))
        return Outcome(_CHANGED, WRITTEN, path, changed)

    def _write_attributes(self, message: Message, path: Path) -> Outcome:
        if message.payload:
            raise Refused(numbers.BAD_REQUEST, "a payload without Content-Format")
        targets.must_be_there(self._tree, path)
        targets.must_have_value(self._tree, path)
        self._attached.write(path, message.query, self._version)
        return Outcome(_CHANGED, ATTRIBUTES, path)

    def _post(self, message: Message, path: Path, now: float) -> Outcome:
        targets.no_query(message)
        if len(path) == 1:
            return self._create(message, path)
        if len(path) == 4:
            raise Refused(numbers.METHOD_NOT_ALLOWED, "a resource instance takes no POST")
        if len(path) == 3 and message.content_format in (None, numbers.TEXT):
            return self._run(message, path, now)
        if message.content_format is None:
            raise Refused(numbers.METHOD_NOT_ALLOWED, f"{path} cannot be executed")
        content = contents.content_format(message.content_format, self._formats)
        if len(path) == 3 and self._version != "1.2":
            raise Refused(numbers.UNSUPPORTED_CONTENT_FORMAT, "arguments of Execute are text")
        targets.must_be_there(self._tree, path)
        targets.must_be_writable(self._tree, path)
        changed = writing.update(self._tree, path, self._decode(content, path, message.payload))
        return Outcome(_CHANGED, WRITTEN, path, changed)

    def _run(self, message: Message, path: Path, now: float) -> Outcome:
        targets.must_be_there(self._tree, path)
        model = self._tree.model(path)
        if model is None or not executable(model):
            raise Refused(numbers.METHOD_NOT_ALLOWED, f"{path} cannot be executed")
        try:
            arguments = parse_arguments(message.payload)
        except BadArguments as error:
            raise Refused(numbers.BAD_REQUEST, str(error)) from error
        self._execute(path, arguments, now)
        return Outcome(_CHANGED, EXECUTED, path)

    def _create(self, message: Message, path: Path) -> Outcome:
        payload = message.payload
        content = contents.content_format(message.content_format, self._formats) if payload else numbers.TLV
        if not self._tree.supported[path[0]].dynamic:
            raise Refused(numbers.METHOD_NOT_ALLOWED, f"{path} has no instances to create")
        if content == numbers.TLV and not tlv.wrapped(payload):
            created = writing.free_instance(self._tree, path)
            nodes = self._decode(content, created, payload)
        else:
            nodes = self._decode(content, path, payload)
            created = writing.named_instance(self._tree, path, nodes)
        writing.create(self._tree, created, nodes)
        response = Response(numbers.CREATED, b"", options(location=(str(created[0]), str(created[1]))))
        return Outcome(response, CREATED, created)

    def _delete(self, message: Message, path: Path, now: float) -> Outcome:
        if len(path) in (1, 3) or (len(path) == 4 and self._version != "1.2"):
            raise Refused(numbers.METHOD_NOT_ALLOWED, f"{path} cannot be deleted")
        targets.must_be_there(self._tree, path)
        writing.delete(self._tree, path)
        return Outcome(_DELETED, DELETED, path, (path,))

    _operations: Final = {
        numbers.GET: _get,
        numbers.PUT: _put,
        numbers.POST: _post,
        numbers.DELETE: _delete,
        numbers.FETCH: _fetch,
        numbers.IPATCH: _patch,
    }

    def _decode(self, content: int, path: Path, payload: bytes) -> Nodes:
        contents.must_carry(content, path)
        try:
            nodes = formats.decode(content, path, payload, self._tree.model, _strictly, root=self.root)
        except ContentError as error:
            raise Refused(numbers.BAD_REQUEST, str(error)) from error
        if len({entry.path for entry in nodes}) < len(nodes):
            raise Refused(numbers.BAD_REQUEST, "a path is there twice")
        return nodes


def with_observe(response: Response, sequence: int) -> Response:
    """The same answer as a notification with that sequence number."""
    return Response(response.code, response.payload, _add_observe(response.options, sequence))


def _add_observe(present: Options, sequence: int) -> Options:
    return options(observe=sequence, extra=present)


def _strictly(deviation: str) -> None:
    if deviation not in _TOLERATED:
        raise ContentError(f"malformed: {deviation}")


_CHANGED: Final = Response(numbers.CHANGED)
_DELETED: Final = Response(numbers.DELETED)
