"""Tests of lwm2md.coap.alike."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.coap.alike import Alike
from lwm2md.coap.message import FormatError, Message, decode, encode, encode_body, options
from lwm2md.coap.options import request_fault

_HEAD = b"\x40\x02\x00\x01"
_ARGUMENTS = st.sampled_from(["ep=a", "ep=b", "ep=cc", "ep=" + 20 * "x", "ep=", "ep=ä", "lt=60", "sleep=1", "ep"])
_PARTS = st.lists(_ARGUMENTS, max_size=4)
_BODIES = st.builds(
    lambda path, query, payload: encode_body(options(path=path, query=query, content_format=40), payload),
    st.lists(st.sampled_from(["rd", "ep=a", 300 * "p"]), max_size=2),
    _PARTS,
    st.sampled_from([b"", b"</1>", b"ep=a"]),
)


def register(name: str, *more: str, payload: bytes = b"</1/0>") -> Message:
    """A Register with its name among other arguments."""
    fields = options(path=("rd",), query=("b=U", f"ep={name}", *more), content_format=n.LINK_FORMAT)
    return Message(n.CON, n.POST, 1, b"", fields, payload)


class AlikeTests(SynchronousTestCase):
    """What one request has taught is found for the next."""

    def setUp(self) -> None:
        self.alike = Alike(b"ep=")

    def learn(self, message: Message) -> bool:
        """Whether there is something to learn from a request."""
        return self.alike.learn(encode(message)[4:], message) is not None

    def test_another_name(self) -> None:
        """Another name of that length is known, with all else; one of another length has to be decoded once."""
        self.assertTrue(self.learn(register("one", "lt=60")))
        found = self.alike.find(encode(register("two", "lt=60"))[4:])
        assert found is not None
        shape, argument = found
        self.assertEqual((argument, shape.payload), (b"ep=two", b"</1/0>"))
        self.assertEqual(shape.argument(register("two", "lt=60")), b"ep=two")
        self.assertEqual((*shape.before, (n.URI_QUERY, argument), *shape.after), register("two", "lt=60").options)
        self.assertIsNone(self.alike.find(encode(register("three", "lt=60"))[4:]))

    def test_anything_else(self) -> None:
        """What differs elsewhere, names twice, is cut off, or is no ASCII, is not known."""
        self.assertTrue(self.learn(register("one", "lt=60")))
        for other in (
            register("two", "lt=61"),
            register("two"),
            register("two", "lt=60", payload=b"</1/1>"),
            register("tä", "lt=60"),
        ):
            self.assertIsNone(self.alike.find(encode(other)[4:]), other)
        rest = encode(register("two", "lt=60"))[4:]
        for end in range(len(rest)):
            self.assertIsNone(self.alike.find(rest[:end]), end)

    def test_not_learned(self) -> None:
        """Nothing is learned where the argument is not there, is there twice, or stands elsewhere before."""
        self.assertFalse(self.learn(Message(n.CON, n.POST, 1, b"", options(path=("rd",), query=("lt=60",)))))
        self.assertFalse(self.learn(register("a", "ep=b")))
        self.assertFalse(self.learn(Message(n.CON, n.POST, 1, b"", options(path=("rd",), query=("sleep=1", "ep=a")))))
        self.assertFalse(self.learn(register("a", payload=bytes(4096))))

    def test_faulty(self) -> None:
        """What is refused for its options is never taken for a known one."""
        message = register("a")
        fields = tuple(sorted((*message.options, (n.IF_MATCH, bytes(9)))))
        self.assertFalse(self.learn(Message(n.CON, n.POST, 1, b"", fields)))

    def test_bounded(self) -> None:
        """Of more than a thousand the oldest are forgotten."""
        for number in range(3000):
            self.assertTrue(self.learn(register("one", f"lt={number}")))
        self.assertIsNone(self.alike.find(encode(register("two", "lt=1"))[4:]))
        self.assertIsNotNone(self.alike.find(encode(register("two", "lt=2999"))[4:]))
        for number in range(3000):
            fields = options(path=("rd", str(number)), query=("ep=a",))
            self.assertTrue(self.learn(Message(n.CON, n.POST, 1, b"", fields)))
        self.assertIsNone(self.alike.find(encode(register("two", "lt=2999"))[4:]))

    @given(st.lists(_BODIES, max_size=8), st.lists(_BODIES | st.binary(max_size=40), max_size=8))
    def test_like_the_decoder(self, before: list[bytes], then: list[bytes]) -> None:
        """What is found by its bytes is what the decoder reads, and is fine."""
        alike = Alike(b"ep=")
        for rest in before:
            alike.learn(rest, decode(_HEAD + rest))
        for rest in (*before, *then):
            found = alike.find(rest)
            if found is None:
                continue
            shape, argument = found
            try:
                message = decode(_HEAD + rest)
            except FormatError:
                self.fail(f"{rest!r} is no message")
            self.assertEqual(message.options, (*shape.before, (n.URI_QUERY, argument), *shape.after))
            self.assertEqual((message.payload, request_fault(n.POST, message.options)), (shape.payload, None))
