"""Devices behind a gateway: the Gateway Object, their paths, their observers, and what stays apart."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.interfaces import Response
from lwm2md.coap.numbers import DELETE, FETCH, GET, IPATCH, LINK_FORMAT, POST, PUT, SENML_JSON, TEXT, TLV
from lwm2md.device.objects import GATEWAY, Child, Settings
from lwm2md.lwm2m.paths import Path
from tests.device.harness import Pair

_CHILDREN = (Child("meter-1", "d01"), Child("meter-2", "d02", {Path((3303, 4)): {5750: "Cellar"}}))


def _started(version: str = "1.2") -> Pair:
    pair = Pair(Settings("gw", 300, version, children=_CHILDREN), GATEWAY)
    pair.start()
    return pair


class GatewayObjectTests(SynchronousTestCase):
    """What Object 25 shows."""

    def test_registered(self) -> None:
        """The gateway registers its own Objects, with an Instance of the Gateway Object for each device."""
        payload = _started().registrar.requests[0].payload
        self.assertIn(b"</25>;ver=2.0,</25/0>,</25/1>,", payload)
        self.assertNotIn(b"d01", payload)

    def test_instances(self) -> None:
        """An Instance has the id, the prefix and the Objects of its device, as it would register them."""
        pair = _started()
        self.assertEqual([pair.ask(GET, f"/25/0/{one}").payload for one in (0, 1)], [b"meter-1", b"d01"])
        self.assertEqual(pair.ask(GET, "/25/0/3").payload, b"</3/0>,</3303>;ver=1.1,</3303/0>")
        self.assertEqual(pair.ask(GET, "/25/1/3").payload, b"</3303>;ver=1.1,</3303/4>")
        self.assertEqual(pair.ask(DELETE, "/25/0").code, numbers.METHOD_NOT_ALLOWED)

    def test_in_every_version(self) -> None:
        """The list of Objects can be read in 1.0 and 1.1 too."""
        for version, listed in (("1.0", b"</3/0>,</3303/0>"), ("1.1", b"</3/0>,</3303>;ver=1.1,</3303/0>")):
            self.assertEqual(_started(version).ask(GET, "/25/0/3").payload, listed)

    def test_list_follows_the_device(self) -> None:
        """An Instance that is created behind the gateway is in the list, and its observer is told, but no Update."""
        pair = _started()
        _, seen = pair.observe("/25/0/3")
        self.assertEqual(pair.ask(POST, "/d01/3303").location, ("3303", "1"))
        pair.settle()
        self.assertEqual(seen[-1].payload, b"</3/0>,</3303>;ver=1.1,</3303/0>,</3303/1>")
        self.assertEqual(pair.ask(DELETE, "/d01/3303/1").code, numbers.DELETED)
        pair.settle()
        self.assertEqual(seen[-1].payload, b"</3/0>,</3303>;ver=1.1,</3303/0>")
        self.assertEqual(len(pair.registrar.requests), 1)


class ChildTests(SynchronousTestCase):
    """Operations on a device behind the gateway."""

    def test_every_operation(self) -> None:
        """Read, Write, Execute, Discover and Write-Attributes work below the prefix, and stay there."""
        pair = _started()
        self.assertEqual(pair.ask(GET, "/d01/3/0/2").payload, b"meter-1")
        self.assertEqual(pair.ask(GET, "/3/0/2").payload, b"gw")
        self.assertEqual(pair.ask(GET, "/d02/3/0").code, numbers.NOT_FOUND)
        self.assertEqual(pair.ask(GET, "/d03/3/0").code, numbers.BAD_OPTION)
        self.assertEqual(pair.ask(PUT, "/d01/3/0/15", b"Asia/Tokyo", content_format=TEXT).code, numbers.CHANGED)
        self.assertEqual(pair.ask(GET, "/d01/3/0/15").payload, b"Asia/Tokyo")
        self.assertEqual(pair.ask(GET, "/3/0/15").payload, b"Etc/UTC")
        self.assertEqual(pair.ask(POST, "/d02/3303/4/5605").code, numbers.CHANGED)
        self.assertEqual(pair.ask(PUT, "/d02/3303/4", query=("pmin=7",)).code, numbers.CHANGED)
        self.assertEqual(pair.ask(GET, "/d02/3303/4/5750", accept=LINK_FORMAT).payload, b"</d02/3303/4/5750>;pmin=7")
        self.assertEqual(pair.ask(GET, "/3303/0/5750", accept=LINK_FORMAT).payload, b"</3303/0/5750>")
        self.assertEqual(pair.ask(GET, "/d01/0/0").code, numbers.UNAUTHORIZED)
        self.assertEqual(pair.ask(GET, "/d01/1/0").code, numbers.NOT_FOUND)

    def test_names_have_the_prefix(self) -> None:
        """Formats with names put the prefix before the ids, and read it there."""
        pair = _started()
        answer = pair.ask(GET, "/d02/3303/4/5750", accept=SENML_JSON)
        self.assertEqual(answer.payload, b'[{"bn":"/d02/3303/4/","n":"5750","vs":"Cellar"}]')
        written = b'[{"n":"/d02/3303/4/5750","vs":"Roof"}]'
        self.assertEqual(pair.ask(PUT, "/d02/3303/4/5750", written, content_format=SENML_JSON).code, numbers.CHANGED)
        self.assertEqual(pair.ask(GET, "/d02/3303/4/5750").payload, b"Roof")

    def test_composite(self) -> None:
        """Composite operations name the device in the path and in their names."""
        pair = _started()
        answer = pair.ask(FETCH, "/d02", b'[{"n":"/d02/3303/4/5750"}]', content_format=SENML_JSON)
        self.assertEqual(answer.payload, b'[{"bn":"/d02","n":"/3303/4/5750","vs":"Cellar"}]')
        written = b'[{"n":"/d02/3303/4/5750","vs":"Roof"}]'
        self.assertEqual(pair.ask(IPATCH, "/d02", written, content_format=SENML_JSON).code, numbers.CHANGED)
        self.assertEqual(pair.ask(GET, "/d02/3303/4/5750").payload, b"Roof")

    def test_observed(self) -> None:
        """Values of a device move on their own, and are notified; a deleted Instance ends its observation."""
        pair = _started()
        _, own = pair.observe("/3303/0/5700")
        _, seen = pair.observe("/d01/3303/0/5700")
        pair.advance(35)
        self.assertEqual((len(own), len(seen)), (4, 5))
        self.assertNotEqual([one.payload for one in own], [one.payload for one in seen[:4]])
        pair.ask(DELETE, "/d01/3303/0")
        pair.settle()
        self.assertEqual((seen[-1].code, seen[-1].observe), (numbers.NOT_FOUND, None))
        pair.advance(60)
        self.assertEqual(len(seen), 6)

    def test_restart(self) -> None:
        """A device that reboots forgets attributes and observers, the gateway stays; a factory reset restores it."""
        pair = _started()
        _, seen = pair.observe("/d01/3303/0/5700")
        _, own = pair.observe("/3303/0/5700")
        pair.ask(PUT, "/d01/3/0/15", b"Asia/Tokyo", content_format=TEXT)
        pair.ask(PUT, "/d01/3303", query=("pmin=7",))
        self.assertEqual(pair.ask(POST, "/d01/3/0/4").code, numbers.CHANGED)
        pair.advance(25)
        self.assertEqual((len(seen), len(own)), (1, 3))
        self.assertEqual(pair.ask(GET, "/d01/3303/0", accept=LINK_FORMAT).payload[:12], b"</d01/3303/0")
        self.assertEqual(pair.ask(GET, "/d01/3/0/15").payload, b"Asia/Tokyo")
        pair.ask(POST, "/d01/3303")
        self.assertEqual(pair.ask(POST, "/d01/3/0/5").code, numbers.CHANGED)
        pair.settle()
        self.assertEqual(pair.ask(GET, "/d01/3/0/15").payload, b"Etc/UTC")
        self.assertEqual(pair.ask(GET, "/25/0/3").payload, b"</3/0>,</3303>;ver=1.1,</3303/0>")
        self.assertEqual(len(pair.registrar.requests), 1)

    def test_register_ends_all(self) -> None:
        """A Register of the gateway ends the observations of its devices too, and its version is theirs."""
        pair = _started()
        _, seen = pair.observe("/d01/3303/0/5700")
        pair.registrar.answers[POST] = Response(numbers.NOT_FOUND)
        pair.ask(POST, "/1/0/8")
        pair.settle()
        pair.registrar.answers[POST] = Response(numbers.PRECONDITION_FAILED)
        pair.advance(70)
        pair.registrar.answers.clear()
        pair.advance(140)
        self.assertEqual(len(seen), 1)
        self.assertEqual(pair.ask(GET, "/d01/3303", accept=SENML_JSON).code, numbers.NOT_ACCEPTABLE)
        self.assertEqual(pair.ask(GET, "/d01/3303").content_format, TLV)
        self.assertEqual(pair.errors, [])
