"""The lines in which a device says what happens."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.interfaces import Response
from lwm2md.coap.message import Message, options
from lwm2md.device.narrating import asked, shown, told

TEXT = options(content_format=numbers.TEXT)
LINKS = options(content_format=numbers.LINK_FORMAT)
TLV = options(content_format=numbers.TLV)


class LineTests(SynchronousTestCase):
    """What each request and notification looks like."""

    def test_requests(self) -> None:
        """A request shows what it asked, where, what it carried, and what was answered."""
        for code, path, given, payload, what, response, expected in (
            (numbers.GET, "3/0/0", (), b"", "read", Response(0x45, b"ACME", TEXT), "Read /3/0/0 → 2.05 text 4 bytes"),
            (
                numbers.GET,
                "3",
                (),
                b"",
                "discovered",
                Response(0x45, b"</3>", LINKS),
                "Discover /3 → 2.05 links 4 bytes",
            ),
            (numbers.PUT, "1/0/1", TEXT, b"60", "written", Response(0x44), "Write /1/0/1 text 2 bytes → 2.04"),
            (numbers.PUT, "3/0", (), b"", "attributes written", Response(0x44), "Write-Attributes /3/0 → 2.04"),
            (numbers.POST, "3/0/4", (), b"0='a'", "executed", Response(0x44), "Execute /3/0/4 5 bytes → 2.04"),
            (
                numbers.GET,
                "3303/0",
                (),
                b"",
                "observed",
                Response(0x45, b"12", TLV),
                "Observe /3303/0 → 2.05 tlv 2 bytes",
            ),
            (numbers.POST, "3303", TLV, b"123", "created", Response(0x41), "Create /3303 tlv 3 bytes → 2.01"),
            (numbers.DELETE, "9/0", (), b"", "refused", Response(0x84, b"no object"), "DELETE /9/0 → 4.04 no object"),
            (numbers.GET, "", (), b"", "refused", Response(0x80), "GET / → 4.00"),
        ):
            extra = options(path=path.split("/") if path else (), extra=given)
            line = asked(Message(numbers.CON, code, 1, b"t", extra, payload), response, what)
            self.assertEqual(line, f"← {expected}")

    def test_notifications(self) -> None:
        """A notification shows its value, or how much it is, or why it was the last."""
        self.assertEqual(told("/3303/0/5700", Response(0x45, b"20.5", TEXT), 20.5), "→ Notify /3303/0/5700 = 20.5")
        self.assertEqual(told("/3303", Response(0x45, b"123", TLV), None), "→ Notify /3303 tlv 3 bytes")
        self.assertEqual(told("/9/0", Response(0x84, b"gone"), None), "→ Notify /9/0 4.04 gone")

    def test_values(self) -> None:
        """A value is short and on one line, whatever it is."""
        self.assertEqual((shown(b"\x01\xff"), shown(True), shown("a\nb")), ("01ff", "true", "a\\nb"))
        self.assertLess(len(shown("x" * 1000)), 70)
