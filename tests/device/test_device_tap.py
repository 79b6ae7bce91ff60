"""The command line of the device."""

from __future__ import annotations

import io
import sys
from pathlib import Path

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

    def test_who_is_told_how_much(self) -> None:
        """A single device tells every detail, unless it is to be quiet; a fleet does not, unless it is asked to."""
        self.assertTrue(_plan().verbose)
        self.assertFalse(_plan("--quiet").verbose)
        self.assertFalse(_plan("--fleet", "2").verbose)
        self.assertTrue(_plan("--fleet", "2", "--verbose").verbose)

    def _world(self, text: str) -> str:
        file = Path(self.mktemp())
        file.write_text(text, "utf-8")
        return str(file)

    def test_world(self) -> None:
        """A world file gives everything that options give, and more."""
        file = self._world(
            '[device]\nserver = "coap://[::1]:7777/a"\nendpoint = "d-{n:03d}"\nfleet = 2\nstagger = 9\ninterval = 5\n'
            'version = "1.2"\nlifetime = 60\nqueue = true\nlabels = { row = "{n}", name = "{endpoint}" }\n'
            'path = "/lwm2m/x"\nformats = ["tlv", "text"]\nreport-format = "tlv"\nprofile = 2\n'
            'binding = "UT"\n[objects.6.0]\n0 = 1.5\n'
        )
        [group] = _plan("--world", file).groups
        self.assertEqual((group.server, group.stagger), (Endpoint("::1", 7777), 9.0))
        assert group.script is not None and group.script.supported is not None
        self.assertEqual(sorted(group.script.supported), [1, 3, 6])
        first, second = group.devices
        self.assertEqual((first.endpoint, second.endpoint), ("d-001", "d-002"))
        self.assertEqual((first.lifetime, first.version, first.queue, first.interval), (60, "1.2", True, 5.0))
        self.assertEqual(second.labels, (("row", "2"), ("name", "d-002")))
        self.assertEqual((first.prefix, first.root, first.profile), (("a",), ("lwm2m", "x"), 2))
        self.assertEqual(first.binding, "UT")
        self.assertEqual((first.formats, first.content_format), (frozenset({0, 11542}), 11542))

    def test_options_stand_over_the_world(self) -> None:
        """What the command line says counts, whatever the file says."""
        file = self._world(
            '[device]\nserver = "coap://[::1]:7777"\nendpoint = "d-{n}"\nfleet = 2\nstagger = 9\ninterval = 5\n'
            'version = "1.2"\nlifetime = 60\nlabels = { row = "{n}", kind = "a" }\n'
        )
        [group] = _plan(
            *("--world", file, "--server", "coap://127.0.0.1", "--endpoint-pattern", "e{}", "--fleet", "1", "--queue"),
            *("--stagger", "1", "--interval", "3", "--version", "1.0", "--lifetime", "30", "--label", "kind=b{}"),
        ).groups
        [one] = group.devices
        self.assertEqual((group.server, group.stagger), (Endpoint("127.0.0.1", 5683), 1.0))
        self.assertEqual((one.endpoint, one.lifetime, one.version, one.interval), ("e1", 30, "1.0", 3.0))
        self.assertEqual((one.queue, one.labels), (True, (("row", "1"), ("kind", "b1"))))

    def test_several_worlds(self) -> None:
        """Each world file is a kind of devices of its own; what it does not say is as without one."""
        first, second = self._world('[device]\nendpoint = "a{n}"\nfleet = 2\n'), self._world("[behaviour]\ndrop = 2\n")
        groups = _plan("--world", first, "--world", second).groups
        self.assertEqual(
            [[one.endpoint for one in group.devices] for group in groups], [["a1", "a2"], ["lwm2m-device"]]
        )

    def test_mistakes_in_worlds(self) -> None:
        """Every mistake in every file is a line on standard error with its file, and the status is 1."""
        files = (self._world("[device]\nfleet = 0\nx = 1\n"), self._world("[\n"), self.mktemp())
        Path(files[1]).write_bytes(b"\xff\xfe")
        errors = io.StringIO()
        self.patch(sys, "stderr", errors)
        arguments = [word for file in files for word in ("--world", file)]
        error = self.assertRaises(SystemExit, _plan, *arguments)
        assert error is not None
        lines = errors.getvalue().splitlines()
        self.assertEqual((error.code, len(lines)), (1, 4), lines)
        for line, file in zip(lines, (files[0], *files), strict=True):
            self.assertTrue(line.startswith(f"lwm2m-device: {file}: "), line)

    def test_world_and_options_that_contradict(self) -> None:
        """Names that a file would give twice, and an endpoint for a fleet, are refused."""
        same = self._world('[device]\nendpoint = "same"\nfleet = 2\n')
        long = self._world(f'[device]\nendpoint = "{"e" * 300}"\n')
        for arguments in (("--world", same), ("--world", same, "--endpoint", "e"), ("--world", long)):
            errors = io.StringIO()
            self.patch(sys, "stderr", errors)
            self.assertRaises(SystemExit, _plan, *arguments)
            self.assertRegex(errors.getvalue(), r"\Alwm2m-device: --endpoint[a-z-]*: [^\n]+\n\Z")

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
            "--quiet --verbose",
            "--world x --version 9",
        ):
            errors = io.StringIO()
            self.patch(sys, "stderr", errors)
            error = self.assertRaises(SystemExit, _plan, *arguments.split(" "))
            assert error is not None
            self.assertEqual(error.code, 1)
            self.assertRegex(errors.getvalue(), r"\Alwm2m-device: --[a-z-]+: [^\n]+\n\Z", arguments)
