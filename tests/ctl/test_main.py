"""Commands against answers that are made up, where the daemon and a device would have to be slow or broken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.ctl.errors import DONE, FAILED, PENDING, UNREACHABLE, USAGE
from tests.ctl.support import Canned, Ran, as_json, problem, run

OPERATION = (
    b'{"id": "7", "endpoint": "e", "op": "read", "path": "/3/0", "state": "%b", "created": null, "sent": null,'
    b' "ended": null, "result": %b, "error": %b, "coap_code": %b, "format": null}'
)
ROOT = Path(__file__).resolve().parents[2]


class Usage(SynchronousTestCase):
    """What argparse refuses, and what is refused behind it."""

    def test_wrong(self) -> None:
        """Wrong usage has exit status 2 and says what is wrong."""
        for words in (
            "",
            "nothing",
            "read dev",
            "read dev /x",
            "read dev /3 --source nowhere",
            "write dev /3/0/14",
            "write dev /3/0 5",
            "write dev /3/0 14=5 15",
            "execute dev /3/0/4 x=1",
            "execute dev /3",
            "create dev /3/0 1=2",
            "create dev /3 1=2 --id x",
            "label dev farm",
            "attributes dev /3 pmin",
            "observe dev /3 --pmin x",
            "devices --limit 0",
            "devices --state odd",
            "status --wait -1",
            "status --wait 1e9",
            "--url nonsense status",
            "--token-file /nonexistent/x status",
            "--urL http://127.0.0.1:1 status",
            "write dev /3/0/14 \udc80",
        ):
            ran = run(self, *words.split(), LWM2MD_URL="http://127.0.0.1:1")
            self.assertEqual((ran.status, ran.out), (USAGE, ""), words)
            self.assertNotEqual(ran.err, "", words)

    def test_help(self) -> None:
        """Every command explains itself."""
        shown = run(self, "--help")
        self.assertEqual(shown.status, DONE)
        for command in ("status", "devices", "read", "write", "observe", "events", "forget"):
            self.assertIn(f"    {command} ", shown.out)
            self.assertEqual(run(self, command, "--help").status, DONE)

    def test_not_reachable(self) -> None:
        """A daemon that is not there is one line and exit status 3."""
        ran = run(self, "status", "--url", "http://127.0.0.1:1")
        self.assertEqual(
            ran, Ran(UNREACHABLE, "", "lwm2mctl: http://127.0.0.1:1 is not reachable: Connection refused\n")
        )


class Outcomes(SynchronousTestCase):
    """Exit status and output by what the API answers."""

    def _answered(self, raw: bytes, *words: str, terminal: bool = False) -> Ran:
        return run(self, *words, terminal=terminal, LWM2MD_URL=Canned(self, [raw]).url)

    def _operation(self, state: bytes, error: bytes = b"null", code: bytes = b"null", status: str = "200 OK") -> Ran:
        return self._answered(as_json(OPERATION % (state, b"null", error, code), status), "delete", "e", "/3/0")

    def test_states(self) -> None:
        """Done is 0, failed and cancelled 1, queued, expired and unanswered 4."""
        self.assertEqual(self._operation(b"done").status, DONE)
        self.assertEqual(self._operation(b"queued", status="202 Accepted").status, PENDING)
        self.assertEqual(self._operation(b"sent", status="202 Accepted").status, PENDING)
        self.assertEqual(self._operation(b"expired").status, PENDING)
        self.assertEqual(self._operation(b"failed", b'"no answer"').status, PENDING)
        self.assertEqual(self._operation(b"cancelled").status, FAILED)
        failed = self._operation(b"failed", b'"busy"', b'"5.03"')
        self.assertEqual((failed.status, failed.err), (FAILED, "lwm2mctl: read /3/0 of e: 5.03 busy\n"))
        self.assertIn('"state":"failed"', failed.out)

    def test_queued_read(self) -> None:
        """A read that has to wait shows its operation."""
        raw = as_json(OPERATION % (b"queued", b"null", b"null", b"null"), "202 Accepted")
        ran = self._answered(raw, "read", "e", "/3/0", terminal=True)
        self.assertEqual(ran.status, PENDING)
        self.assertIn("state      queued", ran.out)

    def test_device_refuses(self) -> None:
        """What a device refused is one line, however it says it."""
        raw = problem("502 Bad Gateway", b'{"detail": "4.04\\n\\u001b[2J", "code": "device-error"}')
        ran = self._answered(raw, "read", "e", "/3/0")
        self.assertEqual(ran, Ran(FAILED, "", "lwm2mctl: 4.04\\n\\x1b[2J (device-error)\n"))

    def test_refused_observation(self) -> None:
        """An observation that the device refuses has failed; one that it has not answered is pending."""
        observation = b'{"id": "1", "endpoint": "e", "path": "/3/0", "state": "%b", "error": "no"}'
        for state, status in ((b"refused", FAILED), (b"pending", PENDING), (b"active", DONE)):
            self.assertEqual(self._answered(as_json(observation % state), "observe", "e", "/3/0").status, status)

    def test_created(self) -> None:
        """A terminal shows where the new instance is."""
        raw = as_json(OPERATION % (b"done", b'{"location": "/3303/7"}', b"null", b'"2.01"'), "201 Created")
        server = Canned(self, [raw])
        ran = run(self, "create", "e", "/3303", "--string", "--id", "7", "5700=1", terminal=True, LWM2MD_URL=server.url)
        self.assertEqual((ran.status, ran.out), (DONE, "/3303/7\n"))
        self.assertTrue(server.requests[0].endswith(b'{"values":{"5700":"1"},"id":7}'), server.requests)

    def test_string(self) -> None:
        """--string writes what looks like a pair, or a number, as it is."""
        raw = as_json(OPERATION % (b"done", b"null", b"null", b"null"))
        for text in ("0=1", "5", "true"):
            server = Canned(self, [raw])
            run(self, "write", "e", "/3/0/14", text, "--string", LWM2MD_URL=server.url)
            self.assertTrue(server.requests[0].endswith(b'{"value":"%b"}' % text.encode()), server.requests)

    def test_options_anywhere(self) -> None:
        """Common options stand before or behind the command; --wait and --timeout reach the API."""
        for words in (
            ("--wait", "3", "--timeout", "2", "--json", "delete", "e", "/3/0"),
            ("delete", "e", "--wait", "3", "/3/0", "--timeout", "2", "--json"),
        ):
            server = Canned(self, [as_json(OPERATION % (b"done", b"null", b"null", b"null"))])
            ran = run(self, *words, terminal=True, LWM2MD_URL=server.url)
            self.assertTrue(ran.out.startswith("{"), ran)
            self.assertIn(b"?wait=3&timeout=2 ", server.requests[0])


class Start(SynchronousTestCase):
    """The process itself."""

    def test_light(self) -> None:
        """Nothing of Twisted is imported, nor anything of the daemon but the paths and times."""
        code = (
            "import sys; from lwm2md.ctl.main import main; "
            "print([name for name in sys.modules if name.partition('.')[0] in ('twisted', 'attr', 'zope')"
            " or name.startswith('lwm2md.') and not name.startswith('lwm2md.ctl')])"
        )
        shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        self.assertEqual(shown.stdout, "['lwm2md.lwm2m', 'lwm2md.lwm2m.paths', 'lwm2md.timestamps']\n")

    def test_closed_pipe(self) -> None:
        """Whoever stops reading gets no traceback."""
        server = Canned(self, [as_json(b'{"items": [%b], "next": null}' % b",".join([b'{"endpoint": "e"}'] * 20000))])
        command = [sys.executable, "-m", "lwm2md.ctl", "--url", server.url, "devices"]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            self.assertEqual((process.stderr.read(), process.wait(10)), (b"", DONE))
