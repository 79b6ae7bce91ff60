"""Read-Composite, Write-Composite and Observe-Composite, with the byte vectors of the specification."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.message import options
from lwm2md.coap.numbers import (
    DELETE,
    FETCH,
    IPATCH,
    LWM2M_CBOR,
    POST,
    PUT,
    SENML_CBOR,
    SENML_ETCH_CBOR,
    SENML_ETCH_JSON,
    SENML_JSON,
    TLV,
)
from lwm2md.device.composite import MAX_PATHS
from lwm2md.device.objects import Settings
from lwm2md.device.observers import Observation
from lwm2md.device.tree import Stored
from lwm2md.lwm2m import formats
from lwm2md.lwm2m.paths import ROOT, Path
from tests.device.harness import NOW, Bench, Pair, everything

_TEST = Path((3442, 0))


def _bench(version: str = "1.2") -> Bench:
    instances: dict[Path, dict[int, Stored]] = {_TEST: {120: 5, 1120: {0: 1, 5: 2}}, Path((3303, 0)): {}}
    return Bench(
        settings=Settings("d", 300, version, instances=instances),
        more=(
            3442,
            19,
        ),
    )


def _read(bench: Bench, *paths: str) -> dict[str, object]:
    """What a Read-Composite shows: the value by name."""
    payload = json.dumps([{"n": path} for path in paths]).encode()
    response = bench.ask(FETCH, "/", content=SENML_JSON, payload=payload).response
    assert response.code == numbers.CONTENT, response
    nodes = formats.decode(SENML_JSON, ROOT, response.payload, bench.tree.model)
    return {str(entry.path): entry.value for entry in nodes}


def _patch(bench: Bench, *records: dict[str, object], content: int = SENML_JSON) -> str:
    return bench.code(IPATCH, "/", content=content, payload=json.dumps(records).encode())


class ReadTests(SynchronousTestCase):
    """What a Read-Composite shows."""

    def test_vector(self) -> None:
        """The request of the specification for /3/0/9 and /1/0/1 has both values in its answer."""
        bench = _bench()
        bench.tree.put(Path((3, 0, 9)), 100)
        payload = bytes.fromhex("82a100662f332f302f39a100662f312f302f31")
        response = bench.ask(FETCH, "/", content=SENML_CBOR, accept=SENML_CBOR, payload=payload).response
        self.assertEqual(response.options, options(content_format=SENML_CBOR))
        nodes = formats.decode(SENML_CBOR, ROOT, response.payload, bench.tree.model)
        self.assertEqual([(str(one.path), one.value) for one in nodes], [("/3/0/9", 100), ("/1/0/1", 300)])

    def test_levels(self) -> None:
        """A list may mix Objects, Instances, Resources and Resource Instances; what is named twice is told once."""
        bench = _bench()
        self.assertEqual(
            _read(bench, "/3442/0/1120/5", "/3442", "/1/0/1"),
            {"/3442/0/1120/5": 2, "/3442/0/120": 5, "/3442/0/1120/0": 1, "/1/0/1": 300},
        )

    def test_best_effort(self) -> None:
        """What is absent, closed, executable or of another world is left out; an empty answer is one."""
        bench = _bench()
        self.assertEqual(
            _read(bench, "/0/0/0", "/3/0/4", "/3/0/99", "/3/7", "/77", "/3442/0/120/0", "/1/0/1"), {"/1/0/1": 300}
        )
        response = bench.ask(FETCH, "/", content=SENML_CBOR, payload=bytes.fromhex("81a100622f37")).response
        self.assertEqual((response.code, response.payload), (numbers.CONTENT, b"\x80"))

    def test_everything(self) -> None:
        """The root stands for all readable values."""
        found = _read(_bench(), "/")
        self.assertLess({"/1/0/1", "/3/0/0", "/3442/0/1120/5", "/3303/0/5700"}, found.keys())
        self.assertNotIn("/3/0/4", found)

    def test_format_of_the_answer(self) -> None:
        """Without Accept the answer comes in the format of the list, or its SenML relative."""
        bench = _bench()
        for content, expected in (
            (SENML_JSON, SENML_JSON),
            (SENML_CBOR, SENML_CBOR),
            (SENML_ETCH_JSON, SENML_JSON),
            (SENML_ETCH_CBOR, SENML_CBOR),
        ):
            payload = formats.encode_paths(content, (Path((1, 0, 1)),))
            response = bench.ask(FETCH, "/", content=content, payload=payload).response
            self.assertEqual(response.options, options(content_format=expected))

    def test_refused(self) -> None:
        """Paths in the options, parameters, and lists that are none are refused."""
        bench = _bench()
        good = b'[{"n":"/1/0/1"}]'
        many = json.dumps([{"n": f"/1/0/{number}"} for number in range(MAX_PATHS + 1)]).encode()
        cases: tuple[tuple[str, dict[str, object], str], ...] = (
            ("/1", {"content": SENML_JSON, "payload": good}, "4.02"),
            ("/", {"content": SENML_JSON, "payload": good, "query": ("pmin=1",)}, "4.02"),
            ("/", {"content": SENML_JSON, "payload": good, "extra": ((numbers.URI_HOST, b"h"),)}, "4.02"),
            ("/", {"payload": good}, "4.15"),
            ("/", {"content": TLV, "payload": good}, "4.15"),
            ("/", {"content": SENML_JSON, "payload": good, "accept": TLV}, "4.06"),
            ("/", {"content": SENML_JSON, "payload": b"["}, "4.00"),
            ("/", {"content": SENML_JSON, "payload": b""}, "4.00"),
            ("/", {"content": SENML_JSON, "payload": b"[]"}, "4.00"),
            ("/", {"content": SENML_JSON, "payload": b'[{"n":"/x"}]'}, "4.00"),
            ("/", {"content": SENML_JSON, "payload": many}, "4.13"),
        )
        for path, rest, code in cases:
            self.assertEqual(bench.code(FETCH, path, **rest), code, rest)


class WriteTests(SynchronousTestCase):
    """What a Write-Composite leaves behind."""

    def test_vector(self) -> None:
        """The request of the specification writes /1/0/1 and /3/0/14 at once."""
        bench = _bench()
        payload = bytes.fromhex("82a200662f312f302f3102190e10a200672f332f302f313403662b30313a3030")
        outcome = bench.ask(IPATCH, "/", content=SENML_CBOR, payload=payload)
        self.assertEqual(outcome.response.code, numbers.CHANGED)
        self.assertEqual([str(path) for path in outcome.changed], ["/1/0/1", "/3/0/14"])
        self.assertEqual((bench.tree.value(Path((1, 0, 1))), bench.tree.value(Path((3, 0, 14)))), (3600, "+01:00"))

    def test_lwm2m_cbor(self) -> None:
        """From 1.2 on it may come in LwM2M CBOR."""
        bench = _bench()
        payload = bytes.fromhex("a1830100011a00015180")
        self.assertEqual(bench.code(IPATCH, "/", content=LWM2M_CBOR, payload=payload), "2.04")
        self.assertEqual(bench.tree.value(Path((1, 0, 1))), 86400)

    def test_resource_instances(self) -> None:
        """Resource Instances are written and made, and the others are kept."""
        bench = _bench()
        code = _patch(bench, {"n": "/3442/0/1120/5", "v": 7}, {"n": "/3442/0/1120/9", "v": 8})
        self.assertEqual(code, "2.04")
        self.assertEqual(bench.tree.resource(Path((3442, 0, 1120))), {0: 1, 5: 7, 9: 8})

    def test_null_deletes(self) -> None:
        """A null in the ETCH formats deletes a Resource Instance, in plain SenML it is an error."""
        bench = _bench()
        null: dict[str, object] = {"n": "/3442/0/1120/5", "v": None}
        self.assertEqual(_patch(bench, null), "4.00")
        self.assertEqual(_patch(bench, null, content=SENML_ETCH_JSON), "2.04")
        self.assertEqual(bench.tree.resource(Path((3442, 0, 1120))), {0: 1})
        self.assertEqual(_patch(bench, null, content=SENML_ETCH_JSON), "4.04")

    def test_null_vector(self) -> None:
        """The ETCH vector of the specification names a Resource Instance that is not there."""
        payload = bytes.fromhex("81a200692f31362f302f302f3102f6")
        self.assertEqual(_bench().code(IPATCH, "/", content=SENML_ETCH_CBOR, payload=payload), "4.04")

    def test_all_or_nothing(self) -> None:
        """One record that is refused has everything refused, with its code, wherever it stands."""
        good: dict[str, object] = {"n": "/1/0/1", "v": 60}
        cases: tuple[tuple[dict[str, object], str], ...] = (
            ({"n": "/0/0/0", "vs": "x"}, "4.01"),
            ({"n": "/77/0/0", "v": 1}, "4.04"),
            ({"n": "/3442/9/120", "v": 1}, "4.04"),
            ({"n": "/3442/0/99", "v": 1}, "4.04"),
            ({"n": "/1/0/0", "v": 1}, "4.05"),
            ({"n": "/3/0/4", "v": 1}, "4.05"),
            ({"n": "/3442/0/120", "vs": "five"}, "4.00"),
            ({"n": "/3442/0/120/0", "v": 1}, "4.00"),
            ({"n": "/3442/0/1120", "v": 1}, "4.00"),
            ({"n": "/1/0/3", "v": -1}, "4.00"),
            (good, "4.00"),
        )
        for bad, code in cases:
            for records in ((good, bad), (bad, good)):
                bench = _bench()
                before = everything(bench.tree)
                self.assertEqual(_patch(bench, *records), code, bad)
                self.assertEqual(everything(bench.tree), before)

    def test_refused(self) -> None:
        """Paths in the options and parameters are refused."""
        bench = _bench()
        rest: dict[str, object] = {"content": SENML_JSON, "payload": b'[{"n":"/1/0/1","v":1}]'}
        self.assertEqual(bench.code(IPATCH, "/1", **rest), "4.02")
        self.assertEqual(bench.code(IPATCH, "/", query=("x",), **rest), "4.02")
        self.assertEqual(bench.code(IPATCH, "/", **rest), "2.04")


class _Watching(Bench):
    """Observes /3442/0/120 and /3303/0/5700 together, and keeps the times of what is sent."""

    def __init__(self, *query: str) -> None:
        instances: dict[Path, dict[int, Stored]] = {_TEST: {120: 5, 1120: {0: 1}}, Path((3303, 0)): {}}
        super().__init__(settings=Settings("d", 300, "1.2", instances=instances), more=(3442,))
        self.sent: list[tuple[float, bool]] = []
        payload = b'[{"n":"/3442/0/120"},{"n":"/3303/0/5700"}]'
        asked = self.ask(FETCH, "/", content=SENML_JSON, accept=SENML_CBOR, observe=0, query=query, payload=payload)
        self.first = asked.response

    def write(self, path: str, value: int | float, after: float) -> None:
        """The device itself sets a value."""
        self.tree.put(Path.parse(path), value)
        self.observers.touch(Path.parse(path), NOW + after)
        self.expire(after)

    def expire(self, after: float) -> None:
        """Send what is due."""
        self.observers.expire(NOW + after, self._send)

    def _send(self, observation: Observation, confirmable: bool, now: float) -> bool:
        self.sent.append((now - NOW, confirmable))
        self.last = self.requests.report(observation)
        return True


class ObserveTests(SynchronousTestCase):
    """Several paths in one observation."""

    def test_all_paths_in_each_notification(self) -> None:
        """A change of one path tells all, in the format of the request."""
        bench = _Watching()
        self.assertEqual(numbers.dotted(bench.first.code), "2.05")
        bench.write("/3442/0/120", 6, 1)
        bench.write("/3442/0/1120/0", 6, 2)
        self.assertEqual(bench.sent, [(1, False)])
        self.assertEqual(bench.last.options, options(content_format=SENML_CBOR))
        nodes = formats.decode(SENML_CBOR, ROOT, bench.last.payload, bench.tree.model)
        self.assertEqual([str(entry.path) for entry in nodes], ["/3442/0/120", "/3303/0/5700"])

    def test_attributes_of_each_path(self) -> None:
        """Each path has its own conditions and periods; the smallest pmax and any con count."""
        bench = _Watching()
        bench.ask(PUT, "/3442/0/120", query=("gt=10", "pmax=60"))
        bench.ask(PUT, "/3303/0", query=("pmin=5", "pmax=90", "con=1"))
        bench.write("/3442/0/120", 9, 1)
        self.assertEqual(bench.sent, [])
        bench.write("/3303/0/5700", -4.0, 2)
        self.assertEqual((bench.sent, bench.observers.next_deadline()), ([], NOW + 5))
        bench.write("/3442/0/120", 11, 3)
        self.assertEqual(bench.sent, [(3, True)])
        [observation] = bench.observers
        bench.observers.delivered(observation, observation.sequence)
        self.assertEqual(bench.observers.next_deadline(), NOW + 63)

    def test_parameters(self) -> None:
        """From 1.2 on periods may be parameters of the request; they replace what is attached to every path."""
        bench = _Watching("pmin=4", "con=1")
        bench.ask(PUT, "/3442/0/120", query=("pmin=100",))
        bench.write("/3442/0/120", 6, 1)
        bench.expire(4)
        self.assertEqual(bench.sent, [(4, True)])
        self.assertEqual(numbers.dotted(_Watching("gt=4").first.code), "4.00")
        self.assertEqual(numbers.dotted(_Watching("pmin=x").first.code), "4.00")

    def test_deleted_instance(self) -> None:
        """The end of one path does not end the observation: it is left out from then on."""
        bench = _Watching()
        self.assertEqual(bench.code(DELETE, "/3442/0"), "2.02")
        bench.observers.removed(_TEST)
        bench.observers.touch(_TEST, NOW + 1)
        bench.expire(1)
        self.assertEqual(bench.sent, [(1, False)])
        nodes = formats.decode(SENML_CBOR, ROOT, bench.last.payload, bench.tree.model)
        self.assertEqual([str(entry.path) for entry in nodes], ["/3303/0/5700"])
        self.assertEqual(len(bench.observers), 1)

    def test_cancel(self) -> None:
        """Observe 1 with the same token ends it and answers without the option."""
        bench = _Watching()
        payload = b'[{"n":"/3442/0/120"}]'
        answer = bench.ask(FETCH, "/", content=SENML_JSON, observe=1, payload=payload)
        self.assertEqual((answer.what, len(bench.observers)), ("observation cancelled", 0))
        self.assertEqual(answer.response.options, options(content_format=SENML_JSON))

    def test_cancel_with_parameters(self) -> None:
        """A cancellation may have the parameters of the request; anything else may not."""
        bench = _Watching("pmin=4")
        payload = b'[{"n":"/3442/0/120"}]'
        answer = bench.ask(FETCH, "/", content=SENML_JSON, query=("pmin=4",), observe=1, payload=payload)
        self.assertEqual((answer.what, len(bench.observers)), ("observation cancelled", 0))
        answer = bench.ask(FETCH, "/", content=SENML_JSON, query=("pmin=4",), payload=payload)
        self.assertEqual(numbers.dotted(answer.response.code), "4.02")

    def test_evaluation_periods(self) -> None:
        """``epmin`` and ``pmax`` of the request hold for each path: it is looked at when the former is over."""
        bench = _Watching("epmin=10", "epmax=20", "pmax=30")
        bench.write("/3442/0/120", 6, 1)
        self.assertEqual((bench.sent, bench.observers.next_deadline()), ([], NOW + 10))
        bench.expire(10)
        self.assertEqual((bench.sent, bench.observers.next_deadline()), ([(10, False)], NOW + 40))

    def test_created_instance_appears(self) -> None:
        """On the wire: an observed Object tells an Instance that the server creates, and ends with the device."""
        pair = Pair(Settings("d", 300, "1.2", instances={}), 3442)
        pair.start()
        seen = pair.observe_all("/3442", "/1/0/1")
        self.assertEqual(pair.ask(POST, "/3442", b"\x08\x07\x03\xc1\x78\x05", content_format=TLV).code, numbers.CREATED)
        pair.settle()
        self.assertEqual(len(seen), 2)
        nodes = formats.decode(SENML_CBOR, ROOT, seen[1].payload, pair.model)
        self.assertEqual([str(entry.path) for entry in nodes], ["/3442/7/120", "/1/0/1"])
        self.assertEqual(pair.errors, [])
