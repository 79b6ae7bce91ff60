"""Tests of lwm2md.server.negotiation: which format a request is made in, and what comes of one that is refused."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.server.negotiation import accepts, composites, contents
from lwm2md.server.records import Operation
from tests.server.fixtures import Answer, Bench, FakeDevice

SENML = bytes.fromhex("81a200692f333330332f302f3002fb4035800000000000")
REFUSALS = {"read": n.NOT_ACCEPTABLE, "write": n.UNSUPPORTED_CONTENT_FORMAT}


class ChoiceTests(SynchronousTestCase):
    """What comes first, by version and by the formats that the device listed."""

    def test_accepts(self) -> None:
        """A Read asks for the best that the device listed, else for what its version is sure to have."""
        table: list[tuple[str, tuple[int, ...], bool, tuple[int | None, ...]]] = [
            ("1.0", (), False, (n.TLV, n.JSON, None)),
            ("1.0", (n.JSON, n.TEXT), False, (n.JSON, None)),
            ("1.1", (), False, (n.TLV, n.SENML_CBOR, None)),
            ("1.1", (n.TLV,), False, (n.TLV, None)),
            ("1.1", (n.TEXT, n.CBOR, n.SENML_JSON, n.SENML_CBOR, n.TLV), False, (n.SENML_CBOR, n.TLV, None)),
            ("1.1", (n.SENML_JSON, n.TEXT), True, (n.SENML_JSON, n.TEXT, None)),
            ("1.1", (n.TEXT,), False, (None,)),
            ("1.1", (n.TEXT, n.CBOR), True, (n.TEXT, n.CBOR, None)),
            ("1.2", (), False, (n.SENML_CBOR, n.TLV, None)),
            ("1.2", (n.LWM2M_CBOR, n.SENML_CBOR), False, (n.LWM2M_CBOR, n.SENML_CBOR, None)),
            ("1.2", (n.SENML_CBOR, n.TLV), False, (n.SENML_CBOR, n.TLV, None)),
        ]
        for version, listed, one, expected in table:
            self.assertEqual(accepts(version, listed, one), expected, (version, listed, one))

    def test_contents(self) -> None:
        """Several values are written in what the device listed, then in what its version has."""
        table: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = [
            ("1.0", (), (n.TLV, n.JSON)),
            ("1.1", (), (n.TLV, n.SENML_CBOR, n.SENML_JSON)),
            ("1.1", (n.SENML_JSON,), (n.SENML_JSON, n.TLV, n.SENML_CBOR)),
            ("1.2", (), (n.SENML_CBOR, n.TLV, n.SENML_JSON)),
            ("1.2", (n.LWM2M_CBOR,), (n.LWM2M_CBOR, n.SENML_CBOR, n.TLV)),
        ]
        for version, listed, expected in table:
            self.assertEqual(contents(version, listed), expected, (version, listed))

    def test_composites(self) -> None:
        """Composite requests are SenML, in CBOR unless the device listed JSON only."""
        self.assertEqual(composites((), etch=False), (n.SENML_CBOR, n.SENML_JSON))
        self.assertEqual(composites((n.SENML_JSON,), etch=False), (n.SENML_JSON, n.SENML_CBOR))
        self.assertEqual(composites((), etch=True), (n.SENML_ETCH_CBOR, n.SENML_ETCH_JSON))


class FallbackTests(SynchronousTestCase):
    """A format that was chosen here and is refused is replaced, at once and from then on."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.device = self.bench.registered()
        self.other = self.bench.registered("other", 2)
        self.takes: set[int | None] = set()
        self.device.on_request = None

    def ask(
        self, op: str, path: str | None, device: FakeDevice | None = None, **fields: object
    ) -> tuple[Operation, list[int | None]]:
        """Ask a device that takes some formats; the operation, and the formats that it was asked in."""
        asked = device or self.device
        asked.requests.clear()
        operation = self.bench.submit(asked.endpoint, op, path, **fields)
        for _ in range(9):
            if operation.finished:
                break
            message = asked.requests[-1]
            reading = message.content_format is None
            number = message.accept if reading else message.content_format
            if number in self.takes:
                observe = 1 if message.observe == 0 else None
                content = Answer(n.CONTENT, SENML, n.SENML_CBOR, observe)
                asked.reply(content if message.code in (n.GET, n.FETCH) else Answer(n.CHANGED))
            else:
                asked.reply(Answer(n.NOT_ACCEPTABLE if reading else n.UNSUPPORTED_CONTENT_FORMAT))
        return operation, [
            each.accept if each.content_format is None else each.content_format for each in asked.requests
        ]

    def test_read(self) -> None:
        """A Read that is not acceptable is asked in the next format, and the next Read begins with that."""
        self.takes = {n.SENML_CBOR}
        operation, asked = self.ask("read", "/3303/0/0")
        self.assertEqual((operation.state, operation.format, asked), ("done", "senml-cbor", [n.TLV, n.SENML_CBOR]))
        self.assertEqual(self.ask("read", "/3303")[1], [n.SENML_CBOR])
        self.assertEqual(self.ask("observe", "/3303/0/0")[1], [n.SENML_CBOR])
        self.assertEqual(self.ask("read", "/3303", self.other)[1], [n.TLV, n.SENML_CBOR])

    def test_nothing_taken(self) -> None:
        """A device that takes nothing is asked with no Accept at last, and by then its error stands."""
        operation, asked = self.ask("read", "/3303")
        self.assertEqual((operation.state, operation.coap_code, asked), ("failed", "4.06", [n.TLV, n.SENML_CBOR, None]))
        self.assertEqual(self.ask("read", "/3303")[1], [None])
        self.takes = {None}
        self.assertEqual(self.ask("read", "/3303")[0].state, "done")

    def test_observe(self) -> None:
        """An Observe is asked again, too, with its token, and cancelled in the format that it was taken in."""
        self.takes = {n.SENML_CBOR}
        operation, asked = self.ask("observe", "/3303/0/0")
        self.assertEqual((operation.state, asked), ("done", [n.TLV, n.SENML_CBOR]))
        self.assertEqual({each.token for each in self.device.requests}, {operation.token})
        self.assertEqual(self.ask("cancel-observe", "/3303/0/0")[1], [n.SENML_CBOR])

    def test_write(self) -> None:
        """A Write in an unsupported format is made in the next one, of one value and of several."""
        self.takes = {n.SENML_CBOR}
        operation, asked = self.ask("write", "/3/0/14", value="x")
        self.assertEqual((operation.state, asked), ("done", [n.TEXT, n.TLV, n.SENML_CBOR]))
        self.assertEqual(self.ask("write", "/1/0/1", value=5)[1], [n.SENML_CBOR])
        self.assertEqual(self.ask("write", "/1/0", values={"1": 5})[1], [n.SENML_CBOR])
        self.assertEqual(self.ask("write", "/5/0/0", value="AQI=")[1], [n.OPAQUE, n.SENML_CBOR])

    def test_create(self) -> None:
        """A Create that is unsupported created nothing, and is made again; a 4.06 says something else."""
        self.takes = {n.SENML_CBOR}
        operation, asked = self.ask("create", "/3303", id=4, values={"5750": "x"})
        self.assertEqual((operation.state, asked), ("done", [n.TLV, n.SENML_CBOR]))
        operation = self.bench.submit("other", "create", "/3303", id=4, values={"5750": "x"})
        self.other.reply(Answer(n.NOT_ACCEPTABLE))
        self.assertEqual((operation.state, operation.coap_code), ("failed", "4.06"))

    def test_composite(self) -> None:
        """Composite requests go from CBOR to JSON, and what can delete stays what can."""
        self.takes = {n.SENML_JSON, n.SENML_ETCH_JSON}
        self.assertEqual(self.ask("read-composite", None, paths=("/3303",))[1], [n.SENML_CBOR, n.SENML_JSON])
        self.assertEqual(self.ask("write-composite", None, values={"/3/0/14": "x"})[1], [n.SENML_JSON])
        self.device.register("lwm2m=1.2", "lt=300", links="</2/0>")
        asked = self.ask("write-composite", None, values={"/2/0/2/1": None})[1]
        self.assertEqual(asked, [n.SENML_ETCH_CBOR, n.SENML_ETCH_JSON])

    def test_named(self) -> None:
        """A format that the caller named is never replaced, and an Execute is never repeated."""
        for op, path, fields in (
            ("read", "/3303", {"format": "tlv"}),
            ("write", "/3/0/14", {"format": "tlv", "value": "x"}),
            ("read-composite", None, {"format": "senml-json", "paths": ("/3",)}),
            ("write-composite", None, {"format": "senml-json", "values": {"/3/0/14": "x"}}),
            ("execute", "/3/0/4", {}),
            ("execute", "/3/0/4", {"arguments": {"0": "x"}}),
        ):
            operation, asked = self.ask(op, path, **fields)
            self.assertEqual((operation.state, len(asked)), ("failed", 1), op)
        self.assertEqual(len(self.ask("read", "/3303")[1]), 3)

    def test_other_errors(self) -> None:
        """Only the code that speaks of formats counts: 4.15 to a Read is an error like others."""
        operation = self.bench.submit("d", "read", "/3303")
        self.device.reply(Answer(n.UNSUPPORTED_CONTENT_FORMAT))
        self.assertEqual((operation.state, operation.coap_code), ("failed", "4.15"))

    def test_forgotten(self) -> None:
        """A device that registers anew may have learned."""
        self.ask("read", "/3303")
        self.device.register("lwm2m=1.1", "lt=300", links="</3303/0>,</3/0>")
        self.takes = {n.TLV}
        self.assertEqual(self.ask("read", "/3303")[1], [n.TLV])

    def test_not_a_number(self) -> None:
        """What a format has no form for is written in the next one that has."""
        self.takes = {n.TEXT, n.TLV}
        device = self.bench.registered("f", 3, links='</>;rt="oma.lwm2m";ct=110,</3303/0>')
        _, asked = self.ask("write", "/3303/0/6042", device, value="NaN", force=True)
        self.assertEqual(asked, [n.TEXT])  # no model: it is a string
        _, asked = self.ask("write", "/3303/0/5700", device, value="NaN", force=True)
        self.assertEqual(asked, [n.TLV])
