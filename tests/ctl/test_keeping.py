"""Tests of lwm2md.ctl.keeping: draining from the command line."""

from __future__ import annotations

import io
from argparse import Namespace

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.ctl import keeping
from lwm2md.ctl.client import Client, Token
from lwm2md.ctl.errors import DONE, PENDING
from lwm2md.ctl.output import Output
from tests.ctl.support import Canned, as_json, run

DRAINING = as_json(b'{"state":"draining","under_way":1}')
DRAINED = as_json(b'{"state":"drained","under_way":0}')


class DrainTests(SynchronousTestCase):
    """The commands against a server that answers as told."""

    def test_at_once(self) -> None:
        """Without --wait it returns when it is begun."""
        server = Canned(self, [DRAINING])
        ran = run(self, "--url", server.url, "drain")
        self.assertEqual((ran.status, ran.out), (DONE, '{"state":"draining","under_way":1}\n'))
        self.assertTrue(server.requests[0].startswith(b"POST /v1/drain "))

    def test_shown(self) -> None:
        """With --show nothing is begun."""
        server = Canned(self, [DRAINING])
        self.assertEqual(run(self, "--url", server.url, "drain", "--show").status, DONE)
        self.assertTrue(server.requests[0].startswith(b"GET /v1/drain "))

    def test_undrain(self) -> None:
        """It is taken back."""
        server = Canned(self, [as_json(b'{"state":"off"}')])
        self.assertEqual(run(self, "--url", server.url, "undrain").status, DONE)
        self.assertTrue(server.requests[0].startswith(b"DELETE /v1/drain "))

    def waited(self, server: Canned, seconds: float) -> int:
        """Drain and wait so long, on a clock of the test's."""
        times = [0.0]

        def sleep(pause: float) -> None:
            times[0] += pause

        options = Namespace(wait=seconds, show=False)
        output = Output(io.StringIO(), True)
        return keeping.drain(options, Client(server.url, Token("t")), output, sleep=sleep, now=lambda: times[0])

    def test_waited(self) -> None:
        """With --wait it returns when it is done, or says by its status that it is not."""
        self.assertEqual(self.waited(Canned(self, [DRAINING, DRAINING, DRAINED]), 10), DONE)
        self.assertEqual(self.waited(Canned(self, [DRAINING, DRAINING, DRAINING]), 0.5), PENDING)
