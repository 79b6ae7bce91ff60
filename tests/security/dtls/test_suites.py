"""The table of cipher suites, compared with OpenSSL's."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.security.dtls.hello import client_hello
from lwm2md.security.dtls.suites import BY_NAME, BY_NUMBER, DEFAULT, SUITES, cipher_list
from tests.security.dtls.pair import Contexts, End


class SuiteTests(SynchronousTestCase):
    """What the table says."""

    def test_mandatory_suites_are_there(self) -> None:
        """LwM2M's mandatory suites are in the table; those with CBC stay in OpenSSL and are off by default."""
        for number, off in ((0xC0A8, False), (0x00AE, True), (0xC0AE, False), (0xC023, True), (0xC037, True)):
            suite = BY_NUMBER[number]
            self.assertEqual((suite.in_openssl, suite not in DEFAULT), (off, off), suite.name)

    def test_the_first_choice(self) -> None:
        """What constrained devices have in hardware is preferred."""
        self.assertEqual(SUITES[0].number, 0xC0A8)

    def test_lengths(self) -> None:
        """Key blocks and overheads are those of the RFCs."""
        for name, block, overhead in (
            ("PSK-AES128-CCM8", 40, 16),
            ("PSK-AES256-CCM", 72, 24),
            ("PSK-AES128-GCM-SHA256", 40, 24),
            ("ECDHE-RSA-AES256-GCM-SHA384", 72, 24),
            ("ECDHE-PSK-CHACHA20-POLY1305", 88, 16),
        ):
            self.assertEqual((BY_NAME[name].block_length, BY_NAME[name].overhead), (block, overhead), name)
        self.assertEqual(BY_NAME["PSK-AES128-CBC-SHA256"].overhead, 0)

    def test_openssl_knows_them_by_name_and_number(self) -> None:
        """OpenSSL offers the number of the table when it is given the name."""
        for suite in SUITES:
            contexts = Contexts(suite.name)
            contexts.client.set_cipher_list(cipher_list([suite]))
            hello = client_hello(End(contexts.client, client=True).step()[0])
            assert hello is not None
            offer = hello.offer()
            assert offer is not None
            self.assertIn(suite.number, offer.suites, suite.name)

    def test_who_proves_what(self) -> None:
        """A pre-shared key proves the peer with and without ECDHE; a certificate does with the others."""
        self.assertEqual({suite.exchange for suite in SUITES if suite.psk}, {"psk", "ecdhe-psk"})
        self.assertEqual({suite.exchange for suite in SUITES if not suite.psk}, {"ecdhe-ecdsa", "ecdhe-rsa"})
