"""How real devices write values, quirk by quirk: what is taken, what it is taken for, and what is noted.

Each test is made from the datagrams that such a device sends; the numbers are those of the list of quirks that the
project keeps: 8 to 19 are about the contents of answers and notifications.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.rows import ValueRow
from lwm2md.lwm2m.values import ObjectLink
from lwm2md.server.records import Operation
from tests.server.fixtures import START, Bench, peer

SAMPLE = 128


def number(value: int) -> bytes:
    """A Content-Format as the value of its option: as few octets as it takes."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


class ValueTests(SynchronousTestCase):
    """One server, and a registered device that answers with octets."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.device = self.bench.registered("d", 1)

    def read(self, path: str, payload: bytes, formatted: int | None, **fields: object) -> Operation:
        """Read a path; the answer is 2.05 with this payload and Content-Format."""
        operation = self.bench.submit("d", "read", path, **{"force": True, **fields})
        asked = self.device.requests[-1]
        option = b"" if formatted is None else bytes((0xC0 | len(number(formatted)),)) + number(formatted)
        head = bytes((0x60 | len(asked.token), n.CONTENT)) + asked.mid.to_bytes(2, "big") + asked.token
        self.bench.receive(head + option + (b"\xff" + payload if payload else b""), peer(1))
        return operation

    def rows(self, path: str, payload: bytes, formatted: int | None, **fields: object) -> tuple[ValueRow, ...]:
        """What is read."""
        operation = self.read(path, payload, formatted, **fields)
        self.assertEqual((operation.state, operation.error), ("done", None))
        assert operation.result is not None
        return operation.result.values or ()

    def values(self, path: str, payload: bytes, formatted: int | None, **fields: object) -> dict[str, object]:
        """The values that are read, by path."""
        return {row.path: row.value for row in self.rows(path, payload, formatted, **fields)}

    def refused(self, path: str, payload: bytes, formatted: int | None, **fields: object) -> str:
        """What is said of an answer that can't be read; nothing of it becomes known."""
        operation = self.read(path, payload, formatted, **fields)
        self.assertEqual(operation.state, "failed")
        self.assertEqual(self.bench.server.twin_rows("d", Path.parse(path)), ())
        return operation.error or ""

    def kinds(self) -> set[str]:
        """The deviations that are noted."""
        return set(self.bench.server.deviations("d"))

    def test_8(self) -> None:
        """8: the numbers that formats had in drafts are taken for those that they became."""
        json = b'{"bn":"/3/0/","e":[{"n":"0","sv":"x"}]}'
        for formatted, payload, value in ((1541, b"x", "x"), (1542, b"\xc1\x00x", "x"), (1543, json, "x")):
            self.assertEqual(self.values("/3/0/0", payload, formatted), {"/3/0/0": value}, formatted)
        self.assertEqual(self.values("/5/0/0", b"\x00\x01", 1544), {"/5/0/0": b"\x00\x01"})
        self.assertIn("draft-content-format", self.kinds())

    def test_9(self) -> None:
        """9: without a format one Resource is read as what was asked for, else as text; an Object never is guessed."""
        self.assertEqual(self.values("/3/0/9", b"\xc1\x09\x5f", None, format="tlv"), {"/3/0/9": 95})
        self.assertEqual(self.values("/3/0/9", b"95", None, format="tlv"), {"/3/0/9": 95})
        self.assertEqual(self.kinds(), {"no-content-format"})
        self.assertIn("c1095f", self.refused("/5/0", b"\xc1\x09\x5f", None, format="tlv"))

    def test_10(self) -> None:
        """10: text where TLV was asked for is text, and that is noted."""
        self.assertEqual(self.values("/3/0/0", b"\xc8\x00", n.TEXT, format="tlv"), {"/3/0/0": b"\xc8\x00"})
        self.assertEqual(self.values("/3/0/9", b"95", n.TEXT, format="tlv"), {"/3/0/9": 95})
        self.assertIn("other-format", self.kinds())

    def test_11(self) -> None:
        """11: a Resource in an Object Instance is unwrapped; one with another id is refused and not known."""
        self.assertEqual(self.values("/3/0/9", b"\x03\x00\xc1\x09\x5f", n.TLV), {"/3/0/9": 95})
        self.assertEqual(self.kinds(), {"tlv-wrapped"})
        self.assertIn("undecodable", self.refused("/3/0/10", b"\xc1\x09\x5f", n.TLV))
        self.assertIn("undecodable", self.refused("/3/0/11", b"\x03\x01\xc1\x0b\x5f", n.TLV))

    def test_12(self) -> None:
        """12: integers of 1 to 8 octets with their sign; a time in digits is one, other texts are not."""
        for payload, value in (
            (b"\xc1\x0a\xff", -1),
            (b"\xc3\x0a\x01\x00\x00", 65536),
            (b"\xc5\x0a\xff\xff\xff\xff\xfe", -2),
            (b"\xc6\x0a\x00\x00\x00\x00\x01\x00", 256),
            (b"\xc7\x0a\x00\x00\x00\x00\x00\x01\x00", 256),
            (b"\xc8\x0a\x08\x00\x00\x00\x00\x00\x00\x01\x00", 256),
        ):
            self.assertEqual(self.values("/3/0/10", payload, n.TLV), {"/3/0/10": value}, payload)
        self.assertEqual(self.kinds(), {"tlv-odd-integer"})
        self.assertEqual(self.values("/3/0/13", b"\xc8\x0d\x0a1767225600", n.TLV), {"/3/0/13": 1767225600})
        self.assertIn("tlv-time-as-text", self.kinds())
        self.assertIn("undecodable", self.refused("/3/0/9", b"\xc8\x09\x0a1767225600", n.TLV))

    def test_13(self) -> None:
        """13: TLV that ends too soon is refused whole; its beginning is kept as a sample, no longer than it may be."""
        self.assertIn("undecodable", self.refused("/3/0", b"\xc1\x09\x5f\xc8\x00\x50Acme", n.TLV))
        self.refused("/3/0", b"\xc8\x00\xff" + b"x" * 200, n.TLV)
        found = self.bench.server.deviations("d")["undecodable"]
        self.assertEqual((found.count, found.sample), (2, (b"\xc8\x00\xff" + b"x" * 200)[:SAMPLE]))

    def test_14(self) -> None:
        """14: one value answered as several, or as an instance's, is taken by the model, and noted."""
        self.assertEqual(self.values("/3/0/9", b"\x83\x09\x41\x00\x5f", n.TLV), {"/3/0/9": 95})
        self.assertEqual(self.kinds(), {"multiple-for-single"})
        self.assertEqual(self.values("/3/0/6", b"\xc1\x06\x01", n.TLV), {"/3/0/6/0": 1})
        self.assertEqual(self.kinds(), {"multiple-for-single", "single-for-multiple"})

    def test_15(self) -> None:
        """15: links as several records of one Resource are its instances."""
        payload = b"\xc4\x16\x00\x03\x00\x00\xc4\x16\x00\x05\x00\x01"
        found = self.values("/3/0/22", payload, n.TLV)
        self.assertEqual(found, {"/3/0/22/0": ObjectLink(3, 0), "/3/0/22/1": ObjectLink(5, 1)})
        self.assertIn("tlv-repeated-resource", self.kinds())

    def test_16(self) -> None:
        """16: a time in an answer is kept; below 2^28 it counts from the arrival; an absurd one is noted."""
        for time, expected in (
            (b"1767225500", START - 100),
            (b"-30", START - 30),
            (b"0", START),
            (b"20", START + 20),
            (b"268435455", START),
            (b"9999999999", START),
        ):
            payload = b'[{"bn":"/3/0/9","v":95,"t":%s}]' % time
            (row,) = self.rows("/3/0/9", payload, n.SENML_JSON)
            self.assertEqual(row.time, expected, time)
        self.assertEqual(self.bench.server.deviations("d")["absurd-time"].count, 2)

    def test_17(self) -> None:
        """17: a float for an integer, a text or a tagged number for a time, if it is exact; else it is refused."""
        self.assertEqual(self.values("/3/0/9", b'[{"n":"/3/0/9","v":5.0}]', n.SENML_JSON), {"/3/0/9": 5})
        self.assertEqual(self.values("/3/0/9", b"\x81\xa2\x00\x66/3/0/9\x02\xf9\x45\x00", n.SENML_CBOR), {"/3/0/9": 5})
        self.assertIn("float-for-integer", self.kinds())
        self.assertIn("undecodable", self.refused("/3/0/10", b'[{"n":"/3/0/10","v":5.5}]', n.SENML_JSON))
        head = b"\x81\xa2\x00\x67/3/0/13"
        tagged = (b"\x02\xc1\x1a\x69\x55\xb9\x00", b"\x03\x742026-01-01T00:00:00Z")
        for value in tagged:
            self.assertEqual(self.values("/3/0/13", head + value, n.SENML_CBOR), {"/3/0/13": 1767225600}, value)
        self.assertEqual(self.values("/3/0/13", b"\xc1\x1a\x69\x55\xb9\x00", n.CBOR), {"/3/0/13": 1767225600})
        self.assertIn("time-as-text", self.kinds())

    def test_18(self) -> None:
        """18: a name may be split anywhere between base name and name; of LwM2M JSON a missing slash is put."""
        halves = (("/3/0/", "9"), ("/3/0", "/9"), ("/3/", "0/9"), ("/", "3/0/9"))
        for base, name in halves:
            payload = f'[{{"bn":"{base}","n":"{name}","v":7}}]'.encode()
            self.assertEqual(self.values("/3/0/9", payload, n.SENML_JSON, format="senml-json"), {"/3/0/9": 7}, payload)
        for payload in (b'[{"bn":"/3/0/9","v":7}]', b'[{"n":"/3/0/9","v":7}]'):
            self.assertEqual(self.values("/3/0/9", payload, n.SENML_JSON, format="senml-json"), {"/3/0/9": 7}, payload)
        self.assertEqual(self.kinds(), set())
        for base, name in (*halves[:2], ("/3/0/9", ""), ("/3/0", "9")):
            payload = f'{{"bn":"{base}","e":[{{"n":"{name}","v":7}}]}}'.encode()
            self.assertEqual(self.values("/3/0/9", payload, n.JSON, format="json"), {"/3/0/9": 7}, payload)
        self.assertEqual(self.kinds(), {"json-name-without-slash"})

    def test_18_written(self) -> None:
        """18: what is written to a device in LwM2M JSON has a name in each record, never an empty one."""
        self.bench.submit("d", "write", "/3303/0/5750", value="x", format="json", force=True)
        self.assertEqual(self.device.requests[-1].payload, b'{"bn":"/3303/0/","e":[{"n":"5750","sv":"x"}]}')

    def test_19(self) -> None:
        """19: an empty answer without a format to the Read of an Object is an Object without instances."""
        for path in ("/9", "/3303/0"):
            self.assertEqual(self.values(path, b"", None), {})
        self.assertEqual(self.kinds(), {"no-content-format"})

    def test_cheap(self) -> None:
        """A NUL at the end of a string, and words for booleans, are passed over; names in capitals are not."""
        self.assertEqual(self.values("/3/0/0", b"\xc5\x00Acme\x00", n.TLV), {"/3/0/0": "Acme"})
        for word, value in ((b"true", True), (b"false", False)):
            self.assertEqual(self.values("/1/0/6", word, n.TEXT), {"/1/0/6": value})
        self.assertLessEqual({"nul-terminated-string", "odd-boolean"}, self.kinds())
        answer = self.device.request(n.POST, "RD", query=("ep=x",), payload=b"</3/0>", content_format=40)
        assert answer is not None
        self.assertEqual(n.dotted(answer.code), "4.04")
