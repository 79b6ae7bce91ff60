"""Tests of lwm2md.coap.message: byte vectors, round trips, and what is refused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.message import FormatError, Message, Options, decode, encode, options, parse_uint, uint

CON, NON, ACK, RST = numbers.CON, numbers.NON, numbers.ACK, numbers.RST
T8 = bytes.fromhex("0102030405060708")

VECTORS: dict[str, Message] = {
    "41021234abb272641128396c776d326d3d312e310765703d64657631056c743d363003623d55ff3c2f312f303e2c3c2f332f303e": Message(
        CON,
        numbers.POST,
        0x1234,
        b"\xab",
        options(path=("rd",), content_format=40, query=("lwm2m=1.1", "ep=dev1", "lt=60", "b=U")),
        b"</1/0>,</3/0>",
    ),
    "61411234ab8272640435613366": Message(ACK, numbers.CREATED, 0x1234, b"\xab", options(location=("rd", "5a3f"))),
    "420100010102605133013001396170": Message(
        CON, numbers.GET, 1, b"\x01\x02", options(observe=0, path=("3", "0", "9"), accept=112)
    ),
    "42010002010261015133013001396170": Message(
        CON, numbers.GET, 2, b"\x01\x02", options(observe=1, path=("3", "0", "9"), accept=112)
    ),
    "618100400cd8ef0102030405060708": Message(
        ACK, numbers.UNAUTHORIZED, 0x40, b"\x0c", options(extra=[(numbers.ECHO, T8)])
    ),
    "410200410db27264d8e40102030405060708": Message(
        CON, numbers.POST, 0x41, b"\x0d", options(path=("rd",), extra=[(numbers.ECHO, T8)])
    ),
    "614100500e84333434320135": Message(ACK, numbers.CREATED, 0x50, b"\x0e", options(location=("3442", "5"))),
    "40000009": Message(CON, numbers.EMPTY, 9),
    "70000009": Message(RST, numbers.EMPTY, 9),
    "60000009": Message(ACK, numbers.EMPTY, 9),
    "52450022010263ffffff60ff32312e35": Message(
        NON, numbers.CONTENT, 0x22, b"\x01\x02", options(observe=0xFFFFFF, content_format=0), b"21.5"
    ),
    "5245002301026060ff32312e35": Message(
        NON, numbers.CONTENT, 0x23, b"\x01\x02", options(observe=0, content_format=0), b"21.5"
    ),
    "410200600fb264701170ff81a221662f332f302f3902185f": Message(
        CON,
        numbers.POST,
        0x60,
        b"\x0f",
        options(path=("dp",), content_format=112),
        bytes.fromhex("81a221662f332f302f3902185f"),
    ),
    "410300100ab13501300130112ad1020ed2140bb8ff" + "00" * 1024: Message(
        CON,
        numbers.PUT,
        0x10,
        b"\x0a",
        options(
            path=("5", "0", "0"), content_format=42, extra=[(numbers.BLOCK1, b"\x0e"), (numbers.SIZE1, b"\x0b\xb8")]
        ),
        bytes(1024),
    ),
    "615f00100ad10e0c": Message(ACK, numbers.CONTINUE, 0x10, b"\x0a", options(extra=[(numbers.BLOCK1, b"\x0c")])),
    "614400180ad10eb4": Message(ACK, numbers.CHANGED, 0x18, b"\x0a", options(extra=[(numbers.BLOCK1, b"\xb4")])),
}

# datagram: whether its type and message ID are known, so that a Reset is possible
BROKEN: dict[str, bool] = {
    "": False,
    "40": False,
    "400100": False,
    "00010001": False,
    "80010001": False,
    "c0010001": False,
    "49010001" + "00" * 9: True,
    "4f010001" + "00" * 15: True,
    "4101000100ff": True,
    "40010001ff": True,
    "44010001aabb": True,
    "40010001b2aa": True,
    "40010001f0": True,
    "40010001f1aa": True,
    "400100010f": True,
    "40010001d0": True,
    "40010001e0": True,
    "40010001e000": True,
    "400100010d": True,
    "400100010e00": True,
    "40010001bd00aa": True,
    "40010001e0fffee0ffff": True,
    "4000000100": True,
    "41000001aa": True,
    "40200001": True,
    "403f0001": True,
    "40c00001": True,
    "40e10001": True,
}

messages = st.builds(
    Message,
    st.integers(0, 3),
    st.one_of(st.integers(1, 0x1F), st.integers(0x40, 0xBF)),
    st.integers(0, 0xFFFF),
    st.binary(max_size=8),
    st.lists(
        st.tuples(
            st.one_of(st.integers(0, 300), st.integers(0, 0xFFFF)),
            st.one_of(st.binary(max_size=14), st.binary(min_size=260, max_size=300)),
        ),
        max_size=8,
    ).map(lambda found: tuple(sorted(found, key=lambda option: option[0]))),
    st.binary(max_size=40),
)


class VectorTests(SynchronousTestCase):
    """The byte vectors of the reference."""

    def test_decode(self) -> None:
        """Each vector decodes into the message that it stands for."""
        for data, message in VECTORS.items():
            self.assertEqual(decode(bytes.fromhex(data)), message, data)

    def test_encode(self) -> None:
        """Each message encodes into its vector, byte for byte."""
        for data, message in VECTORS.items():
            self.assertEqual(encode(message).hex(), data)

    def test_broken(self) -> None:
        """What is no message raises FormatError, with type and message ID where a Reset may name them."""
        for data, answerable in BROKEN.items():
            with self.assertRaises(FormatError, msg=data) as caught:
                decode(bytes.fromhex(data))
            self.assertEqual(caught.exception.mid == 1 and caught.exception.type == CON, answerable, data)
            self.assertTrue(str(caught.exception))

    def test_every_prefix(self) -> None:
        """A vector cut short anywhere decodes, or raises FormatError, and nothing else."""
        for data in VECTORS:
            raw = bytes.fromhex(data[:200])
            for end in range(len(raw)):
                self.assertTrue(keeps_its_meaning(raw[:end]))


class RoundTripTests(SynchronousTestCase):
    """Everything that decodes encodes to the same meaning."""

    @given(messages)
    def test_messages(self, message: Message) -> None:
        """A message comes back from its datagram."""
        self.assertEqual(decode(encode(message)), message)

    @given(st.binary(max_size=60))
    def test_any_bytes(self, data: bytes) -> None:
        """Any bytes decode to something that encodes to the same meaning, or raise FormatError."""
        self.assertTrue(keeps_its_meaning(data))

    @given(st.sampled_from(sorted(VECTORS)), st.data())
    def test_mutated_vectors(self, vector: str, data: st.DataObject) -> None:
        """A vector with any byte changed decodes to something that encodes, or raises FormatError."""
        raw = bytearray(bytes.fromhex(vector))
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        self.assertTrue(keeps_its_meaning(bytes(raw)))

    @given(st.integers(0, 0xFFFFFFFF))
    def test_uint(self, value: int) -> None:
        """An unsigned integer comes back, from as few bytes as it takes."""
        self.assertEqual(parse_uint(uint(value)), value)
        self.assertFalse(uint(value).startswith(b"\0"))

    @given(st.binary(max_size=60))
    def test_accessors(self, data: bytes) -> None:
        """No accessor raises, whatever the options hold."""
        try:
            message = decode(data)
        except FormatError:
            return
        self.assertIsInstance(message.path + message.query + message.location, tuple)
        for value in (message.content_format, message.accept, message.observe, message.max_age):
            self.assertTrue(value is None or value >= 0)


class AccessorTests(SynchronousTestCase):
    """What the typed accessors make of options."""

    def message(self, found: Options) -> Message:
        """Return a message with these options."""
        return Message(CON, numbers.GET, 1, b"", found)

    def test_values(self) -> None:
        """Each accessor finds its option."""
        message = self.message(
            options(
                path=("rd", "ä"),
                query=("a=1", "b"),
                content_format=40,
                accept=112,
                observe=5,
                max_age=60,
                location=("x",),
            )
        )
        self.assertEqual(message.path, ("rd", "ä"))
        self.assertEqual(message.query, ("a=1", "b"))
        self.assertEqual((message.content_format, message.accept, message.observe), (40, 112, 5))
        self.assertEqual((message.max_age, message.location), (60, ("x",)))
        self.assertEqual(message.get(numbers.URI_PATH), b"rd")
        self.assertEqual(message.all(numbers.URI_PATH), (b"rd", "ä".encode()))

    def test_absent(self) -> None:
        """What is not there is None or empty."""
        message = self.message(())
        self.assertEqual((message.path, message.query, message.location), ((), (), ()))
        self.assertIsNone(message.content_format)
        self.assertIsNone(message.get(numbers.ETAG))

    def test_root(self) -> None:
        """One empty segment is the root; an empty segment among others stays."""
        self.assertEqual(self.message(((11, b""),)).path, ())
        self.assertEqual(self.message(((11, b""), (11, b""))).path, ("", ""))

    def test_leading_zeros(self) -> None:
        """Integers with leading zero bytes are accepted."""
        self.assertEqual(self.message(((numbers.CONTENT_FORMAT, b"\0\x28"),)).content_format, 40)

    def test_wrong_length(self) -> None:
        """An elective integer that is too long is as good as absent."""
        self.assertIsNone(self.message(((numbers.OBSERVE, bytes(4)),)).observe)
        self.assertIsNone(self.message(((numbers.CONTENT_FORMAT, bytes(3)),)).content_format)

    def test_no_percent_decoding(self) -> None:
        """Uri-Path is raw text: a percent sign means itself."""
        self.assertEqual(self.message(((11, b"a%2Fb"),)).path, ("a%2Fb",))

    def test_broken_text(self) -> None:
        """Bytes that are no UTF-8 show as replacement characters."""
        self.assertEqual(self.message(((11, b"\xff"),)).path, ("�",))


class EncoderTests(SynchronousTestCase):
    """What the encoder refuses."""

    def test_illegal(self) -> None:
        """A message that no decoder would take raises ValueError instead of leaving."""
        illegal = (
            Message(CON, numbers.GET, 1, bytes(9)),
            Message(CON, numbers.GET, 65536, b""),
            Message(CON, 256, 1, b""),
            Message(CON, numbers.EMPTY, 1, b"a"),
            Message(CON, numbers.EMPTY, 1, b"", (), b"x"),
            Message(CON, numbers.GET, 1, b"", ((11, b"a"), (3, b"b"))),
            Message(CON, numbers.GET, 1, b"", ((11, bytes(65805)),)),
        )
        for message in illegal:
            with self.assertRaises(ValueError, msg=repr(message)[:80]):
                encode(message)

    def test_builder_sorts(self) -> None:
        """The builder puts options in order and leaves repeated ones in theirs."""
        built = options(query=("z", "a"), path=("b", "a"), extra=[(numbers.URI_HOST, b"h")])
        self.assertEqual(built, ((3, b"h"), (11, b"b"), (11, b"a"), (15, b"z"), (15, b"a")))


def keeps_its_meaning(data: bytes) -> bool:
    """Tell whether `data` decodes to something that encodes to the same meaning, or raises FormatError."""
    try:
        message = decode(data)
    except FormatError:
        return True
    return decode(encode(message)) == message
