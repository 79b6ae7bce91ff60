"""Keys from secrets: published vectors, and what OpenSSL computes."""

from __future__ import annotations

import hashlib

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.security.dtls.handshake import Reassembly, transcript
from lwm2md.security.dtls.keys import (
    extended_master_secret,
    key_block,
    master_secret,
    prf,
    psk_premaster,
)
from lwm2md.security.dtls.records import HEADER, number, split
from lwm2md.security.dtls.suites import BY_NAME, DEFAULT, Suite
from lwm2md.security.dtls.trial import Agreed
from tests.security.dtls.pair import KEY, Handshake

_FINISHED = 20
CCM_8 = BY_NAME["PSK-AES128-CCM8"]


class VectorTests(SynchronousTestCase):
    """Vectors that others have computed."""

    def test_prf_with_sha256(self) -> None:
        """The PRF gives the vector that is published for P_SHA256."""
        secret = bytes.fromhex("9bbe436ba940f017b17652849a71db35")
        seed = bytes.fromhex("a0ba9f936cda311827a6f796ffd5198c")
        expected = bytes.fromhex(
            "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af"
            "0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701"
            "87347b66"
        )
        self.assertEqual(prf("sha256", secret, b"test label", seed, 100), expected)

    def test_prf_with_sha384(self) -> None:
        """The PRF gives the vector that is published for P_SHA384."""
        secret = bytes.fromhex("b80b733d6ceefcdc71566ea48e5567df")
        seed = bytes.fromhex("cd665cf6a8447dd6ff8b27555edb7465")
        start = bytes.fromhex("7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cd")
        self.assertEqual(prf("sha384", secret, b"test label", seed, 32), start)

    def test_psk(self) -> None:
        """A pre-shared key gives the master secret and the key block of the reference."""
        client, server = b"\x11" * 32, b"\x22" * 32
        master = master_secret(CCM_8, psk_premaster(KEY), client, server)
        self.assertEqual(
            master.hex(),
            "e299e5ac64d54ec36eb9419877d52bff748d3d0a6cc1834a14ae89a724a46f4b7f4593293b6cd006754ce533bd5368df",
        )
        self.assertEqual(
            key_block(CCM_8, master, client, server).hex(),
            "573a922892f1756fd075eedb3e1b08cc18827d14c3a4943a2ba0d027b97641e1f1b37dd9ae7e08f6",
        )

    def test_premaster(self) -> None:
        """The premaster secret is as many zeros as the key has octets, and the key, each with its length."""
        self.assertEqual(psk_premaster(b"abc"), b"\0\3\0\0\0\0\3abc")


class OpenSslTests(SynchronousTestCase):
    """What OpenSSL computes in real handshakes."""

    def test_master_secrets(self) -> None:
        """From the key and what travels in the open come OpenSSL's master secrets, bound to the handshake or not."""
        for suite in DEFAULT:
            for extended in (True, False) if suite.exchange == "psk" else ():
                shake = Handshake(suite, extended=extended)
                shake.shake()
                _, master, client, server = shake.server.keys()
                if extended:
                    found = extended_master_secret(suite, psk_premaster(KEY), _bound(shake))
                else:
                    found = master_secret(suite, psk_premaster(KEY), client, server)
                self.assertEqual(found, master, (suite.name, extended))

    def test_finished(self) -> None:
        """What the two Finished hold is what OpenSSL sent."""
        for suite in (CCM_8, BY_NAME["PSK-AES256-GCM-SHA384"]):
            shake = Handshake(suite)
            shake.shake()
            master = shake.server.keys()[1]
            messages = _bound(shake)
            data = shake.client.connection.get_finished()
            self.assertEqual(_verify_data(suite, master, b"client finished", messages), data)
            assert data is not None
            # Type, length, message sequence 3 (its hello was 1, its key exchange 2), offset and length again.
            messages += bytes((_FINISHED,)) + b"\0\0\x0c\0\3\0\0\0\0\0\x0c" + data
            answer = shake.server.connection.get_finished()
            self.assertEqual(_verify_data(suite, master, b"server finished", messages), answer)


def _verify_data(suite: Suite, master: bytes, label: bytes, messages: bytes) -> bytes:
    """What a Finished holds (RFC 5246 section 7.4.9); ``messages`` are all that came before it."""
    return prf(suite.hash, master, label, hashlib.new(suite.hash, messages).digest(), 12)


class TrialTests(SynchronousTestCase):
    """Which of two keys a peer has."""

    def test_the_key_that_fits(self) -> None:
        """The right key is found by the Finished with every suite of a plain key, whatever was agreed on."""
        for suite in DEFAULT:
            for extended in (True, False) if suite.exchange == "psk" else ():
                for cid in (b"", b"SERVERID"):
                    shake = Handshake(suite, extended=extended, own_cid=cid)
                    shake.shake()
                    _, _, client, server = shake.server.keys()
                    agreed = Agreed(suite, client, server, _bound(shake) if extended else None)
                    finished = _finished(shake)
                    for keys, expected in (([b"old", KEY], 1), ([KEY, b"old"], 0), ([b"a", b"b"], None), ([], None)):
                        self.assertEqual(agreed.fitting(keys, finished), expected, suite.name)

    def test_any_other_record_fits_nothing(self) -> None:
        """A record that was changed, or is too short, is opened by no key."""
        shake = Handshake(CCM_8)
        shake.shake()
        _, _, client, server = shake.server.keys()
        agreed = Agreed(CCM_8, client, server, _bound(shake))
        finished = _finished(shake)
        for record in (finished[:-1] + bytes((finished[-1] ^ 1,)), finished[:HEADER], finished[: HEADER + 15]):
            self.assertIsNone(agreed.fitting([KEY], record))


def _bound(shake: Handshake) -> bytes:
    client, server = Reassembly(), Reassembly()
    for datagram, from_client in shake.flights:
        (client if from_client else server).add(datagram)
    found = transcript(client, server)
    assert found is not None
    return found


def _finished(shake: Handshake) -> bytes:
    for datagram, from_client in shake.flights:
        for record in split(datagram)[0]:
            if from_client and number(record) >> 48 == 1:
                return record
    raise AssertionError("no Finished")
