"""The scripted device of the torture takes for a promise what is one, and nothing else."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import TestCase

from lwm2md.coap.message import Message
from tests.processes import directory
from tests.torture.caller import Callers
from tests.torture.daemon import Daemon, Place
from tests.torture.device import Device
from tests.torture.model import Model

_PATH = "/3303/0/5700"


class _Busy(Device):
    """A device that can be too busy to hear what it is asked."""

    busy = False

    def _obey(self, request: Message) -> None:
        if not self.busy:
            super()._obey(request)


class DeviceTests(TestCase):
    """A device and a daemon that is killed."""

    timeout = 60

    async def begun(self) -> tuple[Daemon, Model, _Busy]:
        """A daemon that serves, and a device of it with its model."""
        daemon = Daemon(directory(self), Place.find())
        self.addCleanup(daemon.close)
        daemon.spawn()
        await daemon.ready()
        model = Model()
        device = _Busy("d", daemon.coap, model, Random(1), sleepy=False)
        self.addCleanup(device.transport.stopListening)
        self.addCleanup(device.abandon)
        return daemon, model, device

    async def test_token_of_another_wish(self) -> None:
        """A notification with the token of a wish that is gone promises nothing, though another wish is there now."""
        daemon, model, device = await self.begun()
        callers = Callers(daemon, {"d": device}, model, Random(1))

        async def observe() -> None:
            where = f"/v1/devices/d/observations{_PATH}?wait=0"
            await callers._change(("wish", "d", _PATH), True, "PUT", where)

        await device.register(900)
        await observe()
        while _PATH not in device.observed:
            await device.update()
        await callers._forget()
        daemon.kill()
        daemon.spawn()
        await daemon.ready()
        await device.register(900)
        device.busy = True
        await observe()
        earlier = device.observed[_PATH]
        await device.notify(_PATH)
        await device.notify(_PATH)
        self.assertNotIn("value", [key[0] for key in model.expected])
        device.busy = False
        while device.observed[_PATH] == earlier:
            await device.update()
        await device.notify(_PATH)
        await device.notify(_PATH)
        self.assertIn(("value", "d", _PATH, device.number), model.expected)

    async def test_beside_another_update(self) -> None:
        """A plain Update leaves a lifetime in doubt that an Update beside it asks for."""
        _, model, device = await self.begun()
        await device.register(900)
        lives = model.cell("lifetime", "d")
        lives.busy = True
        lives.set(900, 1000)
        await device.update()
        model.see(900, "lifetime", "d")
        self.assertEqual((lives.busy, lives.may), (True, {900, 1000}))
