"""Tests of composite operations at the server: their messages byte by byte, and Observe-Composite as a wish."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md import events
from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message
from lwm2md.lwm2m.paths import Path
from lwm2md.server.errors import BadOperation, UnknownObservation
from lwm2md.server.records import Operation
from lwm2md.server.tending import SLACK
from lwm2md.server.wish import Observation
from tests.server.fixtures import Answer, Bench
from tests.server.test_gateways import gateway

PATHS = ("/3/0/9", "/1/0/1")
LIST = "82a100662f332f302f39a100662f312f302f31"
VALUES = bytes.fromhex("82a221662f332f302f39021864a221662f312f302f31021a00015180")
TARGET = (Path((1, 0, 1)), Path((3, 0, 9)))


class Base(SynchronousTestCase):
    """A device of LwM2M 1.2 with an Access Control Object Instance."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.device = self.bench.device("d", 1)
        self.device.register("lwm2m=1.2", "lt=300", links="</1/0>,</2/0>,</3/0>,</3303/0>")

    def ask(self, op: str, answer: Answer, **fields: object) -> Operation:
        """Ask the device, and let it answer."""
        operation = self.bench.submit("d", op, None, **fields)
        self.device.reply(answer)
        return operation

    def sent(self) -> tuple[int, tuple[str, ...], tuple[str, ...], int | None, int | None, int | None, str]:
        """The newest request: method, path, query, Content-Format, Accept, Observe and payload."""
        message = self.device.requests[-1]
        given = (message.content_format, message.accept, message.observe)
        return (message.code, message.path, message.query, *given, message.payload.hex())

    def twin(self) -> list[tuple[str, object, float | None]]:
        """What is known of the device."""
        return [(row.path, row.value, row.time) for row in self.bench.server.twin_rows("d", Path())]

    def rows(self, operation: Operation) -> list[tuple[str, object]]:
        """The values of a result."""
        assert operation.result is not None
        return [(row.path, row.value) for row in operation.result.values or ()]


class MessageTests(Base):
    """Read-Composite and Write-Composite, with the vectors of the specification."""

    def test_read(self) -> None:
        """A list of paths is fetched without a path; what comes becomes values and the twin."""
        operation = self.ask("read-composite", Answer(n.CONTENT, VALUES, n.SENML_CBOR), paths=PATHS)
        self.assertEqual(self.sent(), (n.FETCH, (), (), n.SENML_CBOR, n.SENML_CBOR, None, LIST))
        self.assertEqual((operation.state, operation.format), ("done", "senml-cbor"))
        self.assertEqual(self.rows(operation), [("/3/0/9", 100), ("/1/0/1", 86400)])
        self.assertEqual(self.twin(), [("/1/0/1", 86400, self.bench.now), ("/3/0/9", 100, self.bench.now)])
        event = self.bench.events[-1]
        self.assertEqual((event.type, event.fields["source"]), (events.DEVICE_VALUE, "read"))

    def test_read_formats(self) -> None:
        """The caller's format is that of the list and of the answer, as far as it has lists."""
        table = [
            ("senml-json", n.SENML_JSON, n.SENML_JSON, b'[{"n":"/3/0/9"}]'.hex()),
            ("senml-etch-json", n.SENML_ETCH_JSON, n.SENML_JSON, b'[{"n":"/3/0/9"}]'.hex()),
            ("senml-etch-cbor", n.SENML_ETCH_CBOR, n.SENML_CBOR, "81a100662f332f302f39"),
            ("lwm2m-cbor", n.SENML_CBOR, n.LWM2M_CBOR, "81a100662f332f302f39"),
        ]
        for name, listed, accepted, payload in table:
            self.ask("read-composite", Answer(n.NOT_FOUND), paths=PATHS[:1], format=name)
            self.assertEqual(self.sent(), (n.FETCH, (), (), listed, accepted, None, payload), name)

    def test_answers(self) -> None:
        """Every format of an answer is read; nothing at all is an empty result, and no error."""
        table = [
            (Answer(n.CONTENT, b"\x80", n.SENML_CBOR), []),
            (Answer(n.CONTENT, b"[]", n.SENML_JSON), []),
            (Answer(n.CONTENT), []),
            (
                Answer(n.CONTENT, bytes.fromhex("a2830300091864830100011a00015180"), n.LWM2M_CBOR),
                [("/3/0/9", 100), ("/1/0/1", 86400)],
            ),
            (Answer(n.CONTENT, b'[{"bn":"/","n":"3/0/9","v":7}]', n.SENML_JSON), [("/3/0/9", 7)]),
        ]
        for answer, expected in table:
            operation = self.ask("read-composite", answer, paths=PATHS)
            self.assertEqual((operation.state, self.rows(operation)), ("done", expected), answer)

    def test_unasked(self) -> None:
        """What was not asked for is left out, and noted as a deviation."""
        payload = b'[{"n":"/3/0/9","v":7},{"n":"/3/0/10","v":8}]'
        operation = self.ask("read-composite", Answer(n.CONTENT, payload, n.SENML_JSON), paths=PATHS)
        self.assertEqual(self.rows(operation), [("/3/0/9", 7)])
        self.assertIn("unasked-path", self.bench.server.deviations("d"))

    def test_everything(self) -> None:
        """The root is all that can be read; what the twin knew and is there no more is forgotten."""
        self.ask("read-composite", Answer(n.CONTENT, VALUES, n.SENML_CBOR), paths=PATHS)
        self.ask("read-composite", Answer(n.CONTENT, b'[{"n":"/3/0/9","v":7}]', n.SENML_JSON), paths=("/",))
        self.assertEqual(self.device.requests[-1].payload.hex(), "81a100612f")
        self.assertEqual([row[:2] for row in self.twin()], [("/3/0/9", 7)])

    def test_undecodable(self) -> None:
        """What can't be decoded fails with its first bytes; the twin stays as it is."""
        self.ask("read-composite", Answer(n.CONTENT, VALUES, n.SENML_CBOR), paths=PATHS)
        before = self.twin()
        for payload in (b"\x81\xa1\x00", b"\xff" * 200, VALUES[:-1]):
            operation = self.ask("read-composite", Answer(n.CONTENT, payload, n.SENML_CBOR), paths=PATHS)
            assert operation.error is not None
            self.assertEqual((operation.state, operation.coap_code), ("failed", "2.05"))
            self.assertTrue(operation.error.endswith(f"it starts with {payload[:32].hex()}"), operation.error)
        self.assertEqual(self.twin(), before)
        self.assertEqual(self.bench.server.deviations("d")["undecodable"].count, 3)

    def test_write(self) -> None:
        """Values of several Objects go out in one iPATCH."""
        operation = self.ask("write-composite", Answer(n.CHANGED), values={"/1/0/1": 3600, "/3/0/14": "+01:00"})
        payload = "82a200662f312f302f3102190e10a200672f332f302f313403662b30313a3030"
        self.assertEqual(self.sent(), (n.IPATCH, (), (), n.SENML_CBOR, None, None, payload))
        self.assertEqual((operation.state, operation.coap_code), ("done", "2.04"))

    def test_delete(self) -> None:
        """Null deletes a Resource Instance, in a format that can say so."""
        self.ask("write-composite", Answer(n.CHANGED), values={"/2/0/2/1": None})
        self.assertEqual(self.sent()[3:], (n.SENML_ETCH_CBOR, None, None, "81a200682f322f302f322f3102f6"))
        self.ask("write-composite", Answer(n.CHANGED), values={"/2/0/2": {"1": None, "2": 3}}, format="senml-etch-json")
        expected = b'[{"n":"/2/0/2/1","v":null},{"n":"/2/0/2/2","v":3}]'
        self.assertEqual(self.device.requests[-1].payload, expected)

    def test_write_lwm2m_cbor(self) -> None:
        """LwM2M CBOR can be asked for to write."""
        self.ask("write-composite", Answer(n.CHANGED), values={"/1/0/1": 3600}, format="lwm2m-cbor")
        self.assertEqual(self.device.requests[-1].content_format, n.LWM2M_CBOR)

    def test_root(self) -> None:
        """With an alternate root the names have it, and so has the path."""
        self.device.register("lwm2m=1.1", "lt=300", links='</x>;rt="oma.lwm2m",</x/1/0>,</x/3/0>')
        operation = self.ask(
            "read-composite", Answer(n.CONTENT, b'[{"n":"/x/3/0/9","v":7}]', n.SENML_JSON), paths=PATHS
        )
        expected = "82a100682f782f332f302f39a100682f782f312f302f31"
        self.assertEqual(self.sent()[:2] + self.sent()[-1:], (n.FETCH, ("x",), expected))
        self.assertEqual(self.rows(operation), [("/3/0/9", 7)])

    def test_other_operations(self) -> None:
        """Discover has its depth, and deleting and writing go down to Resource Instances."""
        table: list[tuple[str, str, dict[str, object], str]] = [
            ("discover", "/3", {"depth": 0}, "0.01 /3?depth=0"),
            ("discover", "/3/0/6", {"depth": 3}, "0.01 /3/0/6?depth=3"),
            ("discover", "/3/0/6", {}, "0.01 /3/0/6?"),
            ("delete", "/2/0/2/1", {}, "0.04 /2/0/2/1?"),
            ("write", "/2/0/2/1", {"value": 3}, "0.03 /2/0/2/1?"),
            ("write-partial", "/2/0/2", {"value": {"1": 3}}, "0.02 /2/0/2?"),
            (
                "write-attributes",
                "/3/0/7/0",
                {"attributes": {"epmin": 1, "epmax": 9, "con": True}},
                "0.03 /3/0/7/0?epmin=1&epmax=9&con=1",
            ),
        ]
        for op, path, fields, expected in table:
            self.bench.submit("d", op, path, **fields)
            message = self.device.requests[-1]
            found = f"{n.dotted(message.code)} /{'/'.join(message.path)}?{'&'.join(message.query)}"
            self.assertEqual(found, expected)
            self.assertEqual(message.content_format is None, op in ("discover", "delete", "write-attributes"))
            self.device.reply(Answer(n.CHANGED))


class GatewayTests(SynchronousTestCase):
    """Composite operations on a device behind a gateway: to the gateway, with the prefix in the names."""

    def test_messages(self) -> None:
        """Neither the list nor the values have a path in the request; what comes back is the device's."""
        bench = Bench()
        device = gateway(bench)
        answer = b'[{"n":"/d01/3303/0/5700","v":20}]'
        device.answers[n.FETCH, "/"] = Answer(n.CONTENT, answer, n.SENML_JSON, 1)
        device.answers[n.IPATCH, "/"] = Answer(n.CHANGED)
        operation = bench.submit("gw/d01", "read-composite", None, paths=("/3303/0",), format="senml-json")
        self.assertEqual((device.requests[-1].path, device.requests[-1].payload), ((), b'[{"n":"/d01/3303/0"}]'))
        assert operation.result is not None
        self.assertEqual([(row.path, row.value) for row in operation.result.values or ()], [("/3303/0/5700", 20.0)])
        bench.submit("gw/d01", "write-composite", None, values={"/3/0/14": "x"}, format="senml-json")
        self.assertEqual(
            (device.requests[-1].path, device.requests[-1].payload), ((), b'[{"bn":"/d01","n":"/3/0/14","vs":"x"}]')
        )
        bench.submit("gw/d01", "observe-composite", None, paths=("/3303/0",), format="senml-json")
        self.assertEqual((device.requests[-1].path, device.requests[-1].observe), ((), 0))
        token, again = device.requests[-1].token, bench.restart()[0]
        device.notify(token, 5, answer.replace(b"20", b"30"), content_format=n.SENML_JSON)
        self.assertEqual([row.value for row in again.server.twin_rows("gw/d01", Path.parse("/3303/0"))], [30.0])

    def test_attributes(self) -> None:
        """Attributes of several paths are written under the prefix, and the parameters of 1.2 go to the gateway."""
        for version, expected in (
            ("1.1", [("d01/3303/0", ("pmin=5",)), ("d01/3/0", ("pmin=5",)), ("", ())]),
            ("1.2", [("", ("pmin=5",))]),
        ):
            bench = Bench()
            device = gateway(bench)
            device.register(f"lwm2m={version}", "lt=300", links="</1/0>,</3/0>,</25/0>,</25/1>")
            for path in ("/d01/3303/0", "/d01/3/0"):
                device.answers[n.PUT, path] = Answer(n.CHANGED)
            device.answers[n.FETCH, "/"] = Answer(n.CONTENT, b"[]", n.SENML_JSON, 1)
            device.requests.clear()
            paths, attributes = ("/3303/0", "/3/0"), {"pmin": 5}
            bench.submit("gw/d01", "observe-composite", None, paths=paths, attributes=attributes)
            self.assertEqual([("/".join(each.path), each.query) for each in device.requests], expected)


class ObserveTests(Base):
    """An Observe-Composite stands like any other wish."""

    def observed(self) -> Observation:
        """A composite wish that the device has taken."""
        self.device.answers[n.FETCH, "/"] = Answer(n.CONTENT, VALUES, n.SENML_CBOR, 1)
        operation = self.bench.submit("d", "observe-composite", None, paths=PATHS)
        self.assertEqual(operation.state, "done", operation.error)
        return self.bench.server.observation("d", TARGET)

    def test_observed(self) -> None:
        """The request is the list with Observe; the answer's values are told, and the wish is active."""
        wish = self.observed()
        self.assertEqual(self.sent(), (n.FETCH, (), (), n.SENML_CBOR, n.SENML_CBOR, 0, LIST))
        self.assertEqual((wish.state, wish.path, wish.paths), ("active", Path(), tuple(map(Path.parse, PATHS))))
        self.assertEqual(self.device.requests[-1].token, wish.token)
        self.assertEqual([row[:2] for row in self.twin()], [("/1/0/1", 86400), ("/3/0/9", 100)])
        self.assertIn("observe", [event.fields.get("source") for event in self.bench.events])

    def test_notified(self) -> None:
        """A notification has the values of all paths that can still be read; others are forgotten, not their kin."""
        wish = self.observed()
        self.bench.submit("d", "read", "/3/0/0")
        self.device.reply(Answer(n.CONTENT, b"Acme", n.TEXT))
        mid = self.device.notify(
            wish.token, 2, bytes.fromhex("81a221662f332f302f3902184b"), content_format=n.SENML_CBOR
        )
        self.assertEqual([row[:2] for row in self.twin()], [("/3/0/0", "Acme"), ("/3/0/9", 75)])
        values = self.bench.events[-1].fields["values"]
        self.assertEqual([row.value for row in values], [75])  # type: ignore[attr-defined]
        self.assertEqual((wish.notifications, self.device.heard[-1].mid), (1, mid))

    def test_same_paths(self) -> None:
        """The same paths in another order are the same wish, with the same token."""
        wish = self.observed()
        again = self.bench.submit("d", "observe-composite", None, paths=PATHS[::-1])
        self.assertEqual((again.state, list(self.bench.server.observations)), ("done", [wish.id]))
        self.assertEqual(self.device.requests[-1].token, wish.token)
        self.bench.submit("d", "observe-composite", None, paths=PATHS[:1])
        self.assertEqual(len(self.bench.server.observations), 2)

    def test_cancelled(self) -> None:
        """It is cancelled by its paths, with its list, its token and Observe 1."""
        wish = self.observed()
        operation = self.bench.submit("d", "cancel-observe", None, paths=PATHS[::-1])
        self.assertEqual(self.sent(), (n.FETCH, (), (), n.SENML_CBOR, n.SENML_CBOR, 1, LIST))
        self.assertEqual((operation.state, self.device.requests[-1].token), ("done", wish.token))
        self.assertRaises(UnknownObservation, self.bench.server.observation, "d", TARGET)
        self.device.notify(wish.token, 9, VALUES, content_format=n.SENML_CBOR)
        self.assertEqual(self.device.heard[-1].type, n.RST)

    def test_cancelled_by_id(self) -> None:
        """It is cancelled by its id, too."""
        wish = self.observed()
        operation = self.bench.server.unobserve(wish.id, self.bench.now)
        self.bench.settle()
        assert operation is not None
        self.assertEqual((self.sent()[5:], operation.state), ((1, LIST), "done"))

    def test_registers_again(self) -> None:
        """It is established anew after each Register, also where the device has no longer what it is of."""
        wish = self.observed()
        before = len(self.device.requests)
        self.device.register("lwm2m=1.1", "lt=300", links="</3/0>")
        self.assertEqual((len(self.device.requests), self.sent()[5:]), (before + 1, (0, LIST)))
        self.assertEqual(wish.state, "active")

    def test_restart(self) -> None:
        """It survives a restart: notifications go on, and it can be cancelled by its paths."""
        wish = self.observed()
        self.bench, faults = self.bench.restart()
        self.assertEqual(faults, [])
        found = self.bench.server.observation("d", TARGET)
        self.assertEqual((found.id, found.paths, found.state), (wish.id, wish.paths, "active"))
        self.device.notify(wish.token, 5, bytes.fromhex("81a221662f332f302f3902184b"), content_format=n.SENML_CBOR)
        self.assertEqual([row[:2] for row in self.twin()], [("/3/0/9", 75)])
        self.assertEqual(self.bench.submit("d", "cancel-observe", None, paths=PATHS).state, "done")

    def test_restart_queued(self) -> None:
        """One that waits for its device is asked for after a restart."""
        self.device.register("lwm2m=1.2", "lt=3000", "Q", links="</1/0>,</3/0>")
        self.bench.advance(200)
        operation = self.bench.submit("d", "observe-composite", None, paths=PATHS)
        self.bench.server.keep(operation, self.bench.now, lambda ok, now: None)
        self.bench.settle()
        self.bench, faults = self.bench.restart()
        self.assertEqual((operation.state, faults), ("queued", []))
        self.device.answers[n.FETCH, "/"] = Answer(n.CONTENT, VALUES, n.SENML_CBOR, 1)
        self.device.update()
        self.assertEqual(self.bench.server.observation("d", TARGET).state, "active")

    def test_refused(self) -> None:
        """A device that knows no FETCH refuses; the wish says so, and stays."""
        operation = self.ask("observe-composite", Answer(n.METHOD_NOT_ALLOWED), paths=PATHS)
        wish = self.bench.server.observation("d", TARGET)
        self.assertEqual((operation.state, wish.state, wish.error), ("failed", "refused", "Method Not Allowed"))


class AttributeTests(Base):
    """The notification attributes of an Observe-Composite: its own from LwM2M 1.2 on, else those of each path."""

    def observe(self, *paths: str, **attributes: object) -> Observation:
        """A composite wish with attributes, and what came of it."""
        self.device.requests.clear()
        self.bench.submit("d", "observe-composite", None, paths=paths or PATHS, attributes=attributes or None)
        return self.bench.server.observation("d", tuple(sorted(map(Path.parse, paths or PATHS))))

    def take(self, *written: str, version: str = "1.2", parameters: bool = True) -> None:
        """Let a device of that version observe, have these written to it, and perhaps know no parameters."""
        self.device.register(f"lwm2m={version}", "lt=300", links="</1/0>,</2/0>,</3/0>,</3303/0>")
        for path in written:
            self.device.answers[n.PUT, path] = Answer(n.CHANGED)
        taken = Answer(n.CONTENT, VALUES, n.SENML_CBOR, 1)
        self.device.answers[n.FETCH, "/"] = taken

        def note(message: Message) -> None:
            refused = message.code == n.FETCH and message.query and not parameters
            self.device.answers[n.FETCH, "/"] = Answer(n.BAD_OPTION) if refused else taken

        self.device.on_request = note

    def asked(self) -> list[tuple[str, tuple[str, ...]]]:
        """Method, path and query of what the device was asked."""
        names = {n.PUT: "PUT", n.FETCH: "FETCH"}
        return [
            (f"{names[each.code]} {'/'.join(each.path)}{'' if each.observe is None else each.observe}", each.query)
            for each in self.device.requests
        ]

    def test_parameters(self) -> None:
        """A device of 1.2 gets them in the query of the request, and of the one that cancels it."""
        self.take()
        wish = self.observe(pmin=5, pmax=60, epmin=1, epmax=2, con=True)
        query = ("pmin=5", "pmax=60", "epmin=1", "epmax=2", "con=1")
        self.assertEqual((wish.state, self.asked()), ("active", [("FETCH 0", query)]))
        numbers = [number for number, _ in self.device.requests[-1].options]
        self.assertEqual(numbers, sorted(numbers))
        self.bench.submit("d", "cancel-observe", None, paths=PATHS)
        self.assertEqual(self.asked()[1:], [("FETCH 1", query)])

    def test_other_parameters(self) -> None:
        """A wish with others, or none, takes the place of the first, and nothing is left at the device."""
        self.take()
        first = self.observe(pmin=5)
        self.assertEqual((self.observe(pmax=7).id, self.asked()), (first.id, [("FETCH 0", ("pmax=7",))]))
        self.observe()
        self.assertEqual(self.asked(), [("FETCH 0", ())])

    def test_older(self) -> None:
        """To an older device they are written, to each path that it has."""
        self.take("/3/0/9", version="1.1")
        self.device.answers[n.PUT, "/1/0/1"] = Answer(n.NOT_FOUND)
        wish = self.observe(pmin=5, epmax=60)
        query = ("pmin=5", "epmax=60")
        expected = [("PUT 3/0/9", query), ("PUT 1/0/1", query), ("FETCH 0", ())]
        self.assertEqual((wish.state, self.asked()), ("active", expected))
        self.observe(pmin=6)
        expected = [("PUT 3/0/9", ("pmin=6", "epmax")), ("PUT 1/0/1", ("pmin=6", "epmax")), ("FETCH 0", ())]
        self.assertEqual(self.asked(), expected)

    def test_refused_by_the_older(self) -> None:
        """What it refuses to have written is the end of the wish, for now."""
        self.take(version="1.1")
        self.device.answers[n.PUT, "/3/0/9"] = Answer(n.METHOD_NOT_ALLOWED)
        wish = self.observe(pmin=5)
        self.assertEqual((wish.state, wish.error), ("refused", "Method Not Allowed"))

    def test_unknown_parameters(self) -> None:
        """A device of 1.2 that knows no parameters has them written, and that is remembered over a restart."""
        self.take("/3/0/9", "/1/0/1", parameters=False)
        wish = self.observe(pmin=5)
        written = [("PUT 3/0/9", ("pmin=5",)), ("PUT 1/0/1", ("pmin=5",)), ("FETCH 0", ())]
        self.assertEqual((wish.state, self.asked()), ("active", [("FETCH 0", ("pmin=5",)), *written]))
        self.bench, faults = self.bench.restart()
        self.device.requests.clear()
        self.device.register("lwm2m=1.2", "lt=300", links="</1/0>,</3/0>")
        self.assertEqual((faults, self.asked()), ([], written))
        self.observe()
        self.assertEqual(self.asked(), [("PUT 3/0/9", ("pmin",)), ("PUT 1/0/1", ("pmin",)), ("FETCH 0", ())])

    def test_silent(self) -> None:
        """Where a ``pmax`` is set and nothing comes, the device is asked anew."""
        self.take()
        wish = self.observe(pmax=20)
        self.bench.advance(2 * 20 + SLACK - 1)
        self.assertEqual(len(self.device.requests), 1)
        self.bench.advance(2)
        self.assertEqual((wish.state, self.asked()[1:]), ("active", [("FETCH 0", ("pmax=20",))]))

    def test_bad(self) -> None:
        """What several paths can't have is refused before anything is sent."""
        self.take(version="1.1")
        cases: list[tuple[tuple[str, ...], dict[str, object], str]] = [
            (PATHS, {"gt": 4}, "gt is for one path, several have con, epmax, epmin, pmax, pmin"),
            (PATHS, {"edge": 1}, "edge needs LwM2M 1.2, the device has 1.1"),
            (PATHS, {"pmin": 4, "pmax": 3}, "pmin is above pmax"),
            (PATHS, {"pmax": -1}, "pmax is out of range"),
            (PATHS, {"x": 1}, "'x' is no attribute that can be written"),
            (PATHS, {"con": True}, "con needs LwM2M 1.2, the device has 1.1"),
            (("/",), {"pmin": 4}, "attributes of everything need LwM2M 1.2, the device has 1.1"),
        ]
        for paths, attributes, reason in cases:
            with self.assertRaises(BadOperation) as caught:
                self.observe(*paths, **attributes)
            self.assertEqual((str(caught.exception), caught.exception.field), (reason, "attributes"))
        self.assertEqual(self.device.requests, [])
        self.take()
        with self.assertRaisesRegex(BadOperation, "hqmax is for one path"):
            self.observe(hqmax=4)
