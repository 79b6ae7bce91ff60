"""Tests of lwm2md.coap.numbers."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers


class CodesTests(SynchronousTestCase):
    """Codes as people write them, and their classes."""

    def test_dotted_both_ways(self) -> None:
        """Every code of one byte comes back from its dotted form."""
        for code in range(256):
            self.assertEqual(numbers.parse_dotted(numbers.dotted(code)), code)
        self.assertEqual(numbers.dotted(0x45), "2.05")
        self.assertEqual(numbers.dotted(0x9D), "4.29")

    def test_what_is_no_code(self) -> None:
        """Anything that is not class, dot and two digits up to 31 raises ValueError."""
        for text in ("", "2", "205", "2.5", "2.32", "8.00", "2.055", " 2.05", "2.05\n", "٢.05", "-1.00"):
            with self.assertRaises(ValueError, msg=text):
                numbers.parse_dotted(text)

    def test_classes(self) -> None:
        """Methods are class 0 without Empty, responses the classes 2 to 5, success is class 2."""
        requests = [code for code in range(256) if numbers.is_request(code)]
        self.assertEqual(requests, list(range(1, 0x20)))
        self.assertEqual([c for c in range(256) if numbers.is_response(c)], list(range(0x40, 0xC0)))
        self.assertEqual([c for c in range(256) if numbers.is_success(c)], list(range(0x40, 0x60)))

    def test_names(self) -> None:
        """Registered codes have their name, other responses that of their class, the rest is unknown."""
        self.assertEqual(numbers.code_name(0x45), "Content")
        self.assertEqual(numbers.code_name(0x01), "GET")
        self.assertEqual(numbers.code_name(0x9E), "Client Error")
        self.assertEqual(numbers.code_name(0xE1), "Unknown")
