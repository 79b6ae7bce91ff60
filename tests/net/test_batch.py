"""Tests of the extension itself: wrong arguments, leaks, and a compiler that has nothing to say."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.net import _batch
from lwm2md.net.addresses import Endpoint, pack, prefix

SOURCE = Path(__file__).parents[2] / "lwm2md/net/_batch.c"
MANY = 1_000_000
PORTION = 64
ANYTHING = st.one_of(
    st.none(),
    st.integers(),
    st.integers(-2, 70),
    st.binary(max_size=50),
    st.text(max_size=5),
    st.floats(),
    st.lists(st.tuples(st.binary(max_size=50), st.binary(max_size=50)), max_size=70),
    st.lists(st.one_of(st.none(), st.tuples(), st.tuples(st.binary(), st.text())), max_size=3),
)


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class ArgumentTests(SynchronousTestCase):
    """Whatever the arguments are, there is an answer or an exception."""

    def setUp(self) -> None:
        """Have a socket that nobody knows."""
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)
        self.socket.bind(("127.0.0.1", 0))
        self.local = Endpoint("127.0.0.1", self.socket.getsockname()[1])
        self.prefix = prefix(self.local)

    def attempt(self, function: Callable[..., Any], *arguments: object) -> None:
        """Call a function; only these exceptions may come out."""
        with contextlib.suppress(TypeError, ValueError, OverflowError, OSError):
            function(*arguments)

    @settings(max_examples=1000, deadline=None)
    @given(st.lists(ANYTHING, max_size=4))
    def test_anything(self, arguments: list[object]) -> None:
        """Anything at all, in any number."""
        for function in (_batch.receive, _batch.send, _batch.errors):
            if not (arguments and isinstance(arguments[0], int) and 0 <= arguments[0] < 70):
                self.attempt(function, *arguments)

    @settings(max_examples=1000, deadline=None)
    @given(ANYTHING, ANYTHING)
    def test_behind_a_real_socket(self, one: object, two: object) -> None:
        """Anything behind a real socket, and behind a right prefix."""
        number = self.socket.fileno()
        for function in (_batch.receive, _batch.send, _batch.errors):
            self.attempt(function, number, one, two)
            self.attempt(function, number, self.prefix, one)
            self.attempt(function, number, self.prefix, two)

    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.tuples(st.binary(max_size=100), st.binary(min_size=13, max_size=41)), max_size=100))
    def test_peers(self, datagrams: list[tuple[bytes, bytes]]) -> None:
        """Peers of any shape are tried or refused; every datagram is counted once."""
        ours = [(data, self.prefix + peer[:6]) for data, peer in datagrams if peer[0] == 127]
        for head in (self.prefix, prefix(Endpoint("0.0.0.0", self.local.port)), prefix(Endpoint("::1", 1))):
            counted = _batch.send(self.socket.fileno(), head, datagrams + ours)
            self.assertEqual(sum(counted[:3]), len(datagrams) + len(ours))

    def test_exceptions(self) -> None:
        """Wrong types, prefixes and numbers are named."""
        number = self.socket.fileno()
        for arguments in ((number, b"", 1), (number, b"\x05" + bytes(6), 1), (number, self.prefix + b"x", 1),
                          (number, self.prefix, 0), (number, self.prefix, 65), (number, self.prefix, -1)):  # fmt: skip
            self.assertRaises(ValueError, _batch.receive, *arguments)
        for datagrams in (
            None,
            5,
            [None],
            [(b"x",)],
            [(b"x", b"y", b"z")],
            [("x", b"y")],
            [(b"x", "y")],
            [[b"x", b""]],
        ):
            self.assertRaises(TypeError, _batch.send, number, self.prefix, datagrams)
        self.assertRaises(ValueError, _batch.send, number, b"", [])
        self.assertRaises(ValueError, _batch.errors, number, b"")

    def test_no_socket(self) -> None:
        """A descriptor that is closed, or no socket, is an OSError."""
        peer = pack(self.local, self.local)
        with open(os.devnull, "rb") as file:
            for number in (-1, 1_000_000, file.fileno()):
                self.assertRaises(OSError, _batch.receive, number, self.prefix, 1)
                self.assertRaises(OSError, _batch.send, number, self.prefix, [(b"x", peer)])
                self.assertRaises(OSError, _batch.errors, number, self.prefix)

    def test_other_sockets(self) -> None:
        """A socket of another family gives nothing that is no peer, and takes nothing."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with here, there:
            there.send(b"x")
            self.assertEqual(_batch.receive(here.fileno(), self.prefix, 9), [])
            self.assertEqual(_batch.send(here.fileno(), self.prefix, [(b"x", pack(self.local, self.local))])[2], 1)
            self.assertEqual(_batch.errors(here.fileno(), self.prefix), [])

    def test_nothing_blocks(self) -> None:
        """Without datagrams the answer is an empty list at once, on a blocking socket too."""
        self.assertEqual(_batch.receive(self.socket.fileno(), self.prefix, 64), [])
        self.assertEqual(_batch.errors(self.socket.fileno(), self.prefix), [])
        self.assertEqual(_batch.send(self.socket.fileno(), self.prefix, ()), (0, 0, 0, False))

    def test_from_a_finalizer(self) -> None:
        """A finalizer that receives while a batch is made does not disturb it."""
        number, peer = self.socket.fileno(), pack(self.local, self.local)
        inner: list[object] = []

        class Cycle:
            """Garbage that only the collector finds."""

            def __init__(self) -> None:
                self.me = self

            def __del__(self) -> None:
                inner.append(_batch.receive(number, prefix(Endpoint("127.0.0.1", 1)), 64))

        datagrams = [(bytes([index]) * 20, peer) for index in range(PORTION)]
        before = gc.get_threshold()
        gc.set_threshold(5)
        try:
            for _ in range(50):
                _batch.send(number, self.prefix, datagrams)
                garbage = [Cycle() for _ in range(3)]
                del garbage
                batch = _batch.receive(number, self.prefix, PORTION)
                self.assertEqual(batch, datagrams[: len(batch)])
                while _batch.receive(number, self.prefix, PORTION):
                    pass
        finally:
            gc.set_threshold(*before)


class LeakTests(SynchronousTestCase):
    """Nothing is left behind."""

    def test_memory_is_flat(self) -> None:
        """A million datagrams there and back, their errors and every kind of exception leave the memory as it was."""
        sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
            one.setsockopt(socket.IPPROTO_IP, 11, 1)
            self.addCleanup(one.close)
        here, there = (Endpoint("127.0.0.1", one.getsockname()[1]) for one in sockets)
        out = [(b"x" * 40, pack(here, there))] * (PORTION - 2) + [(b"x", pack(here, Endpoint("127.0.0.1", 9)))] * 2
        receiver, sender, head = sockets[1].fileno(), sockets[0].fileno(), prefix(there)
        wild = prefix(Endpoint("0.0.0.0", here.port))
        references = [sys.getrefcount(each) for each in (out, out[0], out[0][0], out[0][1], head)]
        base = 0
        for turn in range(MANY // PORTION):
            _batch.send(sender, wild if turn % 2 else prefix(here), out)
            batch = _batch.receive(receiver, head, PORTION)
            _batch.errors(sender, prefix(here))
            _batch.receive(sender, prefix(here), PORTION)
            if not turn % 16:
                self.assertRaises(TypeError, _batch.send, sender, prefix(here), [out[0], None])
                self.assertRaises(OSError, _batch.receive, -1, head, 1)
            if turn == 1000:
                base = resident()
        self.assertGreater(len(batch), PORTION // 2)
        gc.collect()  # what assertRaises has kept
        self.assertEqual(references, [sys.getrefcount(each) for each in (out, out[0], out[0][0], out[0][1], head)])
        self.assertLess(resident() - base, 1_000_000)


class SourceTests(SynchronousTestCase):
    """The source, apart from what it does."""

    def test_no_warnings(self) -> None:
        """The compiler has nothing to say, however much it is asked for."""
        include = sysconfig.get_path("include")
        command = ["cc", "-std=c11", "-Wall", "-Wextra", "-Wshadow", "-Werror", "-O2", "-fsyntax-only", "-fPIC"]
        done = subprocess.run(
            [*command, "-isystem", include, str(SOURCE)], capture_output=True, text=True, timeout=60, check=False
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
