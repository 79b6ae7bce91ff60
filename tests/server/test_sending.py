"""Tests of lwm2md.server.sending and senders: Send, by whom, of what, and what it wakes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md import events
from lwm2md.coap import numbers as n
from lwm2md.coap.engine import IncomingRequest, Response
from lwm2md.coap.message import Message, decode, encode, options
from lwm2md.events import Event
from lwm2md.lwm2m.paths import Path
from lwm2md.server.deviceprofiles import DeviceProfile
from lwm2md.server.sending import MOST_VALUES
from lwm2md.server.settings import ServerSettings
from tests.server.fixtures import Answer, Bench, FakeDevice, peer

BATTERY = '[{"n":"/3/0/9","v":95}]'
TIMED = bytes.fromhex("82a3216c2f333330332f302f35373030221a6553f10002f94d60a206383b02f94d50")
"""/3303/0/5700: 21.5 at 1700000000 and 21.25 a minute before, in SenML CBOR."""


def sent(
    device: FakeDevice,
    payload: str | bytes = BATTERY,
    content_format: int | None = n.SENML_JSON,
    kind: int = n.CON,
) -> Message | None:
    """The answer to a Send, if one came at once."""
    data = payload.encode() if isinstance(payload, str) else payload
    return device.request(n.POST, "dp", payload=data, content_format=content_format, kind=kind)


class Base(SynchronousTestCase):
    """One registered device."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.device = self.bench.registered()

    def assert_sent(self, code: int, *arguments: object, device: FakeDevice | None = None) -> Message:
        """Assert the code of the answer to a Send; the answer."""
        answer = sent(device or self.device, *arguments)  # type: ignore[arg-type]
        assert answer is not None
        self.assertEqual(n.dotted(answer.code), n.dotted(code), answer.payload)
        return answer

    def told(self) -> Event:
        """The last event."""
        return self.bench.events[-1]

    def values(self) -> list[tuple[str, object, float]]:
        """The values of the last event."""
        return [(row.path, row.value, row.time) for row in self.told().fields["values"]]  # type: ignore[attr-defined]

    def known(self, endpoint: str = "d") -> dict[str, object]:
        """What the twin knows."""
        return {row.path: row.value for row in self.bench.server.twin_rows(endpoint, Path())}

    def deviations(self, endpoint: str = "d") -> set[str]:
        """The kinds of deviations of a device."""
        return set(self.bench.server.deviations(endpoint))


class ContentTests(Base):
    """What is sent."""

    def test_senml_json(self) -> None:
        """A value in SenML JSON becomes known, and is told as sent."""
        self.assert_sent(n.CHANGED)
        event = self.told()
        self.assertEqual((event.type, event.endpoint, event.fields["source"]), (events.DEVICE_VALUE, "d", "send"))
        self.assertEqual(self.values(), [("/3/0/9", 95, self.bench.now)])
        self.assertEqual(self.known(), {"/3/0/9": 95})
        self.assertEqual(self.bench.server.counters["sends_accepted"], 1)

    def test_example_bytes(self) -> None:
        """The datagram of the reference, which Wakaama sends in this form with an empty token, is answered."""
        self.bench.receive(bytes.fromhex("410200600fb264701170ff81a221662f332f302f3902185f"), self.device.peer)
        answer = self.device.heard[-1]
        self.assertEqual((answer.code, answer.mid, answer.token), (n.CHANGED, 0x60, b"\x0f"))
        self.assertEqual(self.known(), {"/3/0/9": 95})
        data = encode(
            Message(
                n.CON, n.POST, 7, b"", options(path=("dp",), content_format=n.SENML_JSON), b'[{"n":"/3/0/9","v":1}]'
            )
        )
        self.bench.receive(data, self.device.peer)
        self.assertEqual((self.device.heard[-1].code, self.device.heard[-1].token), (n.CHANGED, b""))

    def test_senml_cbor_with_times(self) -> None:
        """Several values of one path keep their times; the twin knows the newest."""
        self.assert_sent(n.CHANGED, TIMED, n.SENML_CBOR)
        self.assertEqual(self.values(), [("/3303/0/5700", 21.5, 1.7e9), ("/3303/0/5700", 21.25, 1.7e9 - 60)])
        self.assertEqual(self.known(), {"/3303/0/5700": 21.5})

    def test_lwm2m_cbor(self) -> None:
        """A value in LwM2M CBOR is taken."""
        self.assert_sent(n.CHANGED, bytes.fromhex("a2830300091864830100011a00015180"), n.LWM2M_CBOR)
        self.assertEqual(self.known(), {"/3/0/9": 100, "/1/0/1": 86400})

    def test_relative_time(self) -> None:
        """A time below 2^28 is relative to the arrival."""
        self.assert_sent(n.CHANGED, '[{"n":"/3/0/9","v":95,"t":-30}]')
        self.assertEqual(self.values(), [("/3/0/9", 95, self.bench.now - 30)])

    def test_odd_times(self) -> None:
        """The uptime of a device is taken as relative, and what can't be a time is that of the arrival, and noted."""
        for given, expected in (("50", 50.0), ("268435455", 0.0), ("99999999999", 0.0), ("-1.7e9", 0.0)):
            self.assert_sent(n.CHANGED, f'[{{"n":"/3/0/9","v":95,"bt":{given}}}]')
            self.assertEqual(self.values(), [("/3/0/9", 95, self.bench.now + expected)])
        self.assertEqual(self.deviations(), {"absurd-time"})

    def test_odd_values(self) -> None:
        """A float stands for an integer where it is one, a tag or text for a time where that is exact; else not."""
        self.assert_sent(n.CHANGED, '[{"n":"/3/0/9","v":95.0}]')
        self.assert_sent(n.CHANGED, bytes.fromhex("81a200672f332f302f313302c11a6553f100"), n.SENML_CBOR)
        self.assertEqual(self.known(), {"/3/0/9": 95, "/3/0/13": 1_700_000_000})
        self.assert_sent(n.BAD_REQUEST, '[{"n":"/3/0/9","v":95.5}]')
        self.assertEqual(self.known()["/3/0/9"], 95)

    def test_old_values(self) -> None:
        """Values that are older than the known one are told, and change nothing else, whatever it came from."""
        self.bench.submit("d", "read", "/3/0/9")
        self.device.reply(Answer(n.CONTENT, b"50", n.TEXT))
        self.assert_sent(n.CHANGED, '[{"n":"/3/0/9","v":95,"t":-30}]')
        self.assertEqual(self.values(), [("/3/0/9", 95, self.bench.now - 30)])
        self.assertEqual(self.known(), {"/3/0/9": 50})

    def test_other_values_stay(self) -> None:
        """A Send says nothing of what it does not name."""
        self.assert_sent(n.CHANGED)
        self.assert_sent(n.CHANGED, '[{"n":"/3/0/1","vs":"m"}]')
        self.assertEqual(self.known(), {"/3/0/9": 95, "/3/0/1": "m"})

    def test_unlisted(self) -> None:
        """An Object that the device did not register is taken, and noted."""
        self.assert_sent(n.CHANGED, '[{"n":"/3304/0/5700","v":1}]')
        self.assertEqual((self.known(), self.deviations()), ({"/3304/0/5700": 1.0}, {"unlisted-object"}))
        self.assert_sent(n.CHANGED, '[{"n":"/3303/7/5700","v":1}]')
        self.assertIn("/3303/7/5700", self.known())

    def test_listed_without_instances(self) -> None:
        """An Object that was registered without instances may send of any."""
        other = self.bench.registered("bare", 2, links="</3303>,</1/0>")
        self.assert_sent(n.CHANGED, '[{"n":"/3303/7/5700","v":1}]', device=other)
        self.assertEqual(self.deviations("bare"), set())

    def test_version(self) -> None:
        """A device of LwM2M 1.0, which has no Send, is heard, and that is noted."""
        old = self.bench.device("old", 2)
        old.register("lt=300")
        self.assert_sent(n.CHANGED, device=old)
        self.assertEqual(self.deviations("old"), {"send-before-1.1"})

    def test_malformed(self) -> None:
        """What can't be read whole is refused with 4.00, and nothing of it is taken."""
        before = len(self.bench.events)
        for payload in (
            "",
            "[]",
            "{}",
            '[{"n":"/3/0/9","v":95},{"n":"/3/0/1"',
            '[{"n":"/3/0/9","v":95},{"n":"/3/0/9","v":96}]',
            '[{"n":"/3/0/9","vs":"\\ud800"}]',
            '[{"n":"3/0/9","v":95}]',
            '[{"n":"/3/0/9","v":"95x"}]',
        ):
            self.assert_sent(n.BAD_REQUEST, payload)
        self.assert_sent(n.BAD_REQUEST, b"\xff", n.SENML_CBOR)
        self.assert_sent(n.BAD_REQUEST, b"\xa1\x03", n.LWM2M_CBOR)
        self.assertEqual((len(self.bench.events), self.known()), (before, {}))
        self.assertIn("undecodable", self.deviations())
        self.assertEqual(self.bench.server.counters["sends_refused"], 10)

    def test_too_many(self) -> None:
        """More values than everybody can wait for are refused."""
        for number, code in ((MOST_VALUES, n.CHANGED), (MOST_VALUES + 1, n.REQUEST_ENTITY_TOO_LARGE)):
            records = ",".join(f'{{"n":"/3303/{each}/5700","v":1}}' for each in range(number))
            data = Message(n.CON, n.POST, number, b"t", options(path=("dp",), content_format=n.SENML_JSON))
            request = IncomingRequest(self.device.peer, data, self.bench.now, b"k")
            data.payload = f"[{records}]".encode()
            answers: list[Response] = []
            self.patch(self.bench.engine, "respond", lambda _, response, __: answers.append(response))  # noqa: B023
            self.assertIsNone(self.bench.server.handle(request, self.bench.now))
            self.bench.settle()
            self.assertEqual([n.dotted(each.code) for each in answers], [n.dotted(code)])
        self.assertEqual(len(self.known()), self.bench.settings.twin_values)

    def test_formats(self) -> None:
        """Formats that have no times or names are refused with 4.15, none at all with 4.00."""
        for number in (n.TEXT, n.TLV, n.JSON, n.SENML_ETCH_JSON, n.LINK_FORMAT, 9999):
            self.assert_sent(n.UNSUPPORTED_CONTENT_FORMAT, BATTERY, number)
        self.assert_sent(n.BAD_REQUEST, BATTERY, None)

    def test_credentials(self) -> None:
        """Keys that a device should never tell are not taken."""
        self.assert_sent(n.BAD_REQUEST, '[{"n":"/0/0/5","vd":"AAAA"}]')
        self.assert_sent(n.BAD_REQUEST, '[{"n":"/3/0/9","v":1},{"n":"/21/0/1","vs":"AAAA"}]')
        self.assertEqual(self.known(), {})

    def test_other_requests(self) -> None:
        """Only POST, and nothing below ``/dp``."""
        for code, path, expected in (
            (n.GET, "dp", n.METHOD_NOT_ALLOWED),
            (n.PUT, "dp", n.METHOD_NOT_ALLOWED),
            (n.POST, "dp/x", n.NOT_FOUND),
        ):
            answer = self.device.request(code, path)
            assert answer is not None
            self.assertEqual(answer.code, expected)

    def test_non_confirmable(self) -> None:
        """A Non-confirmable Send is answered with a Non-confirmable message."""
        answer = sent(self.device, kind=n.NON)
        assert answer is not None
        self.assertEqual((answer.code, answer.type), (n.CHANGED, n.NON))

    def test_large(self) -> None:
        """A Send in blocks is taken as a whole."""
        records = ",".join(f'{{"n":"/3303/{number}/5700","v":{number}}}' for number in range(100))
        payload = f"[{records}]".encode()
        blocks = [payload[start : start + 512] for start in range(0, len(payload), 512)]
        for number, block in enumerate(blocks):
            more = number + 1 < len(blocks)
            head = options(path=("dp",), content_format=n.SENML_JSON)
            asked = tuple(sorted((*head, (n.BLOCK1, bytes([number << 4 | more << 3 | 5])))))
            token = b"b%d" % number
            self.device.send(Message(n.CON, n.POST, next(self.bench.mids), token, asked, block))
            answer = self.device.answer(token)
            assert answer is not None
            self.assertEqual(answer.code, n.CONTINUE if more else n.CHANGED)
        self.assertEqual(len(self.known()), 100)


class StoringTests(Base):
    """A Send is answered when its values are durable."""

    def test_answer_waits(self) -> None:
        """There is no answer before the commit, and one after it; a retransmission meanwhile is not taken again."""
        self.bench.hold()
        self.device.request(n.POST, "dp", payload=BATTERY.encode(), content_format=n.SENML_JSON, mid=9)
        self.device.request(n.POST, "dp", payload=BATTERY.encode(), content_format=n.SENML_JSON, mid=9)
        self.assertIsNone(self.device.answer(b"t9"))
        self.bench.release()
        answer = self.device.answer(b"t9")
        assert answer is not None
        self.assertEqual(answer.code, n.CHANGED)
        self.assertEqual(self.bench.kinds().count(events.DEVICE_VALUE), 1)

    def test_storage_fails(self) -> None:
        """Where the values can't be stored the device is told to try again."""
        self.bench.failing = True
        answer = self.assert_sent(n.SERVICE_UNAVAILABLE)
        self.assertEqual(answer.max_age, 30)
        self.assertEqual(self.bench.server.counters["sends_accepted"], 0)

    def test_history(self) -> None:
        """Every value goes into the history, with its own time."""
        self.bench.hold()
        sent(self.device, TIMED, n.SENML_CBOR)
        (commit,) = (each for each in self.bench.held if each.events)
        self.assertEqual(
            list(commit.samples),
            [
                ("d", "/3303/0/5700", 1_700_000_000_000_000, b"21.5"),
                ("d", "/3303/0/5700", 1_699_999_940_000_000, b"21.25"),
            ],
        )


class SenderTests(Base):
    """Who sends."""

    def test_unknown(self) -> None:
        """Who is not registered from its address is told 4.04, so that it registers again."""
        self.assert_sent(n.NOT_FOUND, device=self.bench.device("x", 9))
        self.device.move(2)
        self.assert_sent(n.NOT_FOUND)
        self.assertEqual(self.bench.server.devices["d"].registration.peer, peer(1))  # type: ignore[union-attr]

    def test_gone(self) -> None:
        """A device that has left is unknown at its address."""
        self.device.deregister()
        self.assert_sent(n.NOT_FOUND)

    def test_moved(self) -> None:
        """After an Update from another address a Send from there is the device's, and from the old one nobody's."""
        self.device.move(2)
        self.device.update()
        self.assert_sent(n.CHANGED)
        self.device.move(1)
        self.assert_sent(n.NOT_FOUND)

    def test_after_a_restart(self) -> None:
        """The daemon knows who sends after it was started again."""
        again, _ = self.bench.restart()
        self.bench = again
        self.assert_sent(n.CHANGED)

    def test_shared_address(self) -> None:
        """Of several endpoints at one address the one that has what is sent is the sender; else nobody can say."""
        self.bench.registered("e", 1, links="</3/0>,</3304/0>")
        here = self.bench.device("e", 1)
        self.assert_sent(n.CHANGED, '[{"n":"/3304/0/5700","v":1}]', device=here)
        self.assertEqual((self.known("d"), self.known("e")), ({}, {"/3304/0/5700": 1.0}))
        self.assert_sent(n.BAD_REQUEST, device=here)
        self.assert_sent(n.BAD_REQUEST, '[{"n":"/3305/0/5700","v":1}]', device=here)
        self.assertEqual((self.known("d"), self.deviations("d"), self.deviations("e")), ({}, set(), set()))

    def test_shared_address_left(self) -> None:
        """When the other endpoint has left the address, there is no doubt any more."""
        other = self.bench.registered("e", 1)
        other.deregister()
        self.bench.devices[self.device.peer] = self.device
        self.assert_sent(n.CHANGED)
        self.assertEqual(self.known("d"), {"/3/0/9": 95})

    def test_crowded_address(self) -> None:
        """Among very many endpoints at one address nobody looks for the sender."""
        for number in range(20):
            self.bench.registered(f"e{number}", 1, links=f"</3303/{number + 100}>")
        self.assert_sent(n.BAD_REQUEST, '[{"n":"/3303/101/5700","v":1}]', device=self.bench.device("x", 1))

    def test_identity(self) -> None:
        """A proved identity is the sender from any address, and is found there from then on; a foreign one is not."""
        self.bench.identities = {peer(5): "id", peer(6): "id", peer(7): "other"}
        device = self.bench.registered("secure", 5)
        device.move(6)
        self.assert_sent(n.CHANGED, device=device)
        self.assertEqual(self.bench.server.devices["secure"].registration.peer, peer(6))  # type: ignore[union-attr]
        device.move(7)
        self.assert_sent(n.NOT_FOUND, device=device)

    def test_foreign_identity(self) -> None:
        """At the address of a device, another identity is another sender."""
        self.bench.identities = {peer(1): "other"}
        self.assert_sent(n.NOT_FOUND)


class PolicyTests(Base):
    """Whether a Send is wanted."""

    def test_refused(self) -> None:
        """Where the daemon does not take Sends they are forbidden, and nothing becomes known."""
        self.bench.server.configure(ServerSettings(send="refuse"), self.bench.now)
        self.assert_sent(n.FORBIDDEN)
        self.assertEqual(self.known(), {})

    def test_by_profile(self) -> None:
        """What the device's profile says counts more, either way."""
        device = self.bench.server.devices["d"]
        device.profile = DeviceProfile(send="refuse")
        self.assert_sent(n.FORBIDDEN)
        self.bench.server.configure(ServerSettings(send="refuse"), self.bench.now)
        device.profile = DeviceProfile(send="accept")
        self.assert_sent(n.CHANGED)


class QueueTests(SynchronousTestCase):
    """A Send is an uplink."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.device = self.bench.registered("d", 1, "Q")
        self.bench.advance(200)
        self.operation = self.bench.submit("d", "read", "/3/0/0")
        self.assertEqual((self.operation.state, self.device.requests), ("queued", []))

    def test_wakes(self) -> None:
        """A sleeping device is awake with its Send: behind the answer the first request that waits leaves."""
        heard = len(self.device.heard)
        sent(self.device)
        answer, request = self.device.heard[heard : heard + 2]
        self.assertEqual((answer.code, request.code, request.path), (n.CHANGED, n.GET, ("3", "0", "0")))
        self.assertEqual(self.bench.server.devices["d"].state(self.bench.now), "online")
        self.assertEqual(self.bench.server.devices["d"].last_seen, self.bench.now)

    def test_leave_together(self) -> None:
        """The answer and the request leave with one flush."""
        self.bench.hold()
        sent(self.device)
        self.bench.holding = False
        (commit,) = (each for each in self.bench.held if each.samples)
        assert commit.resume is not None
        commit.resume(True, self.bench.now)
        self.assertEqual([decode(data).code for data, _ in self.bench.engine.take()], [n.CHANGED, n.GET])

    def test_refused(self) -> None:
        """A Send that is refused wakes just the same: the device was heard."""
        sent(self.device, "nonsense")
        self.assertEqual([each.path for each in self.device.requests], [("3", "0", "0")])


class GatewayTests(SynchronousTestCase):
    """Devices behind a gateway."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.gateway = self.bench.device("gw", 1)
        children = (
            '[{"bn":"/25/","n":"0/0","vs":"urn:a"},{"n":"0/1","vs":"d01"},{"n":"0/3/0","vs":"</3303/0>"},'
            '{"n":"1/0","vs":"urn:b"},{"n":"1/1","vs":"d0"},{"n":"1/3/0","vs":"</3303/0>"}]'
        )
        self.gateway.answers[n.GET, "/25"] = Answer(n.CONTENT, children.encode(), n.SENML_JSON)
        self.gateway.register("lwm2m=1.2", "lt=300", links="</1/0>,</3/0>,</25/0>,</25/1>")
        self.assertIn("gw/d01", self.bench.server.devices)

    def known(self, endpoint: str) -> dict[str, object]:
        """What the twin knows, but of the gateway's children."""
        rows = self.bench.server.twin_rows(endpoint, Path())
        return {row.path: row.value for row in rows if not row.path.startswith("/25/")}

    def test_child(self) -> None:
        """Names with a prefix are values of the device that has it."""
        answer = sent(self.gateway, '[{"n":"/d01/3303/0/5700","v":20}]')
        assert answer is not None
        self.assertEqual(answer.code, n.CHANGED)
        self.assertEqual(
            (self.known("gw/d01"), self.known("gw/d0"), self.known("gw")), ({"/3303/0/5700": 20.0}, {}, {})
        )
        self.assertEqual(self.bench.events[-1].endpoint, "gw/d01")

    def test_child_in_cbor(self) -> None:
        """In LwM2M CBOR the prefix is the first key."""
        sent(self.gateway, bytes.fromhex("a163643031a1190ce7a100a1191644f94d60"), n.LWM2M_CBOR)
        self.assertEqual((self.known("gw/d01"), self.known("gw/d0")), ({"/3303/0/5700": 21.5}, {}))

    def test_own(self) -> None:
        """Names without a prefix are the gateway's own values."""
        sent(self.gateway)
        self.assertEqual((self.known("gw"), self.known("gw/d01")), ({"/3/0/9": 95}, {}))

    def test_mixed(self) -> None:
        """Each value of a Send becomes that of the device whose prefix it has, whatever base fields it came with."""
        plain = '[{"n":"/d01/3303/0/5700","v":20},{"n":"/d0/3303/0/5700","v":21},{"n":"/3/0/9","v":95}]'
        based = (
            '[{"bn":"/d0"},{"n":"1/3303/0/5700","v":20},{"bv":1},{"n":"/3303/0/5700","v":20},'
            '{"bn":"/3/0/","n":"9","v":94}]'
        )
        tree = "a303a100a109185f626430a1190ce7a100a1191644f94d4063643031a1190ce7a100a1191644f94d00"
        for payload, number in (
            (plain, n.SENML_JSON),
            (based, n.SENML_JSON),
            (bytes.fromhex(tree), n.LWM2M_CBOR),
        ):
            self.setUp()
            answer = sent(self.gateway, payload, number)
            assert answer is not None
            self.assertEqual(answer.code, n.CHANGED, payload)
            self.assertEqual(self.known("gw/d01"), {"/3303/0/5700": 20.0}, payload)
            self.assertEqual(self.known("gw/d0"), {"/3303/0/5700": 21.0}, payload)
            self.assertEqual(self.known("gw"), {"/3/0/9": 95}, payload)
            told = [(event.endpoint, event.fields["source"]) for event in self.bench.events[-3:]]
            self.assertEqual(sorted(told), [("gw", "send"), ("gw/d0", "send"), ("gw/d01", "send")])

    def test_times_of_each(self) -> None:
        """The history of each device has its values, with the times that they were sent with."""
        self.bench.hold()
        sent(
            self.gateway,
            '[{"bt":1767225600,"n":"/d01/3303/0/5700","v":20},{"t":60,"n":"/d0/3303/0/5700","v":21},'
            '{"t":120,"n":"/d01/3303/0/5700","v":22}]',
        )
        self.assertEqual(
            [sample for commit in self.bench.held for sample in commit.samples],
            [
                ("gw/d01", "/3303/0/5700", 1_767_225_600_000_000, b"20.0"),
                ("gw/d01", "/3303/0/5700", 1_767_225_720_000_000, b"22.0"),
                ("gw/d0", "/3303/0/5700", 1_767_225_660_000_000, b"21.0"),
            ],
        )

    def test_half_stored(self) -> None:
        """It is answered when all is durable, and refused, to be sent again, where something is not."""
        self.bench.hold()
        self.assertIsNone(sent(self.gateway, '[{"n":"/d01/3303/0/5700","v":20},{"n":"/3/0/9","v":95}]'))
        self.bench.release(only=1)
        counters = self.bench.server.counters
        self.assertEqual((counters["sends_accepted"], counters["sends_refused"]), (0, 0))
        self.bench.release(ok=False)
        self.assertEqual((counters["sends_accepted"], counters["sends_refused"]), (0, 1))
        self.assertEqual(self.gateway.heard[-1].code, n.SERVICE_UNAVAILABLE)

    def test_refused_whole(self) -> None:
        """What can't be taken of one device is taken of none: an unknown prefix, credentials, what is no value."""
        good = '{"n":"/d01/3303/0/5700","v":20}'
        for bad in (
            '{"n":"/d02/3303/0/5700","v":20}',
            '{"n":"/d0/0/0/5","vd":"AAAA"}',
            '{"n":"/d0/3303/0/5700","vs":"x"}',
            '{"n":"/d0/3303/0/5700","v":1,"odd_":1}',
            '{"n":"x/d01/3303/0/5700","v":1}',
        ):
            answer = sent(self.gateway, f"[{good},{bad}]")
            assert answer is not None
            self.assertEqual((answer.code, self.known("gw"), self.known("gw/d01")), (n.BAD_REQUEST, {}, {}), bad)
        for payload in ("a263643031a1190ce7a100a1191644f94d00617803", "a163643031190ce7", "80", "a0"):
            answer = sent(self.gateway, bytes.fromhex(payload), n.LWM2M_CBOR)
            assert answer is not None
            self.assertEqual((answer.code, self.known("gw/d01")), (n.BAD_REQUEST, {}), payload)

    def test_children_come_by_send(self) -> None:
        """Values of Object 25 that are sent tell of the devices behind the gateway."""
        sent(self.gateway, '[{"n":"/25/1/1","vs":"d02"}]')
        self.assertIn("gw/d02", self.bench.server.devices)


class RootTests(SynchronousTestCase):
    """Devices with an alternate path."""

    def test_either_way(self) -> None:
        """Names may begin with the alternate path, or be without it."""
        bench = Bench()
        device = bench.registered("d", links='</lwm2m>;rt="oma.lwm2m",</lwm2m/3/0>')
        for name in ("/lwm2m/3/0/9", "/3/0/9"):
            answer = sent(device, f'[{{"n":"{name}","v":95}}]')
            assert answer is not None
            self.assertEqual(answer.code, n.CHANGED)
            self.assertEqual([row.path for row in bench.server.twin_rows("d", Path())], ["/3/0/9"])
