"""The command line of the device."""

from __future__ import annotations

import io
import sys

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.device_service import Plan
from lwm2md.device_tap import Options
from lwm2md.net.addresses import Endpoint


def _plan(*arguments: str) -> Plan:
    options = Options()
    options.parseOptions(list(arguments))
    return options.plan


class OptionTests(SynchronousTestCase):
    """What the options become."""

    def test_defaults(self) -> None:
        """Without options a single device speaks to the server on this machine."""
        plan = _plan()
        [one] = plan.groups[0].devices
        self.assertEqual((plan.groups[0].server, one.interval, plan.verbose), (Endpoint("127.0.0.1", 5683), 10.0, True))
        self.assertEqual((one.endpoint, one.lifetime, one.version, one.queue), ("lwm2m-device", 300, "1.1", False))
        self.assertEqual((one.labels, one.prefix), ((), ()))

    def test_everything(self) -> None:
        """Every option finds its place."""
        plan = _plan(
            *("--server", "coap://[::1]:7777/a/b%20c", "--endpoint", "urn:x:1", "--lifetime", "60", "--version", "1.2"),
            *("--queue", "--label", "farm=north", "--label", "row={:03d}", "--interval", "0.5", "--verbose"),
        )
        [one] = plan.groups[0].devices
        self.assertEqual((plan.groups[0].server, one.interval, plan.verbose), (Endpoint("::1", 7777), 0.5, True))
        self.assertEqual((one.endpoint, one.lifetime, one.version, one.queue), ("urn:x:1", 60, "1.2", True))
        self.assertEqual((one.labels, one.prefix), ((("farm", "north"), ("row", "001")), ("a", "b c")))

    def test_fleet(self) -> None:
        """A fleet is named and labelled by number and starts a millisecond apart, or as told."""
        plan = _plan("--fleet", "3", "--label", "row={}")
        self.assertEqual(
            [one.endpoint for one in plan.groups[0].devices], ["sensor-000001", "sensor-000002", "sensor-000003"]
        )
        self.assertEqual([one.labels[0][1] for one in plan.groups[0].devices], ["1", "2", "3"])
        self.assertEqual(plan.groups[0].stagger, 0.003)
        self.assertEqual(_plan("--fleet", "2", "--endpoint-pattern", "d{}", "--stagger", "60").groups[0].stagger, 60.0)

    def test_mistakes(self) -> None:
        """A mistake is one line on standard error that names the option, and status 1."""
        for arguments in (
            "--server http://localhost",
            "--server coap://",
            "--server coap://h?x=1",
            "--server coap://127.0.0.1:99999",
            "--server coap://[::1",
            "--server coap://name.invalid",
            "--endpoint=",
            f"--endpoint={'e' * 256}",
            "--fleet 0",
            "--fleet x",
            "--fleet 2 --endpoint e",
            "--fleet 2 --endpoint-pattern same",
            "--fleet 2 --endpoint-pattern {:q}",
            "--fleet 2 --endpoint-pattern {name}",
            "--fleet 2 --endpoint-pattern {.real.x}",
            "--lifetime 0",
            "--lifetime -5",
            "--version 1.3",
            "--label farm",
            "--label =north",
            "--label lt=5",
            "--label farm={",
            "--stagger -1",
            "--interval 0",
            "--interval nan",
            "--interval soon",
        ):
            errors = io.StringIO()
            self.patch(sys, "stderr", errors)
            error = self.assertRaises(SystemExit, _plan, *arguments.split(" "))
            assert error is not None
            self.assertEqual(error.code, 1)
            self.assertRegex(errors.getvalue(), r"\Alwm2m-device: --[a-z-]+: [^\n]+\n\Z", arguments)
