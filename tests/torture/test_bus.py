"""The torture with a reader through MQTT."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.processes import directory
from tests.torture.bus import Bus
from tests.torture.model import Violation
from tests.torture.torture import Torture
from tests.web import ServerSentEvent


class BusTests(TestCase):
    """A broker beside the other readers."""

    timeout = 300

    async def test_kills(self) -> None:
        """Ten kills of the daemon lose nothing for a subscriber of the broker, and bring nothing out of order."""
        place = directory(self)
        torture = Torture(place, 4, bus=Bus(place))
        self.addCleanup(torture.close)
        try:
            await torture.run(10)
        except Violation as violation:
            trail = "\n".join(torture.model.trail)
            self.fail(f"{trail}\nkill {torture.figures.kills}: {violation}")
        self.assertGreater(torture.model.checked, 200)

    async def test_notices(self) -> None:
        """What is published in another order, or not at all, is noticed."""
        bus = Bus(directory(self))
        self.addCleanup(bus.close)
        bus.patience = 0.1
        with self.assertRaisesRegex(Violation, "not within"):
            await bus.check([ServerSentEvent("1", "device.registered", {"id": "1"})])
        bus._take("lwm2md/e/registered", '{"id": "2"}')
        bus._take("lwm2md/e/registered", '{"id": "1"}')
        with self.assertRaisesRegex(Violation, "another order"):
            await bus.check([])
