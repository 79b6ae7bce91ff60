"""Tests of `lwm2md.ctl.managing`: what is asked for, and how a device of ours takes it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.ctl.errors import DONE, FAILED, USAGE
from tests.ctl.support import Canned, Ran, as_json, run
from tests.fuzz.daemon import Daemon, Device

DONE_OPERATION = (
    b'{"id":"1","endpoint":"e","op":"execute","path":"/1/0/8","state":"done","coap_code":"2.04","error":null}'
)


def device(*objects: str) -> bytes:
    """The answer with a device that has these objects."""
    return as_json(json.dumps({"endpoint": "e", "objects": objects}).encode())


class ServerObjectTests(SynchronousTestCase):
    """Which Resource is asked for."""

    def _asked(self, answers: list[bytes], *words: str) -> tuple[Ran, list[str]]:
        server = Canned(self, answers)
        ran = run(self, "--url", server.url, *words)
        return ran, [request.split(b" HTTP", 1)[0].decode() for request in server.requests]

    def test_found(self) -> None:
        """The one instance of the Server Object that the device has is used, and /1/0 where it has listed none."""
        for objects, instance in ((("/1/7", "/3/0"), 7), (("/1/0", "/3/0"), 0), (("/1", "/3/0"), 0), ((), 0)):
            ran, asked = self._asked([device(*objects), as_json(DONE_OPERATION)], "update-trigger", "e")
            self.assertEqual((ran.status, ran.err), (DONE, ""))
            self.assertEqual(asked, ["GET /v1/devices/e", f"POST /v1/devices/e/resources/1/{instance}/8"])

    def test_several(self) -> None:
        """Of several instances the operator says which; without that nothing is asked of the device."""
        ran, asked = self._asked([device("/1/0", "/1/1")], "disable", "e")
        self.assertEqual((ran.status, asked), (USAGE, ["GET /v1/devices/e"]))
        self.assertIn("/1/0, /1/1", ran.err)
        ran, asked = self._asked([as_json(DONE_OPERATION)], "disable", "e", "--instance", "1")
        self.assertEqual((ran.status, asked), (DONE, ["POST /v1/devices/e/resources/1/1/4"]))

    def test_duration(self) -> None:
        """A duration is written first, in seconds; what is none is refused."""
        types = as_json(b'{"items": [{"id": 1, "resources": [{"id": 5, "type": "integer"}]}]}')
        answers = [device("/1/0"), types, as_json(DONE_OPERATION), as_json(DONE_OPERATION)]
        server = Canned(self, answers)
        ran = run(self, "--url", server.url, "disable", "e", "--for", "15m")
        self.assertEqual(ran.status, DONE)
        self.assertTrue(server.requests[2].startswith(b"PUT /v1/devices/e/resources/1/0/5 "), server.requests[2])
        self.assertTrue(server.requests[2].endswith(b'{"value":"900"}'), server.requests[2])
        self.assertTrue(server.requests[3].startswith(b"POST /v1/devices/e/resources/1/0/4 "))
        for word in ("15", "m", "-1s", "1.5h", "15 m", ""):
            self.assertEqual(run(self, "disable", "e", f"--for={word}").status, USAGE, word)

    def test_mute(self) -> None:
        """Mute Send is written, true or false, to the instance of the Server Object."""
        types = as_json(b'{"items": [{"id": 1, "resources": [{"id": 23, "type": "boolean"}]}]}')
        for words, body in (((), b'{"value":true}'), (("--off",), b'{"value":false}')):
            server = Canned(self, [device("/1/7"), types, as_json(DONE_OPERATION)])
            self.assertEqual(run(self, "--url", server.url, "mute", "e", *words).status, DONE)
            self.assertTrue(server.requests[2].startswith(b"PUT /v1/devices/e/resources/1/7/23 "), server.requests[2])
            self.assertTrue(server.requests[2].endswith(body), server.requests[2])


class TemplateTests(SynchronousTestCase):
    """Observation templates out of files."""

    def test_file(self) -> None:
        """What is in the file is put; a file that is not there or no JSON is a mistake in the command line."""
        body = '{"match": {"objects": ["/19/0"]}, "observe": [{"path": "/19/0/0"}]}'
        path = Path(self.mktemp())
        path.write_text(body)
        server = Canned(self, [as_json(json.dumps({"name": "t", **json.loads(body)}).encode())])
        ran = run(self, "--url", server.url, "template", "t", str(path))
        self.assertEqual((ran.status, ran.err), (DONE, ""))
        head, _, sent = server.requests[0].partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"PUT /v1/observation-templates/t "), head)
        self.assertEqual(json.loads(sent), json.loads(body))
        path.write_text("{")
        self.assertEqual(run(self, "template", "t", str(path)).status, USAGE)
        self.assertEqual(run(self, "template", "t", str(path.with_name("missing"))).status, USAGE)


class LiveTests(SynchronousTestCase):
    """A daemon and a device of ours, in processes of their own."""

    def test_live(self) -> None:
        """The trigger causes an Update; a disabled device goes, is waited for, and gets what waited when it is back."""
        directory = Path(self.mktemp()).absolute()
        directory.mkdir(parents=True)
        daemon = Daemon(directory)
        self.addCleanup(daemon.stop)
        simulated = Device(directory, daemon.coap, "dev/1")
        self.addCleanup(simulated.stop)
        token = str(daemon.state / "admin.token")

        def ctl(*words: str) -> Ran:
            return run(self, *words, LWM2MD_URL=f"http://{daemon.api}", LWM2MD_TOKEN_FILE=token)

        def state() -> dict[str, object]:
            found: dict[str, object] = json.loads(ctl("device", "dev/1").out)
            return found

        before = state()
        self.assertEqual((ctl("update-trigger", "dev/1").status, before["state"]), (DONE, "online"))
        self._until(lambda: state()["updated_at"] != before["updated_at"])
        self.assertEqual(ctl("disable", "dev/1", "--for", "2s").status, DONE)
        self._until(lambda: state()["state"] == "offline")
        self.assertEqual(ctl("read", "dev/1", "/3/0/0").status, FAILED)
        self._until(lambda: state()["state"] == "online")
        self.assertEqual(json.loads(ctl("read", "dev/1", "/1/0/5").out)["values"][0]["value"], 2)
        self.assertNotIn("not-responding", ctl("messages", "dev/1").out)

    def _until(self, true: Callable[[], bool]) -> None:
        end = time.monotonic() + 20
        while not true():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)
