"""How the daemon comes into a real broker, and what others see of whether it is there."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.mqtt.bridges import Bridge, start_daemon
from tests.peers.certificates import Authority, Files
from tests.peers.mosquitto import Mosquitto, write_passwords
from tests.processes import directory

ONLINE = "lwm2m/nodes/lwm2md/online"


class OnlineTests(TestCase):
    """The retained word on whether the daemon is there."""

    timeout = 60

    async def online(self, broker: Mosquitto) -> str:
        """What somebody sees who comes now."""
        listener = await broker.listen(ONLINE)
        await listener.process.await_line(f"^{ONLINE} ")
        ((_, state),) = listener.messages()
        await listener.process.stop()
        return state

    async def test_life_and_death(self) -> None:
        """It is online while it is connected, and offline after a kill and after a stop."""
        for end in ("kill", "stop"):
            broker = await Mosquitto.start(self)
            daemon = await start_daemon(self, broker)
            self.assertEqual(await self.online(broker), "online")
            since = broker.process.mark()
            await (daemon.process.kill() if end == "kill" else daemon.process.stop())
            await broker.process.await_line("lwm2md-lwm2md.*(disconnected|closed)", since=since)
            self.assertEqual(await self.online(broker), "offline")

    async def test_names(self) -> None:
        """Several daemons at one broker have names of their own."""
        broker = await Mosquitto.start(self)
        for name in ("north", "south/2"):
            await start_daemon(self, broker, f"[lwm2md.name={name}")
        listener = await broker.listen("lwm2m/nodes/+/online")
        await listener.process.await_line("^lwm2m/nodes/north/online online")
        await listener.process.await_line("^lwm2m/nodes/south%2F2/online online")
        await broker.process.await_line("as lwm2md-north")


class PasswordTests(TestCase):
    """User and password."""

    timeout = 60

    async def test_right_and_wrong(self) -> None:
        """With the right ones it comes in; with wrong ones the log says why not, without the password."""
        place = directory(self)
        file = write_passwords(place / "passwords", bridge="open sesame")
        broker = await Mosquitto.start(self, f"password_file {file}", "allow_anonymous false")
        secret = place / "secret"
        secret.write_text("open sesame\n", encoding="ascii")
        secret.chmod(0o600)
        await start_daemon(self, broker, "user=bridge", f"password=file:{secret}")
        settings = ("user=bridge", "password=wrong sesame", "client-id=other")
        wrong = await start_daemon(self, broker, *settings, connected=False)
        await wrong.process.await_line("refuses the connection: (Not authorized|Bad user name or password)")
        self.assertNotIn("sesame", wrong.process.output())


class TlsTests(TestCase):
    """TLS with certificates of both ends."""

    timeout = 60

    async def broker(self, server: Files, authority: Authority) -> Mosquitto:
        """A broker that only talks TLS with those who have a certificate."""
        return await Mosquitto.start(
            self,
            f"cafile {authority.certificate}",
            f"certfile {server.certificate}",
            f"keyfile {server.key}",
            "require_certificate true",
            "use_identity_as_username true",
        )

    async def test_certificates(self) -> None:
        """It comes in with its certificate, and only to a broker that it can trust."""
        place = directory(self)
        authority, other = Authority(place), Authority(place, "other")
        mine = authority.give("bridge")
        good = await self.broker(authority.give("broker", "127.0.0.1"), authority)
        good.options = ("--cafile", str(authority.certificate), "--cert", str(mine.certificate), "--key", str(mine.key))
        own = (f"ca={authority.certificate}", f"certificate={mine.certificate}", f"key={mine.key}")
        where = f"[plugin:mqtt.url=mqtts://127.0.0.1:{good.port}"
        bridge = await Bridge.start(self, *own, where, broker=good)
        answer = await bridge.ask("nobody", "GET", "/3")
        self.assertEqual(answer["reason"], "unknown-device")
        await good.process.await_line(r"as lwm2md-lwm2md \(.*u'bridge'")

        foreign = (f"ca={other.certificate}", *own[1:], where)
        untrusting = await start_daemon(self, good, *foreign, connected=False)
        await untrusting.process.await_line("lwm2md.plugin.mqtt: .*certificate verify failed")

        elsewhere = await self.broker(authority.give("elsewhere", "127.0.0.2"), authority)
        where = f"[plugin:mqtt.url=mqtts://127.0.0.1:{elsewhere.port}"
        misled = await start_daemon(self, elsewhere, *own, where, connected=False)
        await misled.process.await_line("lwm2md.plugin.mqtt: .*IPAddressMismatch")

    async def test_files(self) -> None:
        """A file that is not there, or has no certificate, is named, and looked for again."""
        place = directory(self)
        authority = Authority(place)
        broker = await self.broker(authority.give("broker", "127.0.0.1"), authority)
        empty = place / "empty.pem"
        where = f"[plugin:mqtt.url=mqtts://127.0.0.1:{broker.port}"
        daemon = await start_daemon(self, broker, f"ca={empty}", where, connected=False)
        await daemon.process.await_line(f"lwm2md.plugin.mqtt: .*{empty}")
        since = daemon.process.mark()
        empty.write_text("nothing", encoding="ascii")
        await daemon.process.await_line(f"{empty}: no certificate in it", since=since)


class QualityTests(TestCase):
    """Quality of service."""

    timeout = 60

    async def test_qualities(self) -> None:
        """Requests and answers pass with every quality of service, and the broker sees which."""
        for quality in ("0", "1", "2"):
            kinds = ("values", "events", "responses", "requests")
            bridge = await Bridge.start(self, *(f"qos-{kind}={quality}" for kind in kinds))
            for _ in range(3):
                answer = await bridge.ask("nobody", "GET", "/3")
                self.assertEqual(answer["reason"], "unknown-device")
            seen = rf"Received PUBLISH from lwm2md-lwm2md \(d0, q{quality}, r0, .*responses"
            await bridge.broker.process.await_line(seen)


class VersionTests(TestCase):
    """MQTT 3.1.1 and 5."""

    timeout = 60

    async def test_versions(self) -> None:
        """Both are spoken, and the broker says which."""
        for version, shown in (("3.1.1", "p2"), ("5", "p5")):
            broker = await Mosquitto.start(self)
            bridge = await Bridge.start(self, f"protocol={version}", broker=broker)
            answer = await bridge.ask("nobody", "GET", "/3")
            self.assertEqual(answer["reason"], "unknown-device")
            await broker.process.await_line(rf"as lwm2md-lwm2md \({shown}, c1")
            await bridge.daemon.process.stop()
