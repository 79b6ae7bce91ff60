"""Tests of `lwm2md.lwm2m.execute`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.lwm2m.execute import Arguments, BadArguments, format_arguments, parse_arguments

CHARACTERS = "".join(map(chr, [0x21, *range(0x23, 0x27), *range(0x28, 0x5C), *range(0x5D, 0x7F)]))


class ExecuteTests(SynchronousTestCase):
    """The grammar of arguments, strictly."""

    def test_examples(self) -> None:
        """The examples of the specification, in both directions."""
        table: dict[bytes, Arguments] = {
            b"": {},
            b"5": {5: None},
            b"2='10.3'": {2: "10.3"},
            b"7,0='https://a.example',2": {7: None, 0: "https://a.example", 2: None},
            b"0='U'": {0: "U"},
            b"0=''": {0: ""},
            b"0='a,b=c',1": {0: "a,b=c", 1: None},
        }
        for payload, arguments in table.items():
            self.assertEqual(arguments, parse_arguments(payload))
            self.assertEqual(payload, format_arguments(arguments))

    def test_refused(self) -> None:
        """Anything else is refused."""
        wrong = b"a", b"10", b"5,", b",5", b"5,,6", b"5 ", b"0=U", b"0='U", b"0='a b'", b"0='a\"b'", b"0='a\\b'", b"0="
        for payload in (*wrong, b"5,5", b"0='a'b", b"\xff", b"0='\xc3\xa9'", b"0='a'1", b"5\n"):
            with self.assertRaises(BadArguments, msg=repr(payload)):
                parse_arguments(payload)

    def test_not_written(self) -> None:
        """What has no form is not written."""
        wrong: list[Arguments] = [{10: None}, {-1: None}, {0: "a b"}, {0: "'"}, {0: "\u00e9"}, {0: "a\n"}]
        for arguments in wrong:
            with self.assertRaises(BadArguments):
                format_arguments(arguments)

    @given(st.dictionaries(st.integers(0, 9), st.none() | st.text(alphabet=CHARACTERS)))
    def test_round_trip(self, arguments: Arguments) -> None:
        """What is written reads back the same."""
        self.assertEqual(arguments, parse_arguments(format_arguments(arguments)))

    @given(st.binary(max_size=20) | st.text(alphabet="0123=',a ").map(str.encode))
    def test_any_payload(self, payload: bytes) -> None:
        """Any payload raises the one error, or is written again as it came."""
        try:
            arguments = parse_arguments(payload)
        except BadArguments:
            return
        self.assertEqual(payload, format_arguments(arguments))
