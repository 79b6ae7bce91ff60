"""lwm2mctl against a daemon and a simulated device, all of them processes."""

from __future__ import annotations

import atexit
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.ctl.client import Client, find_token
from lwm2md.ctl.errors import DONE, FAILED, PENDING, USAGE
from tests.ctl.support import Ran, run
from tests.fuzz.daemon import ROOT, Daemon, Device
from tests.fuzz.peers import Device as Scripted
from tests.lwm2m.descriptions import described, file, item
from tests.tracing.test_pcapng import read

ENDPOINT = "dev/1"


class Live(SynchronousTestCase):
    """Every command, once at least."""

    directory: ClassVar[Path]
    daemon: ClassVar[Daemon]
    started: ClassVar[bool] = False

    def setUp(self) -> None:
        """Start the daemon and the device, once for all tests of the class: trial knows no fixtures of classes."""
        if not Live.started:
            Live.started = True
            Live.directory = Path(tempfile.mkdtemp(prefix="lwm2mctl-"))
            atexit.register(shutil.rmtree, Live.directory)
            Live.daemon = Daemon(Live.directory)
            atexit.register(Live.daemon.stop)
            atexit.register(Device(Live.directory, Live.daemon.coap, ENDPOINT).stop)

    def _environment(self) -> dict[str, str]:
        token = str(self.daemon.state / "admin.token")
        return {"LWM2MD_URL": f"http://{self.daemon.api}", "LWM2MD_TOKEN_FILE": token}

    def ctl(self, *words: str, terminal: bool = False) -> Ran:
        """Run a command."""
        return run(self, *words, terminal=terminal, watched=False, **self._environment())

    def done(self, *words: str) -> Any:
        """Run a command that is to succeed, and return its documents, or the only one."""
        ran = self.ctl(*words)
        self.assertEqual((ran.status, ran.err), (DONE, ""), words)
        documents = [json.loads(line) for line in ran.out.splitlines()]
        return documents[0] if len(documents) == 1 else documents

    def shown(self, *words: str) -> str:
        """Run a command that is to succeed on a terminal, and return what it shows."""
        ran = self.ctl(*words, terminal=True)
        self.assertEqual((ran.status, ran.err), (DONE, ""), words)
        return ran.out

    def following(self, *words: str) -> subprocess.Popen[str]:
        """Start a command that goes on, and end it after the test."""
        process = subprocess.Popen(
            [sys.executable, "-m", "lwm2md.ctl", *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env=self._environment(),
        )

        def end() -> None:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=10)
            self.assertEqual(process.returncode, DONE)

        self.addCleanup(end)
        return process

    def test_looking(self) -> None:
        """The daemon, the fleet, a device and its objects are shown, as documents and as tables."""
        self.assertTrue(self.done("status")["ready"])
        self.assertIn("version", self.shown("status"))
        self.assertEqual(self.done("devices")["endpoint"], ENDPOINT)
        self.assertEqual(self.done("devices", "--state", "offline", "--limit", "5"), [])
        head, row = self.shown("devices").splitlines()
        self.assertTrue(head.startswith("ENDPOINT  STATE"), head)
        self.assertTrue(row.startswith("dev/1     online"), row)
        self.assertEqual(self.done("device", ENDPOINT)["endpoint"], ENDPOINT)
        self.assertIn("/3303/0", self.shown("device", ENDPOINT))
        self.assertIn(3303, [each["id"] for each in self.done("objects", ENDPOINT)])
        self.assertIn("Temperature", self.shown("objects", ENDPOINT))

    def test_doctor(self) -> None:
        """The doctor describes the device, and the fleet; a profile by hand is shown with what it says."""
        self.assertEqual(self.done("profile", "slow", "--set", "ack_timeout=15")["source"], "api")
        self.assertEqual(self.done("device", ENDPOINT, "--profile", "slow")["profile"], "slow")
        self.assertEqual(self.done("doctor", ENDPOINT)["device"]["endpoint"], ENDPOINT)
        self.assertIn("ack_timeout 15.0, by hand (slow)", self.shown("doctor", ENDPOINT))
        self.assertIn("devices: online=1", self.shown("doctor"))
        self.assertIsNone(self.done("device", ENDPOINT, "--no-profile")["profile"])

    def test_read_and_write(self) -> None:
        """Values are read and written by the type that they have."""
        self.assertEqual(self.shown("read", ENDPOINT, "/3/0/0"), "lwm2md\n")
        self.assertIn("Manufacturer", self.shown("read", ENDPOINT, "3/0"))
        self.done("write", ENDPOINT, "/3/0/14", "+02:00")
        self.assertEqual(self.done("read", ENDPOINT, "/3/0/14")["values"][0]["value"], "+02:00")
        self.done("write", ENDPOINT, "/3/0", "--partial", "14=-05:00", "/3/0/15=America/Lima")
        self.assertEqual(self.done("read", ENDPOINT, "/3/0/14", "--source", "twin")["values"][0]["value"], "+02:00")
        self.assertEqual(self.done("read", ENDPOINT, "/3/0/15")["values"][0]["value"], "America/Lima")
        self.done("write", ENDPOINT, "/1/0/6", "true")
        self.done("write", ENDPOINT, "/1/0/2", "7")
        self.assertEqual(self.shown("read", ENDPOINT, "/1/0/6"), "yes\n")
        self.assertEqual(self.shown("read", ENDPOINT, "/1/0/2"), "7 s\n")
        self.assertEqual(self.shown("write", ENDPOINT, "/3/0/15", "5"), "write /3/0/15: 2.04\n")

    def test_refused(self) -> None:
        """What the device or the daemon refuses is one line and exit status 1."""
        for words, part in (
            (("read", ENDPOINT, "/9/0"), "has not registered Object Instance /9/0"),
            (("read", ENDPOINT, "/9/0", "--force"), "4.04"),
            (("write", ENDPOINT, "/1/0/2", "much"), "not a decimal number"),
            (("read", "nobody", "/3"), "unknown-device"),
            (("operation", "none"), "unknown-operation"),
            (("unobserve", ENDPOINT, "/4/0"), "unknown-observation"),
            (("devices", "--selector", "!!"), "selector"),
        ):
            ran = self.ctl(*words)
            self.assertEqual((ran.status, ran.err.count("\n")), (FAILED, 1), words)
            self.assertIn(part, ran.err)

    def test_wrong_token(self) -> None:
        """A wrong token is refused."""
        wrong = self.directory / "wrong"
        wrong.write_text("wrong")
        ran = self.ctl("status", "--token-file", str(wrong))
        self.assertEqual((ran.status, "(unauthorized)" in ran.err), (FAILED, True))

    def test_operations(self) -> None:
        """Execute, create, delete, discover and attributes reach the device, and are remembered."""
        self.assertEqual(self.shown("execute", ENDPOINT, "/3303/0/5605"), "execute /3303/0/5605: 2.04\n")
        self.assertIn("/3303/0/5700", self.shown("discover", ENDPOINT, "/3303/0"))
        self.done("attributes", ENDPOINT, "/3303/0/5701", "pmin=1", "pmax=10")
        links = self.done("discover", ENDPOINT, "/3303/0/5701")["result"]["links"]
        self.assertEqual(links[0]["attributes"], {"pmin": "1", "pmax": "10"})
        self.done("attributes", ENDPOINT, "/3303/0/5701", "pmin=", "pmax=")
        refused = self.ctl("create", ENDPOINT, "/3", "--id", "5", "14=x", "--force")
        self.assertEqual((refused.status, "4.05" in refused.err), (FAILED, True), refused)
        operations = self.done("operations", "--endpoint", ENDPOINT, "--state", "done")
        self.assertEqual(operations[0]["state"], "done")
        self.assertEqual(self.done("operation", operations[0]["id"]), operations[0])
        self.assertIn("EXECUTE", self.shown("operations", "--limit", "1000").upper())

    def test_queued(self) -> None:
        """What a device does not answer is queued or sent, with exit status 4, and can be cancelled."""
        silent = Scripted(1, self.daemon.coap, Random(1))
        self.addCleanup(silent.socket.close)
        silent.register()
        select.select([silent.socket], [], [], 10)
        ran = self.ctl("--wait", "0", "execute", silent.endpoint, "/3/0/4")
        self.assertEqual(ran.status, PENDING)
        found = self.done("cancel", json.loads(ran.out)["id"])
        self.assertEqual(found["state"], "cancelled")
        self.done("forget", silent.endpoint)

    def test_observations(self) -> None:
        """A wish is made, listed, watched and ended."""
        made = self.done("observe", ENDPOINT, "/3303/0/5700", "--pmin", "0", "--pmax", "1", "--st", "0.01")
        self.assertEqual((made["state"], made["attributes"]), ("active", {"pmin": 0, "pmax": 1, "st": 0.01}))
        self.assertEqual(self.done("observations", ENDPOINT)["path"], "/3303/0/5700")
        self.assertIn("pmax=1", self.shown("observations"))
        watch = self.following("observe", ENDPOINT, "/3303/0/5700", "--watch", "--pmax", "1")
        assert watch.stdout is not None
        for _ in range(2):
            self.assertEqual(json.loads(watch.stdout.readline())["path"], "/3303/0/5700")
        self.assertIn("no longer", self.shown("unobserve", ENDPOINT, "/3303/0/5700"))
        self.assertEqual(self.done("observations"), [])

    def test_events(self) -> None:
        """Events are replayed and followed."""
        events = self.following(
            "events", "--types", "device.value", "--endpoint", ENDPOINT, "--after", "0000000000000001"
        )
        self.done("read", ENDPOINT, "/3/0/1")
        assert events.stdout is not None
        while True:
            event = json.loads(events.stdout.readline())
            if event["values"][0]["path"] == "/3/0/1":
                break
        self.assertEqual((event["type"], event["source"]), ("device.value", "read"))

    def test_completion(self) -> None:
        """A real bash completes endpoints and paths of the device from the daemon."""
        text = (
            f'lwm2mctl() {{ "{sys.executable}" -m lwm2md.ctl "$@"; }}; source <(lwm2mctl completion bash);'
            ' COMP_WORDS=(lwm2mctl "$@"); COMP_CWORD=$#; _lwm2mctl; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        for words, found in (
            (("read", "de"), [ENDPOINT]),
            (("read", ENDPOINT, "/3303/0/570"), ["/3303/0/5700", "/3303/0/5701"]),
            (("devices", "--state", "on"), ["online"]),
        ):
            command = ["bash", "--norc", "-c", text, "bash", *words]
            environment = {**self._environment(), "PATH": "/usr/bin:/bin"}
            said = subprocess.check_output(command, cwd=ROOT, env=environment, text=True, timeout=30)
            self.assertEqual(said.split(), found)

    def test_watch(self) -> None:
        """A list is shown again and again, a document each time."""
        watch = self.following("device", ENDPOINT, "--watch", "0.05")
        assert watch.stdout is not None
        for _ in range(3):
            self.assertEqual(json.loads(watch.stdout.readline())["endpoint"], ENDPOINT)

    def test_progress(self) -> None:
        """Who waits for a silent device sees it; an interruption leaves the operation, which is then cancelled."""
        silent = Scripted(3, self.daemon.coap, Random(3))
        self.addCleanup(silent.socket.close)
        silent.register()
        select.select([silent.socket], [], [], 10)
        primary, secondary = os.openpty()
        self.addCleanup(os.close, primary)
        command = [sys.executable, "-m", "lwm2md.ctl", "read", silent.endpoint, "/3/0"]
        with subprocess.Popen(
            command, cwd=ROOT, env=self._environment(), stdout=subprocess.PIPE, stderr=secondary
        ) as process:
            os.close(secondary)
            said = b""
            while said.count(b"read /3/0 of") < 2:
                said += os.read(primary, 1000)
            process.send_signal(signal.SIGINT)
            while b"lwm2mctl operation" not in said:
                said += os.read(primary, 1000)
            self.assertEqual(process.wait(10), PENDING)
        identifier = said.decode().split("lwm2mctl operation ")[1].split()[0]
        self.assertEqual(self.done("cancel", identifier)["state"], "cancelled")
        self.done("forget", silent.endpoint)

    def test_telling(self) -> None:
        """Health, metrics, models, the OpenAPI document and one observation are shown."""
        self.assertEqual(self.done("health"), {"live": "ok", "ready": "ready"})
        self.assertIn("lwm2md_devices{", self.shown("metrics"))
        self.assertEqual(self.done("models", "--limit", "1")["name"], "LWM2M Security")
        self.assertIn("/v1/models", self.done("openapi")["paths"])
        made = self.done("observe", ENDPOINT, "/3/0/13")
        self.assertEqual(self.done("observation", ENDPOINT, "/3/0/13")["id"], made["id"])
        self.assertEqual(self.done("observation", made["id"])["path"], "/3/0/13")
        self.assertIn("no longer", self.shown("unobserve", made["id"]))

    def test_models(self) -> None:
        """Object models are listed, shown, put and deleted."""
        door = self.directory / "door.xml"
        door.write_bytes(file(described(item(0, RangeEnumeration="some"))))
        put = self.done("models", "put", str(door))
        self.assertEqual((put["items"][0]["name"], len(put["remarks"])), ("Door", 1))
        shown = self.shown("models", "put", str(door)).splitlines()
        self.assertEqual(shown[0], "32770 1.2 Door")
        self.assertIn("line 4, Object 32770/Item 0/RangeEnumeration", shown[1])
        self.assertEqual(self.done("models", "show", "32770")["source"], "api")
        self.assertEqual(self.done("models", "show", "32770", "1.2")["resources"][0]["name"], "Angle")
        self.assertRegex(self.shown("models", "show", "32770", "1.2"), r"name +Door\n(.*\n)+0 +Angle +R +integer")
        self.assertRegex(self.shown("models", "list", "--limit", "1"), "LWM2M Security .* built-in")
        self.assertEqual(self.ctl("completion", "words", "models", "show", "32770", "").out, "1.2\n")
        self.assertEqual(self.ctl("completion", "words", "models", "delete", "3277").out, "32770\n")
        self.assertEqual(self.done("models", "delete", "32770", "1.2"), [])
        self.assertEqual(self.ctl("models", "show", "32770").status, FAILED)

    def test_models_refused(self) -> None:
        """What is wrong with a file is told with line and element; wrong usage says what is right."""
        wrong = self.directory / "wrong.xml"
        wrong.write_bytes(file(described(item(0, Type="Text"), item("x"))))
        ran = self.ctl("models", "put", str(wrong))
        self.assertEqual((ran.status, ran.err.count("\n")), (FAILED, 1))
        self.assertIn("line 4, Object 32770/Item 0/Type: one of string", ran.err)
        self.assertIn("line 5, Object 32770/Item: an id", ran.err)
        self.assertIn("built-in-model", self.ctl("models", "delete", "3", "1.0").err)
        for words in (
            ("put",),
            ("put", "/nonexistent.xml"),
            ("show",),
            ("show", "1", "2", "3"),
            ("delete", "3"),
            ("list", "3"),
            ("put", str(wrong), "--watch=1"),
            ("take",),
        ):
            self.assertEqual(self.ctl("models", *words).status, USAGE, words)

    def test_messages(self) -> None:
        """The last messages of a device are shown, decoded or in a line each."""
        self.done("read", ENDPOINT, "/3/0/0")
        found = self.done("messages", ENDPOINT, "--limit", "2")
        self.assertEqual([each["direction"] for each in found], ["out", "in"])
        lines = self.shown("messages", ENDPOINT, "--limit", "2").splitlines()
        self.assertRegex(lines[0], r"^\d\d:\d\d:\d\d\.\d{3} 127\.0\.0\.1:\d+ ← CON GET /3/0/0 #\d+ token=")
        self.assertRegex(lines[1], r" → ACK 2\.05 Content #\d+ token=\w+ \[senml-cbor\] [0-9a-f]+$")

    def test_trace(self) -> None:
        """A trace shows messages as they come; when it ends, its file is written and it is removed."""
        file = self.directory / "trace.pcapng"
        trace = self.following("trace", ENDPOINT, "--duration", "60", "--limit", "2", "--pcapng", str(file))
        while not self.done("traces"):
            pass
        self.assertEqual(self.done("traces")["endpoint"], ENDPOINT)
        self.assertIn("running", self.shown("traces"))
        self.done("read", ENDPOINT, "/3/0/1")
        assert trace.stdout is not None
        self.assertIn("GET /3/0/1", json.loads(trace.stdout.readline())["line"])
        self.assertIn("ACK 2.05", json.loads(trace.stdout.readline())["line"])
        self.assertEqual(trace.wait(10), DONE)
        self.assertEqual(len(read(file.read_bytes())), 2)
        self.assertEqual(self.done("traces"), [])

    def test_trace_interrupted(self) -> None:
        """A trace of addresses that is interrupted writes its file too, and is removed."""
        file = self.directory / "interrupted.pcapng"
        trace = self.following("trace", "--address", "127.0.0.0/8", "--pcapng", str(file))
        while not self.done("traces"):
            pass
        self.done("read", ENDPOINT, "/3/0/1")
        assert trace.stdout is not None
        trace.stdout.readline()
        trace.send_signal(signal.SIGINT)
        self.assertEqual(trace.wait(10), DONE)
        self.assertGreaterEqual(len(read(file.read_bytes())), 2)
        self.assertEqual(self.done("traces"), [])

    def test_trace_left_behind(self) -> None:
        """A trace that nobody follows, such as one whose command was killed, is saved and ended by its id."""
        file = self.directory / "left.pcapng"
        where, token = self._environment().values()
        client = Client(where, find_token(token, {}))
        client.request("POST", "/v1/traces", body={"endpoint": ENDPOINT, "duration": 60})
        self.done("read", ENDPOINT, "/3/0/1")
        found = self.done("traces")["id"]
        self.assertEqual(self.done("traces", found)["state"], "running")
        self.assertEqual(self.shown("traces", found, "--pcapng", str(file)), "")
        self.assertGreaterEqual(len(read(file.read_bytes())), 2)
        self.assertEqual(self.shown("traces", found, "--remove"), f"{found} has ended, and is removed\n")
        self.assertEqual(self.done("traces"), [])
        self.assertEqual(self.ctl("traces", "--remove").status, USAGE)
        self.assertEqual(self.ctl("traces", found, "--remove").status, FAILED)

    def test_trace_secrets(self) -> None:
        """A file with secrets is for its owner alone, whatever it was before."""
        file = self.directory / "secret.pcapng"
        file.write_bytes(b"")
        file.chmod(0o644)
        trace = self.following("trace", ENDPOINT, "--limit", "2", "--secrets", "--pcapng", str(file))
        while not self.done("traces"):
            pass
        self.assertTrue(self.done("traces")["secrets"])
        self.done("read", ENDPOINT, "/3/0/1")
        self.assertEqual(trace.wait(10), DONE)
        self.assertEqual((file.stat().st_mode & 0o777, len(read(file.read_bytes()))), (0o600, 2))

    def test_trace_refused(self) -> None:
        """What can't be traced, or written, is told before anything is traced."""
        for words, status in (
            (("trace",), USAGE),
            (("trace", ENDPOINT, "--address", "::1"), USAGE),
            (("trace", ENDPOINT, "--pcapng", "/nonexistent/x"), USAGE),
            (("trace", ENDPOINT, "--secrets"), USAGE),
            (("trace", "--address", "nowhere"), FAILED),
            (("trace", ENDPOINT, "--duration", "0"), FAILED),
        ):
            ran = self.ctl(*words)
            self.assertEqual((ran.status, ran.err.count("\n")), (status, 1), words)
        self.assertEqual(self.done("traces"), [])

    def test_reload(self) -> None:
        """The daemon reads its configuration again."""
        self.assertEqual(self.done("reload"), {"changed": [], "restart": []})
        self.assertEqual(self.shown("reload"), "changed: nothing\n")

    def test_labels(self) -> None:
        """Labels are set and removed, and select."""
        self.assertEqual(self.shown("label", ENDPOINT, "farm=north", "house=7"), "farm=north house=7\n")
        self.assertEqual(self.done("devices", "--selector", "farm=north")["labels"], {"farm": "north", "house": "7"})
        self.assertEqual(self.done("label", ENDPOINT, "house-", "farm-")["labels"], {})

    def test_forget(self) -> None:
        """A device that is forgotten is not known any more."""
        other = Device(self.directory, self.daemon.coap, "other")
        other.stop()
        self.assertEqual(self.shown("forget", "other"), "other is forgotten\n")
        self.assertEqual(self.ctl("device", "other").status, FAILED)
