"""Tests of lwm2md.server.abilities: what a device shows of itself, beside quirk 35."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message, encode
from lwm2md.server.deviceprofiles import Learned
from lwm2md.server.records import Operation
from lwm2md.server.settings import ServerSettings
from tests.server.fixtures import Answer, Bench


class AbilitiesTests(SynchronousTestCase):
    """One server that has started, and a device."""

    def setUp(self) -> None:
        self.bench = Bench(ServerSettings(flush_interval=86400.0))
        self.bench.server.start(self.bench.now)
        self.device = self.bench.registered("d", 1)

    def learned(self) -> Learned | None:
        """What is known of the device."""
        return self.bench.server.devices["d"].learned

    def blocks(self, size: int) -> Operation:
        """Read what the device gives in blocks of that size."""
        operation = self.bench.submit("d", "read", "/3/0/0", format="text")
        szx = size.bit_length() - 5
        for number in range(2):
            request = self.device.requests[-1]
            block = bytes((number << 4 | (number == 0) << 3 | szx,))
            self.bench.receive(
                encode(
                    Message(
                        n.ACK,
                        n.CONTENT,
                        request.mid,
                        request.token,
                        ((n.CONTENT_FORMAT, b""), (n.BLOCK2, block)),
                        b"x" * (size if number == 0 else 3),
                    )
                ),
                self.device.peer,
            )
        return operation

    def test_nothing(self) -> None:
        """An ordinary answer teaches nothing, and costs the device nothing."""
        self.device.answers[n.GET, "/3/0/0"] = Answer(payload=b"x", content_format=n.TEXT)
        self.bench.submit("d", "read", "/3/0/0", format="text")
        self.assertIsNone(self.learned())

    def test_composite(self) -> None:
        """An answered composite Read shows that it is there; an error about its content shows no more than FETCH."""
        self.device.answers[n.FETCH, "/"] = Answer(n.BAD_REQUEST)
        self.bench.submit("d", "read-composite", None, paths=("/3/0/0",))
        self.assertEqual(self.learned(), Learned(fetch=True))
        self.device.answers[n.FETCH, "/"] = Answer(payload=b"[]", content_format=n.SENML_JSON)
        self.bench.submit("d", "read-composite", None, paths=("/3/0/0",))
        self.assertEqual(self.learned(), Learned(fetch=True, composite=True))

    def test_block_size(self) -> None:
        """Blocks smaller than ours are remembered, the smallest, and asked for from then on."""
        self.assertEqual(self.blocks(64).state, "done")
        self.assertEqual(self.learned(), Learned(block_size=64))
        self.blocks(32)
        self.assertEqual(self.learned(), Learned(block_size=32))
        self.blocks(64)
        self.assertEqual(self.learned(), Learned(block_size=32))
        special = self.bench.server.device_profiles.special
        self.assertEqual({peer: profile.block_size for peer, profile in special.items()}, {self.device.peer: 32})

    def test_reset(self) -> None:
        """A device that resets a FETCH is asked path by path as well."""
        self.device.answers[n.GET, "/3/0/0"] = Answer(payload=b"x", content_format=n.TEXT)
        operation = self.bench.submit("d", "read-composite", None, paths=("/3/0/0",))
        self.device.send(Message(n.RST, n.EMPTY, self.device.requests[-1].mid, b"", (), b""))
        self.assertEqual((operation.state, [each.code for each in self.device.requests]), ("done", [n.FETCH, n.GET]))

    def test_cancelled(self) -> None:
        """An operation that is cancelled while it is carried out path by path goes no further."""
        self.device.answers[n.FETCH, "/"] = Answer(n.METHOD_NOT_ALLOWED)
        operation = self.bench.submit("d", "read-composite", None, paths=("/3/0/0", "/3/0/1"))
        self.bench.server.cancel(operation.id, self.bench.now, lambda ok, now: None)
        self.device.reply(Answer(n.CONTENT, b"x", n.TEXT))
        self.assertEqual((operation.state, len(self.device.requests)), ("cancelled", 2))
        self.bench.submit("d", "read", "/5/0/3")
        self.assertEqual(self.device.requests[-1].path, ("5", "0", "3"))

    def test_moved(self) -> None:
        """A device that moves in between is asked anew at its new address."""
        self.device.answers[n.FETCH, "/"] = Answer(n.METHOD_NOT_ALLOWED)
        operation = self.bench.submit("d", "read-composite", None, paths=("/3/0/0", "/3/0/1"))
        self.device.answers[n.GET, "/3/0/0"] = Answer(payload=b"x", content_format=n.TEXT)
        self.device.answers[n.GET, "/3/0/1"] = Answer(payload=b"y", content_format=n.TEXT)
        self.device.move(5)
        self.device.update()
        self.bench.tick()
        self.assertEqual(operation.state, "done")

    def test_other_format(self) -> None:
        """A Read of that kind that is refused in one format is made in the next."""
        self.device.answers[n.FETCH, "/"] = Answer(n.METHOD_NOT_ALLOWED)
        operation = self.bench.submit("d", "read-composite", None, paths=("/3/0",))
        self.device.reply(Answer(n.NOT_ACCEPTABLE))
        self.device.reply(Answer(n.CONTENT, b"[]", n.SENML_JSON))
        accepts = [each.accept for each in self.device.requests[1:]]
        self.assertEqual((operation.state, len(set(accepts))), ("done", 2))
