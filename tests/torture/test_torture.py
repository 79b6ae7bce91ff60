"""Thirty kills in every run of the tests, and that the torture notices where promises are not kept."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.processes import directory
from tests.torture.model import Violation
from tests.torture.power import Power
from tests.torture.torture import Torture


class TortureTests(TestCase):
    """A fleet, callers and readers against a daemon that is killed again and again."""

    timeout = 300

    def made(self, seed: int, power: Power | None = None, *, dtls: bool = False) -> Torture:
        """A torture that ends with the test."""
        place = directory(self) if power is None else power.state.parent
        torture = Torture(place, seed, power=power, dtls=dtls)
        self.addCleanup(torture.close)
        return torture

    async def held(self, torture: Torture, kills: int) -> None:
        """Everything that was promised is kept; if not, the seed and what happened last are told."""
        try:
            await torture.run(kills)
        except Violation as violation:
            trail = "\n".join(torture.model.trail)
            self.fail(f"{trail}\nkill {torture.figures.kills}: {violation}")
        self.assertGreaterEqual(torture.figures.kills, kills)
        self.assertGreater(torture.model.checked, 20 * kills)

    async def test_kills(self) -> None:
        """Fifteen kills lose nothing that was acknowledged, and nothing happens twice."""
        await self.held(self.made(1), 15)

    async def test_power_cuts(self) -> None:
        """Nor do fifteen power cuts, on a disk that loses what was not synced."""
        power = Power(directory(self))
        power.faults(delay=0.004)
        torture = self.made(2, power)
        await self.held(torture, 15)
        self.assertGreaterEqual(torture.figures.cuts, 15)

    async def test_secure(self) -> None:
        """Devices that speak DTLS go on in their sessions after kills: no number serves twice, nor is a record."""
        torture = self.made(4, dtls=True)
        assert torture.secure is not None
        await self.held(torture, 4)
        self.assertGreater(torture.secure.records, 20)
        self.assertGreater(torture.secure.replays, 0)

    async def test_notices(self) -> None:
        """On a disk that says that it had synced what it had not, the same torture finds what is lost."""
        power = Power(directory(self))
        power.faults(lies=True)
        torture = self.made(3, power)
        try:
            await torture.run(30)
        except Violation:
            self.assertGreater(torture.figures.lost, 0)
        else:
            self.fail("nothing was missed")
