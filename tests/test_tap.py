"""The daemon's command line, in this process and through twistd itself."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from lwm2md import __version__, tap
from lwm2md.config import Address

ROOT = Path(__file__).resolve().parents[1]
_TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "lwm2md"]


class CommandLine(SynchronousTestCase):
    """``Options``."""

    def setUp(self) -> None:
        self.default = Path(self.mktemp())
        self.patch(tap, "DEFAULT_FILE", str(self.default))
        self.out, self.err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)

    def test_defaults(self) -> None:
        """Without options and without the default file there are the defaults."""
        options = tap.Options()
        options.parseOptions([])
        self.assertEqual((options.settings.files, options.settings.queue.limit), ((), 100))

    def test_default_file(self) -> None:
        """The default file is read where it exists."""
        self.default.write_text("[queue]\nlimit = 7\n", encoding="utf-8")
        options = tap.Options()
        options.parseOptions([])
        self.assertEqual((options.settings.files, options.settings.queue.limit), ((str(self.default),), 7))

    def test_sets(self) -> None:
        """--set may be given again and again."""
        options = tap.Options()
        options.parseOptions(["--set", "queue.limit=7", "--set=coap.listen=[::1]:0"])
        self.assertEqual((options.settings.queue.limit, options.settings.coap.listen), (7, (Address("::1", 0),)))

    def test_reload(self) -> None:
        """The configuration can be read again, wherever the process has gone, with what the command line said."""
        self.default.write_text("[queue]\nlimit = 7\nttl = 1h\n", encoding="utf-8")
        options = tap.Options()
        options.parseOptions(["--set", "queue.ttl=2h"])
        self.default.write_text("[queue]\nlimit = 8\nttl = 3h\n", encoding="utf-8")
        here = os.getcwd()
        self.addCleanup(os.chdir, here)
        os.chdir("/")
        found = options.reload()
        self.assertEqual((found.queue.limit, found.queue.ttl), (8, 7200.0))

    def test_errors(self) -> None:
        """Each error is a line on standard error; the exit status is 1, with and without --check."""
        for check in ([], ["--check"]):
            with self.assertRaises(SystemExit) as caught:
                tap.Options().parseOptions(["--set", "queue.limit=x", "--set", "a.b=c", *check])
            self.assertEqual(caught.exception.code, 1)
        self.assertEqual(len(self.err.getvalue().splitlines()), 4)
        self.assertEqual(self.out.getvalue(), "")

    def test_check(self) -> None:
        """--check of what is right says what was set, then ok; the exit status is 0."""
        with self.assertRaises(SystemExit) as caught:
            tap.Options().parseOptions(["--check", "--set", "api.admin-token=hunter2"])
        self.assertEqual(caught.exception.code, 0)
        self.assertEqual(self.out.getvalue(), "[api] admin-token = *** (--set)\nok\n")

    def test_plugins(self) -> None:
        """Plugins are loaded when the configuration is read: --check, `strict` and a storage need them."""
        place = Path(self.mktemp()).absolute()
        place.mkdir()
        self.default.write_text(f"[plugins]\nenable = tapped\npath = {place.name}\n", encoding="utf-8")
        self.default.rename(place.parent / "x.ini")
        base = ["--config", str(place.parent / "x.ini"), "--set", "plugin:other.x=1"]
        (place / "tapped.py").write_text("API_VERSION = 1\n", encoding="utf-8")
        with self.assertRaises(SystemExit) as caught:
            tap.Options().parseOptions([*base, "--check"])
        self.assertEqual(caught.exception.code, 0)
        said = self.out.getvalue().splitlines()
        self.assertEqual(said[-3:-1], [f"plugin tapped ({place / 'tapped.py'})", "note --set: [plugin:other] has no "
                         "effect, [plugins] enable does not name it"])  # fmt: skip
        (place / "tapped.py").write_text("API_VERSION = 9\n", encoding="utf-8")
        for fatal in (["--check"], ["--set", "plugins.strict=yes"], ["--set", "storage.url=tapped:x"]):
            with self.assertRaises(SystemExit) as caught:
                tap.Options().parseOptions([*base, *fatal])
            self.assertEqual(caught.exception.code, 1)
        self.assertEqual(self.err.getvalue().count("it is for API_VERSION 9"), 2)
        self.assertIn("[storage] url = 'tapped:x'", self.err.getvalue())
        options = tap.Options()
        options.parseOptions(base)
        assert options.loaded is not None
        self.assertEqual(options.loaded.plugins["tapped"].state, "failed")

    def test_version(self) -> None:
        """--version tells ours, not Twisted's."""
        with self.assertRaises(SystemExit) as caught:
            tap.Options().parseOptions(["--version"])
        self.assertEqual((caught.exception.code, self.out.getvalue()), (0, f"lwm2md {__version__}\n"))

    def test_pidfile(self) -> None:
        """Twistd writes no process id of its own accord, but does where the operator asks for it."""
        for named, kept in (("twistd.pid", ""), ("/run/x.pid", "/run/x.pid")):
            parent, options = usage.Options(), tap.Options()
            parent["pidfile"] = named
            options.parent = parent
            options.parseOptions([])
            self.assertEqual(parent["pidfile"], kept)


class Twistd(SynchronousTestCase):
    """The plugin as twistd finds and runs it."""

    def twistd(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        directory = self.mktemp()
        os.mkdir(directory)
        command = [*_TWISTD, *arguments]
        result = subprocess.run(
            command,
            cwd=directory,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual(os.listdir(directory), [])
        return result

    def test_found(self) -> None:
        """Both services are twistd's."""
        names = {maker.tapname for maker in getPlugins(IServiceMaker)}
        self.assertLessEqual({"lwm2md", "lwm2m-device"}, names)

    def test_check(self) -> None:
        """A right configuration is ok, and checking it leaves nothing behind."""
        result = self.twistd("--config", str(ROOT / "etc/lwm2md.ini"), "--check")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(result.stdout.splitlines()[-1], "ok")

    def test_errors(self) -> None:
        """A wrong configuration is told whole, on standard error, without a traceback or help text."""
        path = Path(self.mktemp()).absolute()
        path.write_text("[coap]\nlisten = 0.0.0.0:5683\nlisen = 1\n[coop]\n[queue]\nawake = 93\n", encoding="utf-8")
        for check in ((), ("--check",)):
            result = self.twistd("--config", str(path), "--set", "logging.level=x", *check)
            self.assertEqual((result.returncode, result.stdout), (1, ""))
            lines = result.stderr.splitlines()
            self.assertEqual(len(lines), 5, result.stderr)
            for word, line in zip(
                ("lisen", "[coop]", "did you mean '93s'?", "--set:", "nosec = yes"), lines, strict=True
            ):
                self.assertIn(word, line)
