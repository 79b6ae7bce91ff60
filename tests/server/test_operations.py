"""Tests of lwm2md.server.operations, requests and answers: what is sent, in which order, and what comes of it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md import events
from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message, encode, options
from lwm2md.server.errors import BadOperation, NotRegistered, QueueFull, Refused, UnknownDevice, UnknownOperation
from lwm2md.server.records import Operation
from lwm2md.server.settings import ServerSettings
from tests.server.fixtures import Answer, Bench

TEXT = n.TEXT
VALUE = "/3303/0/5700"


class ComposeTests(SynchronousTestCase):
    """Each operation is the message that the table of operations says."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.device = self.bench.registered()

    def sent(self, op: str, path: str, **fields: object) -> str:
        """The request that an operation becomes, as text."""
        operation = self.bench.submit("d", op, path, **fields)
        message = self.device.requests[-1]
        self.assertEqual(operation.state, "sent")
        self.assertEqual((message.type, len(message.token)), (n.CON, 8))
        self.device.reply(Answer(n.CHANGED))
        query = "?" + "&".join(message.query) if message.query else ""
        found = f"{n.dotted(message.code)} /{'/'.join(message.path)}{query}"
        accept = "" if message.accept is None else f" accept={message.accept}"
        payload = "" if message.content_format is None else f" {message.content_format}:{message.payload.hex()}"
        known = {n.URI_PATH, n.URI_QUERY, n.ACCEPT, n.CONTENT_FORMAT, n.OBSERVE}
        self.assertEqual({number for number, _ in message.options} - known, set())
        return found + accept + payload

    def test_messages(self) -> None:
        """Method, path, query, Accept, Content-Format and payload."""
        table: list[tuple[str, str, dict[str, object], str]] = [
            ("read", "/3", {}, "0.01 /3 accept=11542"),
            ("read", "/3/0/0", {}, "0.01 /3/0/0 accept=11542"),
            ("read", "/3/0/0", {"format": "text"}, "0.01 /3/0/0 accept=0"),
            ("read", "/3/0/6/1", {}, "0.01 /3/0/6/1 accept=11542"),
            ("discover", "/3", {}, "0.01 /3 accept=40"),
            ("write", "/3/0/14", {"value": "+01"}, "0.03 /3/0/14 0:2b3031"),
            ("write", "/1/0/1", {"value": 60}, "0.03 /1/0/1 0:3630"),
            ("write", "/5/0/0", {"value": "AQI="}, "0.03 /5/0/0 42:0102"),
            ("write", "/1/0", {"values": {"1": 60}}, "0.03 /1/0 11542:c1013c"),
            ("write-partial", "/1/0", {"values": {"1": 60}}, "0.02 /1/0 11542:c1013c"),
            ("write-partial", "/1/0", {"values": {"/1/0/1": 60}}, "0.02 /1/0 11542:c1013c"),
            ("execute", "/3/0/4", {}, "0.02 /3/0/4"),
            ("execute", "/3/0/4", {"arguments": {"0": "a", "1": None}}, "0.02 /3/0/4 0:303d2761272c31"),
            ("create", "/1", {"id": 5, "force": True, "values": {"1": 60}}, "0.02 /1 11542:0305c1013c"),
            ("create", "/1", {"force": True, "values": {"1": 60}}, "0.02 /1 11542:c1013c"),
            ("create", "/3303", {"id": 5}, "0.02 /3303 11542:0005"),
            ("create", "/3303", {}, "0.02 /3303 11542:"),
            ("delete", "/1/5", {"force": True}, "0.04 /1/5"),
            ("write-attributes", VALUE, {"attributes": {"pmin": 1, "gt": None}}, f"0.03 {VALUE}?pmin=1&gt"),
        ]
        for op, path, fields, expected in table:
            self.assertEqual(self.sent(op, path, **fields), expected, (op, path, fields))

    def test_root(self) -> None:
        """Paths go below the alternate root that was registered; where no format is known the device chooses."""
        links = '</lwm2m>;rt="oma.lwm2m";ct="0 50",</lwm2m/3/0>'
        self.device.register("lwm2m=1.1", "lt=300", links=links)
        self.assertEqual(self.sent("read", "/3/0"), "0.01 /lwm2m/3/0")
        self.assertEqual(self.sent("read", "/3/0/0"), "0.01 /lwm2m/3/0/0 accept=0")

    def test_refused(self) -> None:
        """What fits no table is refused by the field that is wrong, and nothing is sent."""
        table: list[tuple[str, str, dict[str, object], str]] = [
            ("read", "/", {}, "path"),
            ("read", "/x", {}, "path"),
            ("read", "/65535", {}, "path"),
            ("read", "/3/0/0", {"format": "morse"}, "format"),
            ("discover", "/3/0/6/1", {}, "path"),
            ("write", "/3", {"value": 1}, "path"),
            ("write", "/1/0", {"value": 1}, "value"),
            ("write", "/1/0/1", {}, "value"),
            ("write", "/1/0/1", {"value": "x"}, "value"),
            ("write", "/1/0", {"values": {}}, "values"),
            ("write", "/1/0", {"values": {"/3/0/1": 1}}, "values"),
            ("write", "/3/0/4", {"value": 1}, "value"),
            ("execute", "/3/0", {}, "path"),
            ("execute", "/3/0/4", {"arguments": {"10": "a"}}, "arguments"),
            ("execute", "/3/0/4", {"arguments": {"0": "'"}}, "arguments"),
            ("create", "/1/0", {}, "path"),
            ("create", "/1", {"id": 65535}, "id"),
            ("delete", "/1", {}, "path"),
            ("write-attributes", VALUE, {"attributes": {"speed": 1}}, "attributes"),
            ("write-attributes", "/3303/0", {"attributes": {"gt": 1}}, "attributes"),
            ("observe", VALUE, {"attributes": {"pmin": 9, "pmax": 3}}, "attributes"),
            ("read", "/3", {"timeout": 0}, "timeout"),
            ("read", "/3", {"timeout": 99999}, "timeout"),
            ("read", "/3", {"ttl": -1}, "ttl"),
        ]
        for op, path, fields, field in table:
            with self.assertRaises(BadOperation) as caught:
                self.bench.submit("d", op, path, **fields)
            self.assertEqual(caught.exception.field, field, (op, path, fields))
        self.assertEqual((self.device.requests, dict(self.bench.server.operations)), ([], {}))

    def test_unknown(self) -> None:
        """Nothing is taken for a device that is unknown or not registered."""
        self.assertRaises(UnknownDevice, self.bench.submit, "nobody", "read", "/3")
        self.device.deregister()
        self.assertRaises(NotRegistered, self.bench.submit, "d", "read", "/3")
        with self.assertRaises(UnknownOperation):
            self.bench.server.cancel("nothing", self.bench.now, lambda ok, now: None)


class QueueTests(SynchronousTestCase):
    """One request at a time, in order, for a limited time."""

    def setUp(self) -> None:
        self.bench = Bench(ServerSettings(queue_limit=3, ttl=1000))
        self.device = self.bench.registered("d", 1, "Q")
        self.outcomes: list[bool] = []

    def done(self, ok: bool, now: float) -> None:
        """Take an outcome."""
        self.outcomes.append(ok)

    def read(self, resource: int, **fields: object) -> Operation:
        """Ask to read a resource of the device."""
        return self.bench.submit("d", "read", f"/3/0/{resource}", **fields)

    def asked(self) -> list[str]:
        """The paths that the device was asked for."""
        return ["/" + "/".join(message.path) for message in self.device.requests]

    def test_order(self) -> None:
        """Requests leave one after the other, those of higher priority first."""
        operations = [self.read(0), self.read(1), self.read(2, priority=5), self.read(3)]
        self.assertEqual([each.state for each in operations], ["sent", "queued", "queued", "queued"])
        for _ in operations:
            self.device.reply(Answer(n.CONTENT, b"x", TEXT))
        self.assertEqual(self.asked(), ["/3/0/0", "/3/0/2", "/3/0/1", "/3/0/3"])
        self.assertEqual([each.state for each in operations], ["done"] * 4)

    def test_limit(self) -> None:
        """A full queue refuses more."""
        for number in range(4):
            self.read(number)
        with self.assertRaises(QueueFull):
            self.read(6)

    def test_ttl(self) -> None:
        """What has waited too long expires, by itself, in the order of the times; the rest goes on."""
        operations = [self.read(0), self.read(1, ttl=50), self.read(2, ttl=10), self.read(3)]
        self.bench.advance(10)
        self.assertEqual([each.state for each in operations], ["sent", "queued", "expired", "queued"])
        self.bench.advance(40)
        self.assertEqual([each.state for each in operations], ["sent", "expired", "expired", "queued"])
        self.device.reply(Answer(n.CONTENT, b"x", TEXT))
        self.assertEqual(operations[3].state, "sent")

    def test_many_expired(self) -> None:
        """A long queue that has all expired while nobody looked is no stack of calls."""
        bench = Bench(ServerSettings(queue_limit=5000))
        device = bench.registered("d", 1, "Q")
        bench.advance(100)
        operations = [bench.submit("d", "read", f"/3/0/{number}", ttl=10, force=True) for number in range(3000)]
        bench.now += 20
        device.update()
        self.assertEqual({each.state for each in operations}, {"expired"})
        self.assertEqual(bench.errors, [])

    def test_cancel(self) -> None:
        """A queued operation that is cancelled never leaves; the answer to one that left changes nothing more."""
        first, second, third = self.read(0), self.read(1), self.read(2)
        for operation in (second, first, first):
            self.bench.server.cancel(operation.id, self.bench.now, self.done)
            self.bench.settle()
        self.assertEqual(([first.state, second.state], self.outcomes), (["cancelled", "cancelled"], [True] * 3))
        self.assertEqual(third.state, "queued")
        self.device.reply(Answer(n.CONTENT, b"x", TEXT))
        self.assertEqual((first.state, first.result, third.state), ("cancelled", None, "sent"))
        self.assertEqual(self.asked(), ["/3/0/0", "/3/0/2"])

    def test_sleep(self) -> None:
        """A device in queue mode gets nothing after its awake time, and what waits behind the answer to its Update."""
        self.bench.advance(92)
        self.device.answers[n.GET, "/3/0/0"] = Answer(n.CONTENT, b"x", TEXT)
        self.assertEqual(self.read(0).state, "done")
        self.bench.advance(92)
        self.assertEqual(self.read(0).state, "done")
        self.bench.advance(93)
        operation = self.read(0)
        self.assertEqual(
            (operation.state, self.bench.server.devices["d"].state(self.bench.now)), ("queued", "sleeping")
        )
        del self.bench.live[:], self.device.heard[:]
        self.device.update()
        self.assertEqual(operation.state, "done")
        self.assertEqual([n.dotted(message.code) for message in self.device.heard], ["2.04", "0.01"])
        self.assertIn(events.DEVICE_AWAKE, [event.type for event in self.bench.live])

    def test_answer_first_after_move(self) -> None:
        """Also an Update with changes, and one from elsewhere, is answered before anything is asked."""
        self.bench.advance(100)
        for query, number in ((("lt=200",), 1), ((), 2), (("lt=250",), 3)):
            operation = self.read(0)
            self.device.move(number)
            del self.device.heard[:]
            self.device.update(*query)
            self.assertEqual([n.dotted(message.code) for message in self.device.heard], ["2.04", "0.01"], query)
            self.device.reply(Answer(n.CONTENT, b"x", TEXT))
            self.assertEqual(operation.state, "done")
            self.bench.advance(100)

    def test_asleep_before_the_answer(self) -> None:
        """A request that a sleeper did not answer waits for its next Update, in front."""
        operation, other = self.read(0), self.read(1)
        self.bench.advance(93)
        self.assertEqual((operation.state, operation.sent, other.state), ("queued", None, "queued"))
        self.device.update()
        self.device.reply(Answer(n.CONTENT, b"x", TEXT))
        self.assertEqual((operation.state, other.state), ("done", "sent"))
        self.assertNotIn(events.DEVICE_NOT_RESPONDING, self.bench.kinds())

    def test_execute_asleep(self) -> None:
        """An Execute that a sleeper did not answer is not repeated, and shows that it sleeps."""
        operation, other = self.bench.submit("d", "execute", "/3/0/4"), self.read(1)
        self.bench.advance(93)
        self.assertEqual((operation.state, operation.error), ("failed", "outcome-unknown"))
        self.assertEqual((other.state, len(self.device.requests)), ("queued", 5))

    def test_moved(self) -> None:
        """A request under way when the device moves is sent again to the new address; an Execute is not."""
        for again in (self.device.update, lambda: self.device.register("lwm2m=1.1", "lt=300", "Q")):
            operation = self.read(0)
            self.device.move(2 if self.device.peer.endswith(b"1") else 1)
            again()
            self.bench.tick()
            self.assertEqual(operation.state, "sent")
            self.device.reply(Answer(n.CONTENT, b"x", TEXT))
            self.assertEqual(operation.state, "done")
        operation = self.bench.submit("d", "execute", "/3/0/4")
        self.device.move(3)
        self.device.update()
        self.bench.tick()
        self.assertEqual((operation.state, operation.error), ("failed", "outcome-unknown"))
        self.assertEqual(self.bench.unheard, [])

    def test_neighbour_stays(self) -> None:
        """The move of one endpoint does not disturb the request to another at the same address."""
        neighbour = self.bench.registered("n", 1)
        execute = self.bench.submit("n", "execute", "/3/0/4")
        request = neighbour.requests[-1]
        self.bench.devices[self.device.peer] = self.device
        self.device.move(2)
        self.device.update()
        self.bench.tick()
        self.assertEqual(execute.state, "sent")
        self.bench.receive(neighbour.compose(request, Answer(n.CHANGED)), b"peer-1")
        self.assertEqual(execute.state, "done")

    def test_gone(self) -> None:
        """What waits for a registration that ends fails, and what was under way; a late answer changes nothing."""
        operations = [self.bench.submit("d", "execute", "/3/0/4"), self.read(1), self.read(2)]
        request = self.device.requests[-1]
        self.device.deregister()
        self.assertEqual([each.state for each in operations], ["failed"] * 3)
        errors = [each.error for each in operations]
        self.assertEqual(errors, ["outcome-unknown", "the registration ended", "the registration ended"])
        self.bench.receive(self.device.compose(request, Answer(n.CHANGED)), self.device.peer)
        self.bench.tick()
        self.assertEqual(operations[0].state, "failed")
        self.device.register("lwm2m=1.1", "lt=300", "Q")
        self.assertEqual(self.read(1).state, "sent")
        self.assertEqual((self.device.requests[-1].path, self.bench.errors), (("3", "0", "1"), []))


class AnswerTests(SynchronousTestCase):
    """What comes back becomes a result, an error, and the twin."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.device = self.bench.registered()

    def ask(self, answer: Answer, op: str = "read", path: str = "/3/0/0", **fields: object) -> Operation:
        """Ask the device, and let it answer."""
        operation = self.bench.submit("d", op, path, **fields)
        self.device.reply(answer)
        return operation

    def test_values(self) -> None:
        """Values are named, typed and given their unit by the model, and the twin knows them."""
        operation = self.ask(Answer(n.CONTENT, b"21.5", TEXT), path=VALUE)
        assert operation.result is not None
        assert operation.result.values is not None
        row = operation.result.values[0]
        self.assertEqual((row.path, row.value, row.type, row.name), (VALUE, 21.5, "float", "Sensor Value"))
        self.assertEqual((operation.state, operation.coap_code, operation.format), ("done", "2.05", "text"))
        self.assertEqual(self.bench.server.twin_rows("d", operation.path), operation.result.values)
        self.assertEqual(self.bench.kinds()[-1], events.DEVICE_VALUE)
        self.assertEqual(self.bench.events[-1].fields["source"], "read")
        after, _ = self.bench.restart()
        self.assertEqual(after.server.twin_rows("d", operation.path), operation.result.values)

    def test_twin_follows(self) -> None:
        """What an answer to a wider path has no more is no longer known."""
        self.ask(Answer(n.CONTENT, bytes.fromhex("c10021c10122"), n.TLV), path="/1/0")
        self.ask(Answer(n.CONTENT, bytes.fromhex("c10122"), n.TLV), path="/1/0")
        rows = self.bench.server.twin_rows(
            "d", self.bench.server.operations[next(iter(self.bench.server.operations))].path
        )
        self.assertEqual([row.path for row in rows], ["/1/0/1"])

    def test_errors(self) -> None:
        """An error of the device is the code and its diagnostic, or the code's name."""
        table = [
            (Answer(n.NOT_FOUND), "4.04", "Not Found"),
            (Answer(n.METHOD_NOT_ALLOWED, b"no way"), "4.05", "no way"),
            (Answer(n.BAD_REQUEST, b"\xff\x00"), "4.00", "Bad Request"),
            (Answer(n.INTERNAL_SERVER_ERROR, b"x" * 900), "5.00", "x" * 200),
        ]
        for answer, code, text in table:
            operation = self.ask(answer)
            self.assertEqual((operation.state, operation.coap_code, operation.error), ("failed", code, text))

    def test_formats(self) -> None:
        """What has no Content-Format is what was asked for, then text, for one Resource; never guessed for more."""
        tlv = bytes.fromhex("c800046162636" + "4")
        table = [
            ("/3/0/0", Answer(n.CONTENT, b"abcd"), "done", "abcd"),
            ("/3/0/0", Answer(n.CONTENT, b"abcd", 1541), "done", "abcd"),
            ("/3/0/0", Answer(n.CONTENT, tlv, n.TLV), "done", "abcd"),
            ("/3/0/0", Answer(n.CONTENT, tlv, 1542), "done", "abcd"),
            ("/3/0/0", Answer(n.CONTENT, tlv), "done", "abcd"),
            ("/3/0", Answer(n.CONTENT), "done", None),
            (
                "/3/0",
                Answer(n.CONTENT, tlv),
                "failed",
                "undecodable answer: no Content-Format, and /3/0 is more than one",
            ),
            ("/3/0/0", Answer(n.CONTENT), "done", ""),
            ("/3/0/0", Answer(n.CHANGED), "failed", "a Read is answered with 2.05, not 2.04"),
            ("/3/0/13", Answer(n.CONTENT, b"now", TEXT), "failed", "undecodable answer: "),
            ("/3/0", Answer(n.CONTENT, b"\xc8\x00\xff", n.TLV), "failed", "undecodable answer: "),
            ("/3/0/0", Answer(n.CONTENT, b"x", 9999), "failed", "undecodable answer: "),
        ]
        for path, answer, state, expected in table:
            operation = self.ask(answer, path=path)
            self.assertEqual(operation.state, state, (path, answer, operation.error))
            if state == "failed":
                assert operation.error is not None
                assert expected is not None
                self.assertTrue(operation.error.startswith(expected), operation.error)
            else:
                assert operation.result is not None
                values = operation.result.values or ()
                self.assertEqual([row.value for row in values], [] if expected is None else [expected])

    def test_discover(self) -> None:
        """A Discover's links come without the alternate root."""
        links = '</lwm2m>;rt="oma.lwm2m",</lwm2m/3/0>'
        self.device.register("lwm2m=1.1", "lt=300", links=links)
        operation = self.ask(Answer(n.CONTENT, b"</lwm2m/3>;pmin=10,</lwm2m/3/0/4>", 40), "discover", "/3")
        assert operation.result is not None
        assert operation.result.links is not None
        found = [(link.path, dict(link.attributes)) for link in operation.result.links]
        self.assertEqual(found, [("/3", {"pmin": "10"}), ("/3/0/4", {})])
        self.assertEqual(self.ask(Answer(n.CONTENT, b"nonsense", 40), "discover", "/3").state, "failed")

    def test_create(self) -> None:
        """A Create tells the path of the new instance: the device's, or the one that was asked for."""
        table = [
            ({}, Answer(n.CREATED, location=("3303", "7")), "done", "/3303/7"),
            ({"id": 5}, Answer(n.CREATED), "done", "/3303/5"),
            ({}, Answer(n.CREATED), "done", None),
            ({}, Answer(n.CREATED, location=("x",)), "failed", None),
        ]
        for fields, answer, state, location in table:
            operation = self.ask(answer, "create", "/3303", **fields)
            found = operation.result.location if operation.result is not None else None
            self.assertEqual((operation.state, found), (state, location))

    def test_other_ends(self) -> None:
        """A Reset, and an answer with an option that can't be understood, end an operation too."""
        operation = self.bench.submit("d", "read", "/3/0/0")
        request = self.device.requests[-1]
        self.bench.receive(encode(Message(n.RST, n.EMPTY, request.mid, b"")), self.device.peer)
        self.assertEqual((operation.state, operation.error), ("failed", "the device answered with Reset"))
        operation = self.bench.submit("d", "read", "/3/0/0")
        request = self.device.requests[-1]
        odd = Message(n.ACK, n.CONTENT, request.mid, request.token, ((9, b"\x01"),), b"x")
        self.bench.receive(encode(odd), self.device.peer)
        self.assertEqual((operation.state, operation.error), ("failed", "the answer can't be understood"))

    def test_watchers(self) -> None:
        """Whoever waits is told once, and not before the end's event is durable."""
        told: list[str] = []
        self.bench.hold()
        operation = self.bench.submit("d", "write", "/3/0/14", value="+01")
        operation.watchers = [lambda ended: told.append(ended.state)]
        self.device.reply(Answer(n.CHANGED))
        self.assertEqual((operation.state, told), ("done", []))
        self.bench.release()
        self.assertEqual((told, self.bench.kinds()[-1]), (["done"], events.OPERATION_DONE))
        read = self.bench.submit("d", "read", "/3/0/14")
        read.watchers = [lambda ended: told.append(ended.op)]
        self.bench.hold()
        self.device.reply(Answer(n.CONTENT, b"x", TEXT))
        self.assertEqual(told, ["done", "read"])

    def test_not_responding(self) -> None:
        """A device that does not answer is not responding, until it is heard of, by an answer or an Update."""
        for heard in ("answer", "reset", "update"):
            self.bench.submit("d", "read", "/3/0/0", timeout=10)
            self.bench.advance(10)
            self.assertEqual(self.bench.kinds()[-1], events.DEVICE_NOT_RESPONDING)
            self.assertEqual(self.bench.server.devices["d"].state(self.bench.now), "not-responding")
            before = len(self.bench.events)
            if heard == "update":
                self.device.update()
            else:
                self.bench.submit("d", "read", "/3/0/0", timeout=10)
                request = self.device.requests[-1]
                reset = encode(Message(n.RST, n.EMPTY, request.mid, b""))
                answer = self.device.compose(request, Answer(n.CONTENT, b"x", TEXT))
                self.bench.receive(answer if heard == "answer" else reset, self.device.peer)
            kinds = [event.type for event in self.bench.events[before:]]
            self.assertIn(events.DEVICE_RESPONDING, kinds, heard)
            self.assertEqual(self.bench.server.devices["d"].last_seen, self.bench.now)


class OnceTests(SynchronousTestCase):
    """What is stored of operations, and what may happen but once."""

    def setUp(self) -> None:
        self.bench = Bench(ServerSettings(operations_kept=3))
        self.device = self.bench.registered()
        self.outcomes: list[bool] = []

    def done(self, ok: bool, now: float) -> None:
        """Take an outcome."""
        self.outcomes.append(ok)

    def keep(self, operation: Operation) -> None:
        """Let an operation be stored."""
        self.bench.server.keep(operation, self.bench.now, self.done)
        self.bench.settle()

    def test_stored_before_sent(self) -> None:
        """Execute and Create leave when it is stored that they were sent; other operations at once."""
        for op, path in (("execute", "/3/0/4"), ("create", "/3303")):
            before = len(self.device.requests)
            self.bench.hold()
            self.bench.submit("d", op, path)
            self.assertEqual(len(self.device.requests), before)
            self.bench.release()
            self.assertEqual(len(self.device.requests), before + 1)
            self.device.reply(Answer(n.CHANGED))
        self.bench.hold()
        self.assertEqual(self.bench.submit("d", "delete", "/1/0").token, self.device.requests[-1].token)

    def test_not_stored(self) -> None:
        """An Execute that can't be stored is not sent, and fails; the next operation goes on."""
        self.bench.failing = True
        operation = self.bench.submit("d", "execute", "/3/0/4")
        self.assertEqual((operation.state, operation.error), ("failed", "storage failed; nothing was sent"))
        self.assertEqual(self.device.requests, [])
        self.assertEqual(self.bench.submit("d", "read", "/3/0/0").state, "sent")

    def test_cancelled_meanwhile(self) -> None:
        """An Execute that is cancelled while it is being stored is not sent."""
        self.bench.hold()
        operation = self.bench.submit("d", "execute", "/3/0/4")
        self.bench.server.cancel(operation.id, self.bench.now, self.done)
        self.bench.settle()
        self.bench.release()
        self.assertEqual((operation.state, self.device.requests), ("cancelled", []))
        self.assertEqual(self.bench.submit("d", "read", "/3/0/0").state, "sent")

    def test_restart(self) -> None:
        """After a restart what may have been executed has an unknown outcome, what waited leaves, the rest is gone."""
        execute = self.bench.submit("d", "execute", "/3/0/4")
        write = self.bench.submit("d", "write", "/3/0/14", value="+01")
        lost = self.bench.submit("d", "read", "/3/0/0")
        self.keep(write)
        after, faults = self.bench.restart()
        self.assertEqual((faults, lost.id in after.server.operations), ([], False))
        found = after.server.operations[execute.id]
        self.assertEqual((found.state, found.error), ("failed", "outcome-unknown"))
        self.assertEqual(after.server.operations[write.id].state, "sent")
        self.assertEqual(self.device.requests[-1].payload, b"+01")
        self.device.reply(Answer(n.CHANGED))
        again, _ = after.restart()
        self.assertEqual([again.server.operations[each.id].state for each in (execute, write)], ["failed", "done"])

    def test_restart_forgotten(self) -> None:
        """Of an operation whose device was forgotten before the restart the end is told nevertheless."""
        write = self.bench.submit("d", "write", "/3/0/14", value="+01")
        self.keep(write)
        for table in ("devices", "registrations"):
            self.bench.tables[table].clear()
        after, _ = self.bench.restart()
        told = [event for event in after.events if event.type == "operation.failed"]
        self.assertEqual([(event.endpoint, event.fields["operation"]) for event in told], [("d", write.id)])

    def test_restart_expired(self) -> None:
        """What waited and has expired meanwhile, or whose device is gone, ends after a restart."""
        self.bench.submit("d", "read", "/3/0/0")
        expired, other = (self.bench.submit("d", "read", f"/3/0/{ttl}", ttl=ttl, force=True) for ttl in (50, 5000))
        self.keep(expired)
        self.keep(other)
        after, _ = self.bench.restart(100)
        self.assertEqual([after.server.operations[each.id].state for each in (expired, other)], ["expired", "sent"])
        del self.bench.tables["registrations"]["d"]
        last, _ = after.restart()
        self.assertEqual(last.server.operations[other.id].error, "the registration ended")

    def test_keep_fails(self) -> None:
        """A caller is told when an operation could not be stored."""
        operation = self.bench.submit("d", "read", "/3/0/0")
        self.bench.failing = True
        self.keep(operation)
        self.assertEqual(self.outcomes, [False])

    def test_bounded(self) -> None:
        """Of operations that ended the newest stay, in memory and in storage; one that waits never makes room."""
        waiting = self.bench.submit("d", "execute", "/3/0/4")
        queued = [self.bench.submit("d", "read", f"/3/0/{number}", force=True) for number in range(20)]
        other = self.bench.registered("other", 2)
        other.answers[n.POST, "/3/0/4"] = Answer(n.CHANGED)
        for _ in range(50):
            self.bench.submit("other", "execute", "/3/0/4")
        self.assertEqual(len(self.bench.server.operations), 3 + 1 + 20)
        self.assertLess({waiting.id, *(each.id for each in queued)}, set(self.bench.server.operations))
        self.assertEqual(
            (len(self.bench.tables["operations"]), waiting.id in self.bench.tables["operations"]), (4, True)
        )
        for number in range(20):
            self.device.answers[n.GET, f"/3/0/{number}"] = Answer(n.NOT_FOUND)
        self.device.reply(Answer(n.CHANGED))
        self.assertEqual(len(self.bench.server.operations), 3)
        self.assertEqual(len(self.bench.tables["operations"]), 0)

    def test_key(self) -> None:
        """A key stands for its operation on its device, over a restart, and is free when that is forgotten."""
        first = self.bench.submit("d", "execute", "/3/0/4", key="k")
        self.assertIs(self.bench.submit("d", "execute", "/3/0/4", key="k"), first)
        with self.assertRaises(BadOperation) as caught:
            self.bench.submit("d", "execute", "/1/0/8", key="k")
        self.assertEqual((caught.exception.field, len(self.device.requests)), ("key", 1))
        other = self.bench.registered("other", 2)
        self.assertIsNot(self.bench.submit("other", "execute", "/3/0/4", key="k"), first)
        self.device.reply(Answer(n.CHANGED))
        other.reply(Answer(n.CHANGED))
        self.bench, _ = self.bench.restart()
        self.assertEqual(self.bench.submit("d", "execute", "/3/0/4", key="k").id, first.id)
        other.answers[n.GET, "/3/0/0"] = Answer(n.NOT_FOUND)
        for _ in range(4):
            self.bench.submit("other", "read", "/3/0/0")
        self.assertNotEqual(self.bench.submit("d", "execute", "/3/0/4", key="k").id, first.id)

    def test_every_refusal(self) -> None:
        """Every refusal has a word of its own that the API shows."""
        codes = [kind.code for kind in Refused.__subclasses__()]
        self.assertEqual(len(set(codes)), len(codes))

    def test_separate(self) -> None:
        """An answer that comes separately counts as well."""
        operation = self.bench.submit("d", "read", "/3/0/0")
        request = self.device.requests[-1]
        self.bench.receive(encode(Message(n.ACK, n.EMPTY, request.mid, b"")), self.device.peer)
        self.bench.advance(5)
        given = options(content_format=TEXT)
        self.device.send(Message(n.CON, n.CONTENT, 77, request.token, given, b"late"))
        self.assertEqual((operation.state, self.device.heard[-1].type), ("done", n.ACK))
