"""What the commands that ask a device send to the API, and what they show of the answer."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.ctl.errors import DONE, FAILED, USAGE
from tests.ctl.support import Canned, Ran, as_json, run

OBJECTS = b'{"items":[{"id":1,"resources":[{"id":1,"type":"integer"},{"id":6,"type":"boolean"}]}]}'
DONE_WITH = (
    b'{"id":"7","endpoint":"e","op":"%b","path":"/","paths":["/3/0/9","/1"],"state":"%b","result":%b,"error":%b,'
    b'"coap_code":"2.05"}'
)
ROW = b'{"path":"%b","value":%b,"type":"integer","name":null,"unit":null,"time":null}'
VALUES = b'{"values":[' + ROW % (b"/3/0/9", b"7") + b"," + ROW % (b"/1/0/1", b"60") + b"]}"
WISH = b'{"id":"w1","endpoint":"e","path":"/","paths":["/3/0/9","/1"],"state":"%b","error":%b}'


class AskingTests(SynchronousTestCase):
    """One command against an API that answers as told."""

    def ask(self, command: str, *answers: bytes, terminal: bool = False) -> tuple[Ran, list[tuple[str, Any]]]:
        """Run a command; what it did, and the requests: method with target, and body."""
        server = Canned(self, answers)
        ran = run(self, *command.split(), terminal=terminal, LWM2MD_URL=server.url)
        asked = []
        for request in server.requests:
            head, _, body = request.partition(b"\r\n\r\n")
            target = head.split(b" HTTP/1.1")[0].decode().replace("wait=0.5&", "").replace("?wait=0.5", "")
            asked.append((target, msgspec.json.decode(body) if body else None))
        return ran, asked

    def test_read_composite(self) -> None:
        """Paths go out as a list, values come back as a table."""
        answer = as_json(DONE_WITH % (b"read-composite", b"done", VALUES, b"null"))
        ran, asked = self.ask("read-composite e /3/0/9 1 / --format senml-json --force", answer, terminal=True)
        body = {"op": "read-composite", "paths": ["/3/0/9", "/1", "/"], "force": True, "format": "senml-json"}
        self.assertEqual(asked, [("POST /v1/devices/e/operations", body)])
        self.assertEqual(ran.status, DONE, ran.err)
        self.assertEqual([line.split()[0] for line in ran.out.splitlines()], ["PATH", "/3/0/9", "/1/0/1"])

    def test_refused(self) -> None:
        """A composite operation that failed is named by its paths."""
        ran, _ = self.ask(
            "read-composite e /3/0/9 /1", as_json(DONE_WITH % (b"read-composite", b"failed", b"null", b'"no"'))
        )
        self.assertEqual(ran.status, FAILED)
        self.assertIn("read-composite /3/0/9 /1 of e: 2.05 no", ran.err)

    def test_write_composite(self) -> None:
        """Values are typed by the models, and null stands for what is to be deleted."""
        answer = as_json(DONE_WITH % (b"write-composite", b"done", b"{}", b"null"))
        ran, asked = self.ask("write-composite e /1/0/1=60 1/0/6=true --delete /2/0/2/1", as_json(OBJECTS), answer)
        body = {"op": "write-composite", "values": {"/1/0/1": "60", "1/0/6": True, "/2/0/2/1": None}}
        self.assertEqual((ran.status, asked[1][1]), (DONE, body))
        self.assertEqual(self.ask("write-composite e")[0].status, USAGE)

    def test_observe_composite(self) -> None:
        """A composite observation is made by POST, and shown; one that is refused is an error."""
        line = "observe-composite e /3/0/9 /1 --format senml-json --pmin 5 --con 1"
        ran, asked = self.ask(line, as_json(WISH % (b"active", b"null")))
        body = {"paths": ["/3/0/9", "/1"], "format": "senml-json", "pmin": 5, "con": 1}
        self.assertEqual((ran.status, asked), (DONE, [("POST /v1/devices/e/observations", body)]))
        ran, _ = self.ask("observe-composite e /3/0/9 /1", as_json(WISH % (b"refused", b'"Not Found"')))
        self.assertEqual((ran.status, ran.err), (FAILED, "lwm2mctl: observe /3/0/9 /1 of e: Not Found\n"))
        self.assertEqual(self.ask("observe-composite e /3/0/9 /1 --gt 5")[0].status, USAGE)

    def test_observe(self) -> None:
        """Every attribute can be given to an observation."""
        _, asked = self.ask(
            "observe e /3/0/9 --epmin 1 --epmax 9 --edge 1 --con 0 --hqmax 5 --force",
            as_json(WISH % (b"active", b"null")),
        )
        body = {"epmin": 1, "epmax": 9, "edge": 1, "con": 0, "hqmax": 5}
        self.assertEqual(asked, [("PUT /v1/devices/e/observations/3/0/9?force=true", body)])

    def test_discover(self) -> None:
        """A depth goes along where it is given."""
        answer = as_json(DONE_WITH % (b"discover", b"done", b'{"links":[]}', b"null"))
        _, asked = self.ask("discover e /3 --depth 0", answer)
        self.assertEqual(asked[0][1], {"op": "discover", "path": "/3", "depth": 0})
        _, asked = self.ask("discover e /3", answer)
        self.assertEqual(asked[0][1], {"op": "discover", "path": "/3"})
        self.assertEqual(self.ask("discover e /3 --depth 4")[0].status, USAGE)

    def test_query(self) -> None:
        """What has a route of its own is forced, and given a format, in the query."""
        answer = as_json(DONE_WITH % (b"write", b"done", b"{}", b"null"))
        for command, target in (
            ("read e /3/0/4 --force --format tlv", "GET /v1/devices/e/resources/3/0/4?force=true&format=tlv"),
            ("write e /3/0/0 x --string --force", "PUT /v1/devices/e/resources/3/0/0?force=true"),
            ("execute e /3/0/0 --force", "POST /v1/devices/e/resources/3/0/0?force=true"),
            ("create e /3 1=x --string --format json", "POST /v1/devices/e/resources/3?format=json"),
            ("delete e /2/0/2/1", "DELETE /v1/devices/e/resources/2/0/2/1"),
        ):
            self.assertEqual(self.ask(command, answer)[1][0][0], target)

    def test_deviations(self) -> None:
        """Deviations are shown as a table."""
        item = b'{"kind":"undecodable","count":3,"first":"a","last":"b","sample":"ff","encoding":"hex"}'
        ran, asked = self.ask("deviations e", as_json(b'{"items":[%b],"next":null}' % item), terminal=True)
        self.assertEqual(asked[0][0].partition("?")[0], "GET /v1/devices/e/deviations")
        self.assertEqual(ran.out.splitlines()[1].split(), ["undecodable", "3", "a", "b", "ff"])
