"""Tests of `lwm2md.http.backups`: what is refused; the rest is in `tests.torture.test_backup`, with a whole daemon."""

from __future__ import annotations

from tests.http.support import ApiTestCase


class BackupsTests(ApiTestCase):
    """A node whose storage is in memory."""

    async def test_unsupported(self) -> None:
        """A storage that can't be copied is a problem with a code of its own, before anything is sent."""
        await self.refused(501, "backup-unsupported", "POST", "/v1/backup")
        await self.refused(501, "backup-unsupported", "GET", "/v1/restore")
        await self.refused(501, "backup-unsupported", "POST", "/v1/restore", b"x" * 100)
        await self.refused(501, "backup-unsupported", "POST", "/v1/restore", b"x" * 1_000_000)
        seen = await self.call("GET", "/v1/backup")
        self.assertEqual((seen.status, seen.json), (200, {"state": "none", "done": 0, "of": 0, "error": None}))

    async def test_strangers(self) -> None:
        """Without a token nothing is taken."""
        for path in ("/v1/backup", "/v1/restore"):
            self.assertProblem(await self.call("POST", path, b"x" * 100, token="wrong"), 401, "unauthorized")
