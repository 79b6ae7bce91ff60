"""Tests of lwm2md.coap.memory and timers: what is kept, for how long, in how much space."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap.memory import Generations, MessageIds, Replies
from lwm2md.coap.observing import Observation


class GenerationsTests(SynchronousTestCase):
    """A mapping that forgets."""

    def test_lives_a_period(self) -> None:
        """An entry lives for at least one period and less than three."""
        memory: Generations[str, int] = Generations(10.0, 100)
        memory.put("a", 1, 0.0)
        memory.put("b", 2, 9.0)
        self.assertEqual((memory.get("a", 10.0), memory.get("b", 18.0)), (1, 2))
        self.assertIsNone(memory.get("b", 29.0))

    def test_silence(self) -> None:
        """After a long silence everything is forgotten at once."""
        memory: Generations[str, int] = Generations(10.0, 100)
        memory.put("a", 1, 0.0)
        self.assertIsNone(memory.get("a", 20.0))

    def test_limit(self) -> None:
        """However many arrive, twice the limit is the most that is kept, and the newest are there."""
        memory: Generations[int, int] = Generations(10.0, 10)
        for number in range(1000):
            memory.put(number, number, 0.0)
            self.assertLessEqual(len(memory), 20)
        self.assertEqual([memory.get(number, 0.0) for number in range(990, 1000)], list(range(990, 1000)))

    def test_pop(self) -> None:
        """Popped is forgotten, in whichever generation it was."""
        memory: Generations[str, int] = Generations(10.0, 1)
        memory.put("a", 1, 0.0)
        memory.put("b", 2, 0.0)
        self.assertEqual((memory.pop("a", 1.0), memory.pop("b", 1.0), memory.pop("c", 1.0)), (1, 2, None))
        self.assertEqual(len(memory), 0)


class MessageIdsTests(SynchronousTestCase):
    """The message IDs of what we send."""

    def setUp(self) -> None:
        self.drawn = 0

    def _number(self) -> int:
        self.drawn += 1
        return 0xFFFE

    def test_one_more(self) -> None:
        """Each peer has a random start and one more each time, modulo 65536, over a period and not for ever."""
        ids = MessageIds(10.0, 100, self._number)
        self.assertEqual([ids.next(b"a", float(now)) for now in (0, 1, 10, 19)], [65534, 65535, 0, 1])
        self.assertEqual((ids.next(b"b", 19.0), self.drawn), (65534, 2))
        self.assertEqual((ids.next(b"a", 60.0), self.drawn), (65534, 3))

    def test_limit(self) -> None:
        """However many peers there are, twice the limit is the most that is kept, and the newest are there."""
        ids = MessageIds(10.0, 10, self._number)
        for number in range(1000):
            ids.next(b"%d" % number, 0.0)
            self.assertLessEqual(len(ids._young) + len(ids._old), 20)
        self.assertEqual([ids.next(b"%d" % number, 0.0) for number in range(990, 1000)], [65535] * 10)


class RepliesTests(SynchronousTestCase):
    """The replies to the last messages of each peer."""

    def test_budget(self) -> None:
        """Whatever sizes replies have, about the budget is kept, and the newest reply is always found."""
        replies = Replies(247.0, 145.0, 100_000, 128)
        for number in range(5000):
            peer, key = b"%d" % (number % 300), b"%05d" % number
            reply = answer(key, bytes(number % 3000))
            replies.store(peer, key, reply, float(number) / 100)
            self.assertEqual(replies.find(peer, key, 60.0), reply)
            if number % 100 == 0:
                kept = [*replies._young.values(), *replies._old.values()]
                self.assertLess(sum(map(len, kept)), 110_000)

    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 60)), max_size=60))
    def test_never_wrong(self, steps: list[tuple[int, int, int]]) -> None:
        """What is found is what was stored last under that very peer and key, and not too old."""
        replies = Replies(247.0, 145.0, 4000, 60)
        now = 0.0
        model: dict[tuple[bytes, bytes], tuple[bytes, float]] = {}
        for who, what, pause in steps:
            now += pause
            peer, key = b"p%d" % who, b"k%d" % what
            found = replies.find(peer, key, now)
            if found is None:
                reply = (b"", answer(key), b"\x60\x00" + key[:2], b"\x70\x00" + key[:2])[what % 4]
                replies.store(peer, key, reply, now)
                model[peer, key] = (reply, now)
            else:
                reply, stored = model[peer, key]
                self.assertEqual(found, reply)
                self.assertLess(now - stored, 247.0 if reply else 145.0)

    def test_payload_that_looks_like_a_key(self) -> None:
        """A reply that holds the bytes of another message's key, and a longer key, are not taken for it."""
        replies = Replies(247.0, 145.0, 4000, 128)
        replies.store(b"p", b"key1", answer(b"key1", b"key2"), 0.0)
        replies.store(b"p", b"key34", b"", 0.0)
        self.assertIsNone(replies.find(b"p", b"key2", 0.0))
        self.assertIsNone(replies.find(b"p", b"key3", 0.0))
        self.assertEqual(replies.find(b"p", b"key1", 0.0), answer(b"key1", b"key2"))

    def test_large_replies(self) -> None:
        """A large reply does not push out the short ones right before it; what is cut off is not found."""
        replies = Replies(247.0, 145.0, 100_000, 64)
        replies.store(b"p", b"large", answer(b"large", bytes(1000)), 0.0)
        replies.store(b"p", b"small", answer(b"small"), 0.0)
        replies.store(b"p", b"other", answer(b"other", bytes(1000)), 0.0)
        self.assertEqual(replies.find(b"p", b"small", 0.0), answer(b"small"))
        self.assertEqual(replies.find(b"p", b"other", 0.0), answer(b"other", bytes(1000)))
        self.assertIsNone(replies.find(b"p", b"large", 0.0))

    def test_old_generation(self) -> None:
        """A peer's replies survive the turn of a generation, and come along when it speaks again."""
        replies = Replies(247.0, 145.0, 4000, 128)
        replies.store(b"p", b"k1", answer(b"k1"), 200.0)
        replies.store(b"q", b"k0", answer(b"k0"), 300.0)
        replies.store(b"q", b"k2", answer(b"k2"), 447.0)
        replies.store(b"p", b"k2", answer(b"k2"), 446.0)
        self.assertEqual(replies.find(b"p", b"k1", 446.0), answer(b"k1"))
        self.assertEqual(replies.find(b"p", b"k2", 446.0), answer(b"k2"))


def answer(key: bytes, body: bytes = b"") -> bytes:
    """The acknowledgement with a response to the message of that message ID and token."""
    return bytes((0x60 | len(key) - 2, 0x44)) + key + body


class ManyTests(SynchronousTestCase):
    """Replies that are remembered together."""

    @given(st.lists(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 8)), max_size=12)))
    def test_same(self, batches: list[list[tuple[int, int, int]]]) -> None:
        """Of many acknowledgements at once is remembered what is remembered of them one after the other."""
        together, alone = (Replies(10.0, 5.0, 2000, 60) for _ in range(2))
        observation = Observation(lambda *_: None, None)
        for turn, batch in enumerate(batches):
            now = turn * 0.7
            receipts = [(bytes((0, mid)) + b"x" * size, bytes((peer,)), observation) for peer, mid, size in batch]
            together.store_acknowledgements(receipts, now)
            for key, peer, _ in receipts:
                alone.store(peer, key, b"\x60\x00" + key[:2], now)
            self.assertEqual((together._young, together._old), (alone._young, alone._old))
            self.assertEqual(together._bytes, alone._bytes)
