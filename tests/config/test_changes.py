"""Tests of lwm2md.config.changes: what a reload makes of other settings."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.config import Settings, load
from lwm2md.config.changes import compare


class CompareTests(SynchronousTestCase):
    """Settings that run, and settings that were found."""

    def test_nothing(self) -> None:
        """The same settings change nothing."""
        reloaded = compare(Settings(), load())
        self.assertEqual((reloaded.changed, reloaded.restart), ((), ()))

    def test_changed_and_restart(self) -> None:
        """What is reloadable is taken, what is not keeps running; both are named, and no value is."""
        found = load(None, ["queue.ttl=1h", "api.admin-token=hunter2", "coap.listen=127.0.0.1:1", "logging.level=warn"])
        reloaded = compare(Settings(), found)
        self.assertEqual(reloaded.changed, ("[queue] ttl", "[logging] level"))
        self.assertEqual(reloaded.restart, ("[coap] listen", "[api] admin-token"))
        self.assertEqual((reloaded.settings.queue.ttl, reloaded.settings.logging.level), (3600.0, "warn"))
        self.assertEqual(reloaded.settings.coap, Settings().coap)
        self.assertIsNone(reloaded.settings.api.admin_token)

    def test_again(self) -> None:
        """What needs a restart is told again, what was taken is not."""
        found = load(None, ["queue.ttl=1h", "coap.listen=127.0.0.1:1"])
        again = compare(compare(Settings(), found).settings, found)
        self.assertEqual((again.changed, again.restart), ((), ("[coap] listen",)))

    def test_back(self) -> None:
        """A key that is gone from the file has its default again."""
        first = compare(Settings(), load(None, ["queue.ttl=1h"])).settings
        self.assertEqual(compare(first, Settings()).settings.queue.ttl, 86400.0)
