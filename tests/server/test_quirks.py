"""How real devices register, quirk by quirk: what is taken, what it is taken for, and what is noted.

Each test is made from the datagrams that such a device sends; the numbers are those of the list of quirks that the
project keeps: 1 to 7 and 24 to 29 and 38 are about links and registration.
"""

from __future__ import annotations

from itertools import count

from twisted.trial.unittest import SynchronousTestCase

from lwm2md import events
from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message, decode
from lwm2md.server.records import Registration
from lwm2md.server.settings import ServerSettings
from tests.server.fixtures import Answer, Bench, peer

RD = b"\xb2rd"
LINKS = b"</1/0>,</3/0>"
PLAIN = (b"ep=d", b"lt=300", b"lwm2m=1.1")


def post(
    mid: int, path: bytes, query: tuple[bytes, ...] = (), payload: bytes = b"", formatted: int | None = 40
) -> bytes:
    """A Confirmable POST, octet by octet: Uri-Path as given, then Content-Format, then Uri-Query."""
    data = b"\x42\x02" + mid.to_bytes(2, "big") + b"tk" + path
    last = 11
    if formatted is not None:
        value = b"" if formatted == 0 else formatted.to_bytes(2 if formatted > 255 else 1, "big")
        data += bytes(((12 - last) << 4 | len(value),)) + value
        last = 12
    for each in query:
        delta, last = 15 - last, 15
        data += bytes((delta << 4 | len(each),)) if len(each) < 13 else bytes((delta << 4 | 13, len(each) - 13))
        data += each
    return data + (b"\xff" + payload if payload else b"")


def location(identifier: str) -> bytes:
    """The Uri-Path of a registration."""
    return RD + bytes((0x0D, len(identifier) - 13)) + identifier.encode()


class QuirkTests(SynchronousTestCase):
    """One server, and a device that sends octets."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.mids = count(256)

    def send(self, data: bytes, number: int = 1) -> Message:
        """Send a datagram from an address; the answer."""
        sent = self.bench.engine.receive([(data, peer(number))], self.bench.now)
        self.bench.settle()
        answers = [*sent, *self.bench.unheard]
        self.bench.unheard.clear()
        return decode(answers[0][0])

    def registered(self, payload: bytes, query: tuple[bytes, ...] = PLAIN, formatted: int | None = 40) -> Registration:
        """What a Register is taken for."""
        answer = self.send(post(next(self.mids), RD, query, payload, formatted))
        self.assertEqual(n.dotted(answer.code), "2.01", answer.payload)
        found = self.bench.server.devices["d"].registration
        assert found is not None
        return found

    def objects(self, payload: bytes) -> tuple[list[str], tuple[str, ...]]:
        """The list that a payload is taken for, and what was noted."""
        found = self.registered(payload).objects
        return [str(path) for path in found.paths], found.deviations

    def test_1(self) -> None:
        """1: an attribute that stands twice has both values."""
        found = self.registered(b'</>;rt="oma.lwm2m";ct=110;ct=112,</3/0>').objects
        self.assertEqual((found.formats, found.deviations), ((110, 112), ("attribute-twice",)))

    def test_2(self) -> None:
        """2: a list of formats without quotation marks goes on to the next semicolon or comma."""
        found = self.registered(b"</>;rt=oma.lwm2m;ct=60 110 112,</3/0>").objects
        self.assertEqual((found.formats, [str(path) for path in found.paths]), ((60, 110, 112), ["/3/0"]))
        self.assertEqual(found.deviations, ("unquoted-list",))

    def test_3(self) -> None:
        """3: a version on an instance is the Object's; of two the higher one counts, and that is noted."""
        found = self.registered(b"</1/0>;ver=1.1,</3/0>").objects
        self.assertEqual((found.versions[1], found.deviations), ("1.1", ()))
        found = self.registered(b"</5/0>;ver=1.0,</5/1>;ver=1.1,</3/0>").objects
        self.assertEqual((found.versions[5], set(found.deviations)), ("1.1", {"ver-conflict", "ver-on-instance"}))

    def test_4(self) -> None:
        """4: white space and empty links are skipped; too many links, or too long a list, are refused."""
        expected = ["/1/0", "/3/0", "/5"]
        for payload, noted in (
            (b"</1/0>, </3/0>,</5>", "white-space"),
            (b"</1/0>,\r\n</3/0>,</5>", "white-space"),
            (b"</1/0>,</3/0>,</5>,", "empty-link"),
            (b"</1/0>,,</3/0>,</5>", "empty-link"),
        ):
            self.assertEqual(self.objects(payload), (expected, (noted,)))
        many = b",".join(b"</9/%d>" % number for number in range(5000))
        self.assertEqual(n.dotted(self.send(post(7, RD, PLAIN, many)).code), "4.00")

    def test_5(self) -> None:
        """5: the path of a Resource in the list says that its instance is there."""
        self.assertEqual(
            self.objects(b"</3/0/11/0>,</1/0/1>,</5>"), (["/1/0", "/3/0", "/5"], ("resource-path-in-list",))
        )

    def test_6(self) -> None:
        """6: a list that says it is text, or says nothing, is a list."""
        for formatted in (0, None):
            self.assertEqual(
                [str(path) for path in self.registered(LINKS, PLAIN, formatted).objects.paths], ["/1/0", "/3/0"]
            )

    def test_7(self) -> None:
        """7: without a root link, or with one that has formats only, the root is /."""
        for payload, formats in ((LINKS, ()), (b"</>;ct=11543," + LINKS, (11543,)), (b"</>," + LINKS, ())):
            found = self.registered(payload).objects
            self.assertEqual((found.root, found.formats, len(found.paths)), ("/", formats, 2), payload)

    def test_24(self) -> None:
        """24: a message ID that was used before a reboot, with another token, is a new message."""
        data = post(1, RD, PLAIN, LINKS)
        self.send(data)
        self.send(data)
        self.assertEqual(self.bench.kinds(), [events.DEVICE_REGISTERED])
        self.send(data.replace(b"tk", b"TK", 1))
        self.assertEqual(self.bench.kinds(), [events.DEVICE_REGISTERED, events.DEVICE_UPDATED])

    def test_25(self) -> None:
        """25: no lifetime, 0 or a short one: the default, infinite from 1.1 on, and what floor and cap leave of it."""
        bench, table = self.bench, []
        for settings in (ServerSettings(), ServerSettings(min_lifetime=60, max_lifetime=1000)):
            self.bench = Bench(settings)
            for query in ((b"lwm2m=1.0",), (b"lwm2m=1.0", b"lt=0"), (b"lwm2m=1.1", b"lt=0"), (b"lwm2m=1.1", b"lt=30")):
                table.append(self.registered(LINKS, (b"ep=d", *query)).lifetime)
                self.bench.advance(300)
        self.bench = bench
        self.assertEqual(table, [86400, 86400, None, 30, 1000, 1000, 1000, 60])

    def test_26(self) -> None:
        """26: the letter Q in a binding is queue mode in every version; noted where it is none of the version's."""
        for query, expected in (
            ((b"b=UQS", b"sms=491234"), ("US", True, "491234", ())),
            ((b"lwm2m=1.0", b"b=UQ"), ("U", True, None, ())),
            ((b"lwm2m=1.1", b"b=UQ"), ("U", True, None, ("queue-letter-in-binding",))),
            ((b"lwm2m=1.2", b"b=UMH", b"Q"), ("UMH", True, None, ())),
        ):
            found = self.registered(LINKS, (b"ep=d", b"lt=60", *query))
            self.assertEqual((found.binding, found.queue_mode, found.sms, found.objects.deviations), expected, query)

    def test_27(self) -> None:
        """27: no Update is refused for what may be overlooked: what an Update has no parameter for is passed over."""
        identifier = self.registered(LINKS).id
        for mid, query in enumerate(((b"ep=d",), (b"lwm2m=1.1",), (b"ep=other", b"lt=600"), (b"b=UQ",), (b"x=y",)), 2):
            self.assertEqual(n.dotted(self.send(post(mid, location(identifier), query, b"", None)).code), "2.04", query)
        found = self.bench.server.devices["d"].registration
        assert found is not None
        self.assertEqual(
            (found.id, found.lifetime, found.version, list(self.bench.server.devices)), (identifier, 600, "1.1", ["d"])
        )

    def test_28(self) -> None:
        """28: an empty Update refreshes the lifetime, with a Content-Format too, and touches nothing else."""
        device = self.bench.registered("d", 1)
        device.answers[n.GET, "/3/0/9"] = Answer(payload=b"1", content_format=n.TEXT, observe=1)
        self.bench.submit("d", "observe", "/3/0/9")
        before = self.bench.server.devices["d"].registration
        assert before is not None
        objects, asked = before.objects, len(device.requests)
        for formatted in (None, 40):
            self.bench.advance(100)
            device.bench.receive(post(formatted or 1, location(device.location), (), b"", formatted), peer(1))
            self.assertEqual((before.objects is objects, before.updated_at), (True, self.bench.now))
        self.assertEqual((len(device.requests), self.bench.kinds().count(events.DEVICE_UPDATED)), (asked, 0))

    def test_29(self) -> None:
        """29: an Update with a list and no Content-Format has a list."""
        identifier = self.registered(LINKS).id
        answer = self.send(post(2, location(identifier), (), b"</1/0>,</3/0>,</5/0>", None))
        found = self.bench.server.devices["d"].registration
        assert found is not None
        self.assertEqual(
            (n.dotted(answer.code), [str(path) for path in found.objects.paths]), ("2.04", ["/1/0", "/3/0", "/5/0"])
        )

    def test_38(self) -> None:
        """38: a device that registers the same after each sleep keeps its Location, and that is an update."""
        query = (*PLAIN, b"b=U", b"Q")
        locations = set()
        for mid in (1, 2, 3):
            answer = self.send(post(mid, RD, query, LINKS))
            locations.add(answer.location)
            self.bench.advance(250)
        self.assertEqual((len(locations), self.bench.kinds()[0]), (1, events.DEVICE_REGISTERED))
        updated = [(event.type, event.fields["reason"]) for event in self.bench.events[1:]]
        self.assertEqual(updated, [(events.DEVICE_UPDATED, "resumed")] * 2)
