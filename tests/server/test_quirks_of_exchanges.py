"""How real devices answer and notify, quirk by quirk: what is taken, what is ignored, and what is noted.

Each test is made from the datagrams that such a device sends; the numbers are those of the list of quirks that the
project keeps: 20 to 24 and 27, 30 to 35 are about messages, transfers, observations and composite operations.
"""

from __future__ import annotations

from itertools import count

from twisted.trial.unittest import SynchronousTestCase

from lwm2md import events
from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message, decode
from lwm2md.lwm2m.paths import Path
from lwm2md.server.errors import BadOperation
from lwm2md.server.settings import ServerSettings
from lwm2md.server.templates import Template, TemplateWish
from tests.server.fixtures import Answer, Bench, FakeDevice, peer
from tests.server.test_quirks import LINKS, PLAIN, RD, location, post

PEER = peer(1)
EMPTY_ACK = b"\x60\x00"
ACK, CON, NON, RST = b"\x60", b"\x40", b"\x50", b"\x70"
WEEK = 7 * 86400


def header(kind: bytes, code: int, mid: int, token: bytes = b"") -> bytes:
    """The first octets of a message, with its token."""
    return bytes((kind[0] | len(token), code)) + mid.to_bytes(2, "big") + token


class ExchangeCase(SynchronousTestCase):
    """One server, and a registered device of which every octet is written out."""

    settings = ServerSettings(flush_interval=86400.0)

    def setUp(self) -> None:
        self.bench = Bench(self.settings)
        self.device = self.bench.registered("d", 1)
        self.mids = count(40_000)
        self.device.replies.clear()

    def say(self, data: bytes, number: int = 1) -> list[Message]:
        """Send a datagram; what the server sends then."""
        before = len(self.device.heard)
        self.bench.receive(data, peer(number))
        return self.device.heard[before:]

    def asked(self) -> Message:
        """The newest request."""
        return self.device.requests[-1]

    def kinds(self) -> list[str]:
        """The deviations of the device."""
        return sorted(self.bench.server.deviations("d"))

    def notification(self, token: bytes, sequence: int, text: bytes, kind: bytes = NON) -> bytes:
        """A notification with text: Observe, then Content-Format 0."""
        return header(kind, n.CONTENT, next(self.mids), token) + bytes((0x61, sequence, 0x60)) + b"\xff" + text


class TokenTests(ExchangeCase):
    """Answers with another token, too late, twice, for ever."""

    def test_20_empty(self) -> None:
        """20: an error, or a value, without the token is the answer to the one request that is out, and is noted."""
        for code, payload in ((n.NOT_FOUND, b""), (n.CONTENT, b"\x60\xffok")):
            operation = self.bench.submit("d", "read", "/3/0/0", format="text")
            self.say(header(ACK, code, self.asked().mid) + payload)
            self.assertEqual((operation.finished, operation.coap_code), (True, n.dotted(code)))
        self.assertEqual(self.bench.server.deviations("d")["answer-without-token"].count, 2)

    def test_20_continue(self) -> None:
        """20: a 2.31 without the token lets a transfer go on."""
        operation = self.bench.submit("d", "write", "/5/0/0", value="QUFB" * 400, timeout=30)
        first = self.asked()
        self.assertEqual(first.get(n.BLOCK1), b"\x0e")
        sent = self.say(header(ACK, n.CONTINUE, first.mid) + b"\xd1\x0e\x0e")
        self.assertEqual([each.get(n.BLOCK1) for each in sent], [b"\x16"])
        self.say(header(ACK, n.CHANGED, self.asked().mid, self.asked().token) + b"\xd1\x0e\x16")
        self.assertEqual(operation.state, "done")

    def test_20_other(self) -> None:
        """20: one with another token, from elsewhere, or for another message ID is ignored."""
        operation = self.bench.submit("d", "read", "/3/0/0", format="text")
        mid, value = self.asked().mid, b"\x60\xffno"
        self.say(header(ACK, n.CONTENT, mid, b"other") + value)
        self.say(header(ACK, n.CONTENT, mid) + value, number=2)
        self.say(header(ACK, n.CONTENT, mid ^ 1) + value)
        self.assertEqual(operation.state, "sent")
        self.say(header(ACK, n.CONTENT, mid, self.asked().token) + b"\x60\xffyes")
        assert operation.result is not None
        assert operation.result.values is not None
        self.assertEqual(operation.result.values[0].value, "yes")

    def test_21(self) -> None:
        """21: a separate answer while ours is sent again is acknowledged, ends it once, and drops what is late."""
        operation = self.bench.submit("d", "read", "/3/0/0", format="text")
        self.bench.advance(3.5)
        mid, token = self.asked().mid, self.asked().token
        self.assertEqual([each.mid for each in self.device.requests], [mid, mid])
        answer = header(CON, n.CONTENT, 7, token) + b"\x60\xffonce"
        acknowledged = self.say(answer)
        self.assertEqual([(each.type, each.mid) for each in acknowledged], [(n.ACK, 7)])
        self.assertEqual(operation.state, "done")
        self.assertEqual(self.say(EMPTY_ACK + mid.to_bytes(2, "big")), [])
        self.assertEqual([(each.type, each.mid) for each in self.say(answer)], [(n.ACK, 7)])
        late = self.say(header(CON, n.CONTENT, 8, token) + b"\x60\xfftwice")
        self.assertEqual([(each.type, each.mid) for each in late], [(n.ACK, 8)])
        self.bench.advance(100)
        self.assertEqual(len(self.device.requests), 2)
        self.assertEqual([e.type for e in self.bench.events].count(events.DEVICE_VALUE), 1)

    def test_22(self) -> None:
        """22: what is repeated for ever after a Reset gets a few of them a minute, then silence, and is counted."""
        stray = header(NON, n.CONTENT, 9, b"tok") + b"\x61\x05\x60\xff1"
        counters = self.bench.engine.counters
        for _ in range(50):
            self.bench.receive(stray, peer(9))
        self.assertEqual((len(self.bench.unheard), counters["duplicates"]), (1, 49))
        for mid in range(100, 150):
            self.bench.receive(stray[:2] + mid.to_bytes(2, "big") + stray[4:], peer(9))
        self.assertEqual((len(self.bench.unheard), counters["resets_withheld"]), (10, 41))
        self.assertTrue(all(decode(data).type == n.RST for data, _ in self.bench.unheard))

    def test_23(self) -> None:
        """23: tokens of no, 4 and 8 octets come back as they are."""
        whole = post(1, RD, PLAIN, LINKS)
        for mid, token in enumerate((b"", b"four", b"eight..8"), 2):
            data = bytes((0x40 | len(token), 2)) + mid.to_bytes(2, "big") + token + whole[6:]
            (answer,) = self.say(data)
            self.assertEqual((n.dotted(answer.code), answer.token), ("2.01", token))

    def test_24(self) -> None:
        """24: a notification with a message ID from before a reboot and another token is a new message."""
        self.device.answers[n.GET, "/3303/0/5700"] = Answer(payload=b"1", content_format=n.TEXT, observe=1)
        self.bench.submit("d", "observe", "/3303/0/5700")
        token = self.asked().token
        self.say(header(NON, n.CONTENT, 77, b"other") + b"\x61\x02\x60\xff2")
        self.say(header(NON, n.CONTENT, 77, token) + b"\x61\x02\x60\xff3")
        (row,) = self.bench.server.twin_rows("d", self.bench.server.observation("d", _path()).path)
        self.assertEqual(row.value, 3)


class LateTests(SynchronousTestCase):
    """27: an Update that comes after the end of its registration."""

    def run_out(self, revive: float, late: float = 10.0) -> tuple[Bench, FakeDevice, str]:
        """A device that is late; and what its Update is answered."""
        bench = Bench(ServerSettings(flush_interval=86400.0, revive=revive))
        device = bench.registered("d", 1)
        device.answers[n.GET, "/3/0/9"] = Answer(payload=b"1", content_format=n.TEXT, observe=1)
        bench.submit("d", "observe", "/3/0/9")
        bench.advance(300 + late)
        bench.receive(post(9, location(device.location), (b"lt=600",), b"", None), peer(1))
        return bench, device, n.dotted(device.replies[-1].code)

    def test_27_off(self) -> None:
        """27: as the specification says it is 4.04, unless the settings say otherwise; and later than they say."""
        for revive, late in ((0, 10), (60, 61)):
            bench, _, answer = self.run_out(revive, late)
            self.assertEqual((answer, bench.server.devices["d"].registration), ("4.04", None))

    def test_27_revived(self) -> None:
        """27: within the grace it brings the registration back, with what it changes, and the observations."""
        bench, device, answer = self.run_out(60)
        found = bench.server.devices["d"].registration
        assert found is not None
        self.assertEqual((answer, found.id, found.lifetime), ("2.04", device.location, 600))
        told = [(event.type, event.fields.get("reason")) for event in bench.events if event.type.startswith("device.")]
        self.assertEqual(
            [each for each in told if each[0] != events.DEVICE_VALUE],
            [
                (events.DEVICE_REGISTERED, None),
                (events.DEVICE_EXPIRED, "lifetime"),
                (events.DEVICE_REGISTERED, "revived"),
                (events.DEVICE_UPDATED, "parameters"),
            ],
        )
        self.assertEqual([each.observe for each in device.requests], [0, 0])
        other, faults = bench.restart()
        registration = other.server.devices["d"].registration
        assert registration is not None
        self.assertEqual((faults, registration.id), ([], device.location))

    def test_27_guarded(self) -> None:
        """27: not for another identity, not as a De-register, and not beside a registration that came since."""
        bench = Bench(ServerSettings(flush_interval=86400.0, revive=60))
        bench.identities[peer(1)] = "d"
        device = bench.registered("d", 1)
        stale = device.location
        bench.advance(310)
        bench.receive(post(9, location(stale), (), b"", None), peer(2))
        self.assertEqual(n.dotted(decode(bench.unheard[-1][0]).code), "4.00")
        self.assertEqual(device.deregister() and n.dotted(device.replies[-1].code), "4.04")
        device.register("lwm2m=1.1", "lt=300")
        bench.receive(post(10, location(stale), (), b"", None), peer(1))
        self.assertEqual(n.dotted(device.replies[-1].code), "4.04")

    def test_27_storage(self) -> None:
        """27: where the storage fails nothing comes back, and the device is asked to try again."""
        bench = Bench(ServerSettings(flush_interval=86400.0, revive=60))
        device = bench.registered("d", 1)
        bench.advance(310)
        bench.failing = True
        bench.receive(post(9, location(device.location), (), b"", None), peer(1))
        self.assertEqual(n.dotted(device.replies[-1].code), "5.03")
        bench.failing = False
        bench.receive(post(10, location(device.location), (), b"", None), peer(1))
        self.assertEqual(n.dotted(device.replies[-1].code), "2.04")


class FarewellTests(ExchangeCase):
    """37: a secure session that ends right behind a De-register."""

    def test_37(self) -> None:
        """37: the De-register counts, though its answer, which comes when it is stored, finds nobody any more."""
        self.bench.hold()
        self.device.deregister()
        self.bench.server.lost(self.device.peer, self.bench.now)
        del self.bench.devices[self.device.peer]
        self.bench.release()
        self.assertIsNone(self.bench.server.devices["d"].registration)
        self.assertEqual((self.bench.kinds()[-1], self.bench.errors), (events.DEVICE_DEREGISTERED, []))
        self.assertEqual([decode(data).code for data, _ in self.bench.unheard], [n.DELETED])
        self.bench.advance(300)
        self.assertEqual(len(self.bench.unheard), 1)


class TransferTests(ExchangeCase):
    """Bodies in blocks, as some devices take and give them."""

    def test_30(self) -> None:
        """30: all blocks of a Write have one token, for devices that know a transfer by that."""
        self.bench.submit("d", "write", "/5/0/0", value="QUFB" * 1200, timeout=30)
        tokens = set()
        for number in range(4):
            request = self.asked()
            tokens.add(request.token)
            self.assertEqual((request.get(n.BLOCK1) or b"\x00")[0] >> 4, number)
            code = n.CHANGED if number == 3 else n.CONTINUE
            self.say(header(ACK, code, request.mid, request.token) + b"\xd1\x0e" + (request.get(n.BLOCK1) or b""))
        self.assertEqual(len(tokens), 1)

    def block(self, value: int, payload: bytes, etag: bytes = b"", form: bytes = b"\xc0") -> list[Message]:
        """Answer with a block: perhaps an ETag, perhaps Content-Format 0, Block2."""
        head = header(ACK, n.CONTENT, self.asked().mid, self.asked().token)
        options, last = b"", 0
        if etag:
            options, last = bytes((0x40 | len(etag),)) + etag, 4
        if form:
            options, last = options + bytes(((12 - last) << 4,)), 12
        delta = 23 - last
        options += bytes((0xD1, delta - 13)) if delta > 12 else bytes((delta << 4 | 1,))
        return self.say(head + options + bytes((value,)) + b"\xff" + payload)

    def text(self, operation: object) -> object:
        """The value that was read."""
        rows = operation.result.values if operation.result is not None else ()  # type: ignore[attr-defined]
        return rows[0].value if rows else None

    def test_31_format_missing_later(self) -> None:
        """31: a format in the first block only is that of the whole, and blocks need no size."""
        operation = self.bench.submit("d", "read", "/3/0/0", format="text")
        self.block(0x08, b"a" * 16)
        self.block(0x18, b"b" * 16, form=b"")
        self.block(0x20, b"c", form=b"")
        self.assertEqual(self.text(operation), "a" * 16 + "b" * 16 + "c")

    def test_31_wrong_block(self) -> None:
        """31: another block than was asked for is asked for again, and at last given up; nothing is put together."""
        operation = self.bench.submit("d", "read", "/3/0/0", format="text")
        self.block(0x08, b"a" * 16)
        for _ in range(10):
            if operation.finished:
                break
            self.block(0x38, b"x" * 16)
        self.assertEqual((operation.state, self.text(operation)), ("failed", None))
        self.assertEqual(self.bench.server.twin_rows("d", _path(3, 0, 0)), ())

    def test_31_changed(self) -> None:
        """31: where the ETag changes on the way the transfer begins anew, and the new content is what counts."""
        operation = self.bench.submit("d", "read", "/3/0/0", format="text")
        self.block(0x08, b"a" * 16, b"1")
        sent = self.block(0x10, b"b", b"2")
        self.assertEqual([each.path for each in sent], [("3", "0", "0")])
        self.block(0x08, b"A" * 16, b"2")
        self.block(0x10, b"B", b"2")
        self.assertEqual(self.text(operation), "A" * 16 + "B")


class StreamTests(ExchangeCase):
    """Observations, as some devices understand them."""

    def observed(self, path: str = "/3303/0/5700", **fields: object) -> bytes:
        """Observe a path; the token."""
        self.device.answers[n.GET, path] = Answer(payload=b"1", content_format=n.TEXT, observe=1)
        self.device.answers[n.PUT, path] = Answer(n.CHANGED)
        self.bench.submit("d", "observe", path, **fields)
        return self.asked().token

    def test_32(self) -> None:
        """32: a device that is silent until /19/0/0 is observed is observed there after each Register."""
        token = self.observed("/19/0/0", force=True)
        for lifetime in (600, 700):
            self.device.register("lwm2m=1.1", f"lt={lifetime}", links="</1/0>,</3/0>,</19/0>")
            self.assertEqual((self.asked().observe, self.asked().path), (0, ("19", "0", "0")))
        self.assertEqual(self.asked().token, token)

    def test_33(self) -> None:
        """33: a stream that goes on after its refusal is reset, a few times a minute, and noted."""
        self.device.answers[n.GET, "/3303/0/5700"] = Answer(n.METHOD_NOT_ALLOWED)
        self.bench.submit("d", "observe", "/3303/0/5700")
        token = self.asked().token
        sent = [each for number in range(1, 31) for each in self.say(self.notification(token, number, b"2"))]
        self.assertEqual([each.type for each in sent], [n.RST] * 10)
        self.assertEqual(self.kinds(), ["refused-stream"])
        self.bench.advance(125)
        self.assertEqual([each.type for each in self.say(self.notification(token, 31, b"2"))], [n.RST])
        self.assertEqual(self.bench.server.twin_rows("d", _path()), ())

    def test_33_ended(self) -> None:
        """33: the same for one that the device ended with an error; one that the server does not know is left alone."""
        token = self.observed()
        self.say(header(NON, n.NOT_FOUND, next(self.mids), token))
        self.assertEqual([each.type for each in self.say(self.notification(token, 9, b"2"))], [n.RST])
        self.assertEqual(self.say(self.notification(b"unknown", 9, b"2")), [])

    def test_34(self) -> None:
        """34: notifications at any pace are taken, whatever pmin and pmax say, and their number and time are shown."""
        token = self.observed(attributes={"pmin": 10, "pmax": 60})
        for number, pause in enumerate((0, 1, 10, 110, 0.1), 2):
            self.bench.advance(pause)
            self.say(self.notification(token, number, b"2"))
        wish = self.bench.server.observation("d", _path())
        self.assertEqual((wish.state, wish.error, wish.notifications), ("active", None, 5))
        self.assertEqual((wish.last_notification, self.kinds()), (self.bench.now, []))


class SilentTests(ExchangeCase):
    """35: devices that do not answer FETCH at all, or refuse it."""

    PATHS = ("/3/0/0", "/3303/0/5700", "/3/0/99")

    def setUp(self) -> None:
        super().setUp()
        self.device.register("lwm2m=1.1", "lt=86400")
        self.device.answers[n.GET, "/3/0/0"] = Answer(payload=b"Acme", content_format=n.TEXT)
        self.device.answers[n.GET, "/3303/0/5700"] = Answer(payload=b"21.5", content_format=n.TEXT)
        self.device.answers[n.GET, "/3/0/99"] = Answer(n.NOT_FOUND)

    def read(self, **fields: object) -> tuple[str, list[object], list[int]]:
        """Read several paths: the state, the values, and the codes of the requests, those sent again once."""
        known = len(self.device.requests)
        operation = self.bench.submit("d", "read-composite", None, paths=self.PATHS, **fields)
        self.bench.advance(200)
        values = operation.result.values if operation.result is not None else None
        codes = list(dict.fromkeys((each.mid, each.code) for each in self.device.requests[known:]))
        return operation.state, [row.value for row in values or ()], [code for _, code in codes]

    def test_35_silent(self) -> None:
        """35: after one FETCH without any answer the paths are read one by one, and from then on at once."""
        values = ["Acme", 21.5]
        self.assertEqual(self.read(), ("done", values, [n.FETCH, n.GET, n.GET, n.GET]))
        self.assertEqual(self.read(), ("done", values, [n.GET, n.GET, n.GET]))
        self.assertIn("fetch-unanswered", self.kinds())
        self.assertNotIn(events.DEVICE_NOT_RESPONDING, self.bench.kinds())
        profile = self.bench.server._state.profile(self.bench.server.devices["d"])
        self.assertEqual((profile.fetch, profile.composite), (False, False))

    def test_35_remembered(self) -> None:
        """35: that is remembered over a restart and a new registration, for a week."""
        self.read()
        self.bench.server.stop(self.bench.now)
        self.bench.settle()
        self.bench, _ = self.bench.restart()
        self.device.register("lwm2m=1.1", "lt=86400")
        self.assertEqual(self.read()[2], [n.GET, n.GET, n.GET])
        self.bench.now += WEEK
        self.device.register("lwm2m=1.1", "lt=86400")
        self.assertEqual(self.read()[2], [n.FETCH, n.GET, n.GET, n.GET])

    def test_35_refused(self) -> None:
        """35: a device that refuses the method is asked one by one at once."""
        self.device.answers[n.FETCH, "/"] = Answer(n.METHOD_NOT_ALLOWED)
        self.assertEqual(self.read(), ("done", ["Acme", 21.5], [n.FETCH, n.GET, n.GET, n.GET]))
        self.assertEqual(self.read()[2], [n.GET, n.GET, n.GET])
        self.assertIn("composite-refused", self.kinds())

    def test_35_not_writable(self) -> None:
        """35: a 4.05 to a composite Write is as likely about a Resource in it, and teaches nothing."""
        self.device.answers[n.IPATCH, "/"] = Answer(n.METHOD_NOT_ALLOWED)
        written = {"values": {"/3/0/14": "+01"}}
        for _ in range(2):
            operation = self.bench.submit("d", "write-composite", None, **written)
            self.assertEqual((operation.state, operation.coap_code), ("failed", "4.05"))
        self.assertNotIn("composite-refused", self.kinds())
        self.device.answers[n.IPATCH, "/"] = Answer(n.NOT_IMPLEMENTED)
        self.bench.submit("d", "write-composite", None, **written)
        self.assertIn("composite-refused", self.kinds())

    def test_35_insisting(self) -> None:
        """35: a profile that says otherwise lets FETCH be tried each time; force sends it and nothing else."""
        self.device.answers[n.FETCH, "/"] = Answer(n.METHOD_NOT_ALLOWED)
        self.assertEqual(self.read(force=True), ("failed", [], [n.FETCH]))
        profiles = self.bench.server.device_profiles
        profiles.ship('[{"name": "p", "match": {"endpoint": "*"}, "set": {"composite": true, "fetch": true}}]')
        profiles.changed(self.bench.server.devices["d"])
        for _ in range(2):
            self.assertEqual(self.read(), ("done", ["Acme", 21.5], [n.FETCH, n.GET, n.GET, n.GET]))

    def test_35_gone(self) -> None:
        """35: a device that answers nothing at all teaches nothing: it does not respond."""
        self.device.answers.clear()
        self.assertEqual(self.read()[0], "failed")
        self.assertEqual((self.kinds(), self.bench.server.devices["d"].learned), ([], None))
        self.assertIn(events.DEVICE_NOT_RESPONDING, self.bench.kinds())

    def test_35_asleep(self) -> None:
        """35: a device in queue mode may have fallen asleep: it is asked by FETCH once more at its next contact."""
        self.device.register("lwm2m=1.1", "lt=86400", "Q")
        self.bench.submit("d", "read-composite", None, paths=self.PATHS)
        self.assertEqual([each[:1] for each in self.contacts()], [[n.FETCH], [n.GET], []])

    def test_35_nothing(self) -> None:
        """35: where no path can be read the last refusal is the answer; a bad value is an error; / is every Object."""
        self.read()
        for path in ("/3/0/0", "/3303/0/5700"):
            self.device.answers[n.GET, path] = Answer(n.UNAUTHORIZED)
        operation = self.bench.submit("d", "read-composite", None, paths=self.PATHS)
        self.assertEqual((operation.state, operation.coap_code), ("failed", "4.04"))
        self.device.answers[n.GET, "/3/0/0"] = Answer(payload=b"\xff", content_format=n.TLV)
        operation = self.bench.submit("d", "read-composite", None, paths=self.PATHS)
        self.assertIn("undecodable", operation.error or "")
        known = len(self.device.requests)
        for path in ("/1", "/3", "/5", "/3303"):
            self.device.answers[n.GET, path] = Answer(n.NOT_FOUND)
        self.bench.submit("d", "read-composite", None, paths=("/",))
        self.assertEqual(["/".join(each.path) for each in self.device.requests[known:]], ["1", "3", "5", "3303"])

    def test_35_write(self) -> None:
        """35: nothing is written by iPATCH where FETCH found no answer, unless it is forced."""
        self.read()
        error = self.assertRaises(
            BadOperation, self.bench.submit, "d", "write-composite", None, values={"/1/0/1": 5, "/1/0/6": True}
        )
        self.assertIn("composite", str(error))
        self.bench.submit("d", "write-composite", None, values={"/1/0/1": 5, "/1/0/6": True}, force=True)
        self.assertEqual(self.asked().code, n.IPATCH)

    def test_35_observe(self) -> None:
        """35: a composite observation that is not answered, by a device that answers a Read, is asked for no more."""
        self.bench.submit("d", "observe-composite", None, paths=self.PATHS)
        self.bench.advance(200)
        self.assertEqual(self.codes()[-2:], [n.FETCH, n.GET])
        self.assertIn("fetch-unanswered", self.kinds())
        asked = len(self.device.requests)
        self.bench.advance(4000)
        (wish,) = self.bench.server.observations.values()
        self.assertEqual((wish.state, wish.error), ("pending", "the device takes no composite operations"))
        self.assertEqual(len(self.device.requests), asked)
        self.device.answers[n.FETCH, "/"] = Answer(payload=b"[]", content_format=n.SENML_JSON, observe=1)
        self.bench.now += WEEK
        self.device.register("lwm2m=1.1", "lt=86400")
        self.bench.advance(10)
        profile = self.bench.server._state.profile(self.bench.server.devices["d"])
        self.assertEqual((wish.state, profile.composes), ("active", True))

    def test_35_template(self) -> None:
        """35: a template observes path by path what such a device does not answer as one."""
        for path in self.PATHS:
            self.device.answers[n.GET, path] = Answer(payload=b"1", content_format=n.TEXT, observe=1)
        template = Template(name="t", observe=(TemplateWish(paths=self.PATHS),))
        self.bench.server.templates.put(template, lambda ok, now: self.assertTrue(ok))
        self.bench.settle()
        self.bench.advance(200)
        wishes = {str(wish.path): wish.state for wish in self.bench.server.observations.values()}
        self.assertEqual(wishes, dict.fromkeys(self.PATHS, "active"))

    def test_35_write_unanswered(self) -> None:
        """35: a composite Write that is not answered teaches the same, and the next one is refused at once."""
        written = {"values": {"/3/0/14": "+01"}}
        operation = self.bench.submit("d", "write-composite", None, **written)
        self.bench.advance(200)
        self.assertEqual((operation.state, self.codes()[-2:]), ("failed", [n.IPATCH, n.GET]))
        self.assertIn("fetch-unanswered", self.kinds())
        with self.assertRaisesRegex(BadOperation, "path by path"):
            self.bench.submit("d", "write-composite", None, **written)

    def test_35_observe_asleep(self) -> None:
        """35: a device in queue mode is asked as before once more, then for a Read, ahead of what waits."""
        self.device.register("lwm2m=1.1", "lt=86400", "Q")
        self.bench.submit("d", "observe-composite", None, paths=self.PATHS)
        self.assertEqual([each[:1] for each in self.contacts()[:2]], [[n.FETCH], [n.GET]])
        self.assertIn("fetch-unanswered", self.kinds())

    def contacts(self) -> list[list[int]]:
        """Let the device update three times, long apart; the codes of what it is asked each time."""
        codes = []
        for _ in range(3):
            self.bench.advance(100)
            known = len(self.device.requests)
            self.device.update()
            codes.append([each.code for each in self.device.requests[known:]])
        return codes

    def codes(self) -> list[int]:
        """The codes of all requests, those sent again once."""
        return [code for _, code in dict.fromkeys((each.mid, each.code) for each in self.device.requests)]


def _path(*ids: int) -> Path:
    return Path(ids or (3303, 0, 5700))
