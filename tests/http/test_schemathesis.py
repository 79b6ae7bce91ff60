"""The API under schemathesis: a real daemon with a real fleet, called with all that the document says and denies."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.daemons import Daemon, start_devices
from tests.peers import schemathesis_cli
from tests.processes import Process
from tests.web import exchange

DEVICES = 8
SECONDS = 20
SEED = 4


class SchemathesisTests(TestCase):
    """Nothing that the OpenAPI document says is untrue."""

    timeout = 240

    async def _call(self, phases: str) -> None:
        daemon = await Daemon.start(self, "coap.ack-timeout=0.3s", "coap.max-retransmit=1")
        stream = await daemon.events("types=device.registered")
        # A device that is forgotten is back with its next Update.
        start_devices(self, daemon.coap, "--fleet", str(DEVICES), "--endpoint-pattern", "st-{:06d}", "--lifetime", "30")
        for _ in range(DEVICES):
            await stream.next("device.registered")
        await stream.close()
        command = schemathesis_cli.command(daemon.url, phases=phases, seconds=SECONDS, seed=SEED)
        run = Process.start(self, command, LWM2MD_TOKEN=daemon.token, PYTHONPATH=str(schemathesis_cli.HERE))
        status = await run.wait(SECONDS * 6)
        self.assertEqual(status, 0, run.output())
        self.assertNotRegex(daemon.process.output(), "Traceback|Unhandled| (error|critical) ")
        _, _, text = await exchange("GET", f"{daemon.url}/metrics", headers={"Authorization": f"Bearer {daemon.token}"})
        self.assertIn(b"lwm2md_http_failures_total 0.0", text)

    async def test_each_operation(self) -> None:
        """Each operation alone, with data that fits and data that does not, answers as the document says."""
        await self._call("coverage,fuzzing")

    async def test_operations_in_a_row(self) -> None:
        """Operations that follow from each other answer as the document says, too."""
        await self._call("stateful")
