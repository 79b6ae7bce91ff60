"""Sessions in storage: what a restart finds, and what it does not."""

from __future__ import annotations

import random
from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.net.driver import Deadlines
from lwm2md.net.keeping import LATER, LIVES, META, TABLE, Keeper
from lwm2md.security.dtls.stored import RESERVE
from lwm2md.security.sealing import Seal
from lwm2md.server.effects import Commit, Resume
from tests.net.dtlsnet import SERVER, Device, Net, SecureServer, device, psk_terms

SECRET = "a secret of the operator's"


class KeepingTest(SynchronousTestCase):
    """A keeper beside a secure port, and a storage that can fail."""

    def setUp(self) -> None:
        """Make both."""
        self.net = Net()
        self.rows: dict[str, bytes] = {}
        self.lives: list[bytes] = []
        self.works = True
        self.holds = False
        self.waiting: list[Resume] = []
        self.server = SecureServer(self.net)
        self.keeper = self._keeper(self.server)
        self.keeper.start()

    def _keeper(self, server: SecureServer, key: str | None = SECRET) -> Keeper:
        seal = Seal(key, random.Random(5).randbytes)
        return Keeper(server.port.associations.sessions, seal, self._submit, self.net.clock, Deadlines(self.net.clock))

    def _submit(self, commits: Sequence[Commit]) -> None:
        for commit in commits:
            for write in commit.writes if self.works else ():
                if write.table == META:
                    self.assertEqual(write.key, LIVES)
                    self.lives.append(write.value or b"")
                    continue
                self.assertEqual(write.table, TABLE)
                if write.value is None:
                    self.rows.pop(write.key, None)
                else:
                    self.rows[write.key] = write.value
            if commit.resume is not None and self.holds:
                self.waiting.append(commit.resume)
            elif commit.resume is not None:
                commit.resume(self.works, self.net.clock.seconds())

    def _device(self, cid: bytes | None = None) -> Device:
        one = device(self.net, psk_terms(cid=cid))
        self.assertEqual(one.say(b"hello"), [b"HELLO"])
        self.keeper.begun(self.server.seen.sessions[-1].peer)
        self.net.run(0.01)
        return one

    def _restart(self, key: str | None = SECRET) -> tuple[SecureServer, list[str]]:
        self.keeper.stop()
        again = SecureServer(self.net, seed=9)
        return again, list(self._keeper(again, key).restore(list(self.rows.items())))

    def test_goes_on(self) -> None:
        """After a restart a device goes on without a handshake, under the same name."""
        for cid in (None, b"", b"\0"):
            self.setUp()
            one = self._device(cid)
            self.net.run(LATER + 1, 0.5)
            again, faults = self._restart()
            self.assertEqual(faults, [])
            self.assertEqual(one.say(b"again"), [b"AGAIN"])
            self.assertEqual(again.heard[0][1], self.server.heard[0][1])
            self.assertEqual(again.port.counters["handshakes_begun"], 0)

    def test_stored_at_once(self) -> None:
        """A session is stored before its device registers, so that a crash behind that loses no device."""
        one = self._device()
        self._restart()
        self.assertEqual(one.say(b"again"), [b"AGAIN"])

    def test_end(self) -> None:
        """A session that has ended is no more in storage."""
        one = self._device()
        one.link.close()
        self.net.run(0.1)
        self.keeper.ended(self.server.seen.over[0][0])
        self.net.run(1, 0.1)
        self.assertEqual(self.rows, {})

    def test_storage_fails(self) -> None:
        """What could not be stored is stored later."""
        one = self._device()
        self.rows.clear()
        self.works = False
        self.net.run(LATER + 1, 0.5)
        self.assertEqual(self.rows, {})
        self.works = True
        one.say(b"hello")
        self.net.run(2 * LATER, 0.5)
        self.assertEqual(len(self.rows), 1)

    def test_killed_again_at_once(self) -> None:
        """Lives that end before anything was stored in them send no number twice under one key."""
        one = self._device(b"")
        self.net.log.clear()
        for life in range(2, 5):
            self.keeper.stop()
            server = SecureServer(self.net, seed=life)
            keeper = self._keeper(server)
            keeper.count(life, stored=True)
            self.assertEqual(list(keeper.restore(list(self.rows.items()))), [])
            self.assertEqual(one.say(b"again"), [b"AGAIN"])
        heads = [data[3:11] for data, sender, _ in self.net.log if sender == SERVER]
        self.assertEqual(len(heads), 3)
        self.assertEqual(len(set(heads)), 3)

    def test_life_that_was_not_counted(self) -> None:
        """A life that could not be counted at the start is with the first rows that can be stored."""
        self.keeper.count(7, stored=False)
        self._device()
        self.assertEqual(self.lives, [b"7"])
        self.net.run(LATER + 1, 0.5)
        self.net.run(LATER + 1, 0.5)
        self.assertEqual(set(self.lives), {b"7"})

    def test_ended_while_it_could_not_be_stored(self) -> None:
        """A session whose row could not be written is not written any more once it has ended."""
        one = self._device()
        self.works = False
        one.say(b"hello")
        held, self.holds = self.holds, True
        self.net.run(LATER + 1, 0.5)
        one.link.close()
        self.net.run(0.1)
        self.keeper.ended(self.server.seen.over[0][0])
        self.works, self.holds = True, held
        self.net.run(1, 0.1)
        self.assertEqual(self.rows, {})
        for resume in self.waiting:
            resume(False, self.net.clock.seconds())
        self.net.run(LATER + 1, 0.5)
        self.assertEqual(self.rows, {})

    def test_never_stored_again(self) -> None:
        """A session that sends too much while nothing can be stored ends; one that is stored in time goes on."""
        one = self._device()
        [session] = self.server.port.associations.sessions.by_peer.values()
        for works, left in ((True, 1), (False, 0)):
            self.works = works
            for _ in range(4):
                one.say(b"hello")
                self.net.run(LATER + 1, 0.5)
                session.sent += RESERVE // 5
            self.assertEqual(len(self.server.port.associations.sessions), left)
        self.assertEqual(self.server.seen.over, [(session.peer, "exhausted")])
        self.keeper.ended(session.peer)
        self.assertEqual(self.keeper._unstored, {})

    def test_restart_amid_a_handshake(self) -> None:
        """A client that has its cookie of a daemon that was started anew shakes hands with the next one."""
        one = device(self.net, psk_terms())
        self.net.fate = lambda data, sender: (0.001,) if sender == SERVER or len(self.net.log) < 2 else ()
        one.say(b"hello", 0.5)
        self.assertEqual(self.server.port.own["cookies_sent"], 1)
        again = SecureServer(self.net, seed=9)
        again.port.cookies.keep(self.server.port.cookies.root)
        self.net.fate = lambda _data, _sender: (0.001,)
        one.say(b"hello", 5.0)
        self.assertEqual(again.port.own["cookies_sent"], 0)
        self.assertEqual(again.port.counters["handshakes_established"], 1)

    def test_other_key(self) -> None:
        """Rows that another key has sealed, or that stand for another session, are left out and told."""
        self._device()
        again, faults = self._restart("another secret of somebody")
        self.assertEqual(len(faults), 1)
        self.assertEqual(len(again.port.associations.sessions), 0)
        [row] = self.rows.values()
        self.rows = {"00" * 8: row}
        _, faults = self._restart()
        self.assertEqual(len(faults), 1)
