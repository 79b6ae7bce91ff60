"""Loading: which file has the last word, what is refused and how it is told."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.config import Address, ConfigError, ConfigErrors, Secret, Settings, load
from lwm2md.config.loader import describe
from lwm2md.config.schema import SECTIONS, settings_of

KEYS = sorted({setting.key for section in SECTIONS.values() for setting in settings_of(section)} | {"x", "Listen"})
VALUES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["yes", "1s", "24h", "64KiB", "7", "0.0.0.0:1", "\n  [::1]:5683", "\n[::1]:1"]),
)
DOCUMENTS = st.lists(
    st.one_of(
        st.sampled_from([f"[{name}]" for name in (*SECTIONS, "DEFAULT", "coop", "::1")]),
        st.tuples(st.sampled_from(KEYS), VALUES).map(" = ".join),
        st.text(max_size=20),
    ),
    max_size=12,
).map("\n".join)


class _Files(SynchronousTestCase):
    """Makes configurations in a directory of the test."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        (self.directory / "conf.d").mkdir(parents=True)

    def write(self, text: str, name: str = "lwm2md.ini") -> str:
        path = self.directory / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    def errors(self, text: str, *sets: str) -> tuple[ConfigError, ...]:
        with self.assertRaises(ConfigErrors) as caught:
            load(self.write(text), sets)
        errors: tuple[ConfigError, ...] = caught.exception.errors
        return errors

    def error(self, text: str, *sets: str) -> ConfigError:
        errors = self.errors(text, *sets)
        self.assertEqual(len(errors), 1, errors)
        return errors[0]


class Loads(_Files):
    """What is right."""

    def test_nothing(self) -> None:
        """Without a file there are the defaults: everything on loopback, SQLite in the state directory."""
        settings = load()
        self.assertEqual(settings, Settings())
        self.assertEqual(settings.coap.listen, (Address("127.0.0.1", 5683),))
        self.assertEqual(settings.api.listen, (Address("127.0.0.1", 8080),))
        self.assertEqual((settings.lwm2md.state, settings.storage.url), ("./lwm2md-state", "sqlite:"))
        self.assertIsNone(settings.api.admin_token)

    def test_values(self) -> None:
        """Each section is an attribute, each key an attribute of it with underscores."""
        settings = load(
            self.write("[coap]\nnosec = yes\nlisten =\n  0.0.0.0:0\n  [::]:0\nack-timeout = 4s\n[queue]\nlimit=7\n")
        )
        self.assertEqual(settings.coap.listen, (Address("0.0.0.0", 0), Address("::", 0)))
        self.assertEqual((settings.coap.ack_timeout, settings.queue.limit), (4.0, 7))

    def test_off(self) -> None:
        """An empty list of addresses is off."""
        self.assertEqual(load(self.write("[coap]\nlisten =\n")).coap.listen, ())

    def test_last_word(self) -> None:
        """The main file, conf.d in the order of names, then the command line; only .ini files count."""
        main = self.write("[lwm2md]\nname = main\nstate = main\n[queue]\nlimit = 1\n[logging]\nlevel = warn\n")
        self.write("[lwm2md]\nname = b\n[queue]\nlimit = 3\n", "conf.d/b.ini")
        self.write("[lwm2md]\nname = a\nstate = a\n", "conf.d/a.ini")
        self.write("[lwm2md]\nname = c\n", "conf.d/c.ini.bak")
        settings = load(main, ["queue.limit=4", "queue.limit=5"])
        names = (settings.lwm2md.name, settings.lwm2md.state, settings.queue.limit, settings.logging.level)
        self.assertEqual(names, ("b", "a", 5, "warn"))
        files = tuple(str(self.directory / name) for name in ("lwm2md.ini", "conf.d/a.ini", "conf.d/b.ini"))
        self.assertEqual(settings.files, files)
        self.assertEqual(settings.origins["lwm2md", "state"], files[1])
        self.assertEqual(settings.origins["queue", "limit"], "--set")

    def test_beyond_loopback(self) -> None:
        """Plain CoAP beyond loopback is served where it is asked for, wherever that is said."""
        self.assertEqual(load(None, ["coap.listen=0.0.0.0:1", "coap.nosec=yes"]).coap.listen, (Address("0.0.0.0", 1),))

    def test_environment_is_not_read(self) -> None:
        """Only a secret that asks for it is read from the environment."""
        self.patch(os, "environ", {"LWM2MD_COAP__NOSEC": "yes", "TOKEN": "hunter2"})
        settings = load(None, ["api.admin-token=env:TOKEN"])
        self.assertFalse(settings.coap.nosec)
        self.assertEqual(settings.api.admin_token, Secret("hunter2"))

    def test_describe(self) -> None:
        """What was set is described with its origin, and secrets are masked, also when settings are printed."""
        path = self.write("[api]\nadmin-token = hunter2\n[queue]\nawake = 60s\n")
        settings = load(path, ["coap.listen=[::1]:1,127.0.0.1:1"])
        self.assertEqual(
            list(describe(settings)),
            [
                f"file {path}",
                "[coap] listen = [::1]:1, 127.0.0.1:1 (--set)",
                f"[queue] awake = 1m ({path})",
                f"[api] admin-token = *** ({path})",
            ],
        )
        self.assertNotIn("hunter2", repr(settings))


class Refuses(_Files):
    """What is wrong, and how it is told."""

    def test_value(self) -> None:
        """A wrong value is told with everything that helps to correct it."""
        error = self.error("[queue]\nawake = 93\n")
        self.assertEqual((error.section, error.key, error.value, error.suggestion), ("queue", "awake", "93", "93s"))
        self.assertEqual(
            str(error),
            f"{self.directory}/lwm2md.ini: [queue] awake = '93': expected a duration like 500ms, 90s, 15m, 24h or 1d,"
            " 1s to 1d; did you mean '93s'?",
        )

    def test_unknown_key(self) -> None:
        """An unknown key gets the nearest known one, also across case and underscores."""
        for key, meant in (("lisen", "listen"), ("ack_timeout", "ack-timeout"), ("NoSec", "nosec"), ("qqq", None)):
            error = self.error(f"[coap]\n{key} = 1\n")
            self.assertEqual(
                (error.problem, error.key, error.value, error.suggestion), ("unknown key", key, "1", meant)
            )

    def test_unknown_section(self) -> None:
        """An unknown section is one error, however much is in it, and gets the nearest known one."""
        error = self.error("[coop]\nlisten = 1\nx = 2\n")
        self.assertEqual((error.problem, error.section, error.suggestion), ("unknown section", "coop", "coap"))
        self.assertEqual(self.error("[plugin:]\n").problem, "unknown section")
        self.assertEqual(self.error("", "storag.url=memory:").suggestion, "storage")

    def test_default_section(self) -> None:
        """[DEFAULT] means nothing here and is refused."""
        self.assertIn("its own section", str(self.error("[DEFAULT]\nlisten = 1\n")))

    def test_all_at_once(self) -> None:
        """Syntax, values, names and the command line are told together, each with its place."""
        self.write("[quue]\n", "conf.d/a.ini")
        errors = self.errors("[coap]\nnosec = x\nnosec = y\nz\n[api]\nlisen = 1\n", "logging.level=dbug", "x")
        self.assertEqual(
            [(Path(error.file).name, error.key or error.section or error.line) for error in errors],
            [
                ("lwm2md.ini", "nosec"),
                ("lwm2md.ini", 4),
                ("--set", None),
                ("lwm2md.ini", "nosec"),
                ("lwm2md.ini", "lisen"),
                ("a.ini", "quue"),
                ("--set", "level"),
            ],
        )

    def test_overridden(self) -> None:
        """What is wrong is told even where a later file overrides it."""
        self.assertEqual(self.error("[queue]\nlimit = x\n", "queue.limit=5").value, "x")

    def test_beyond_loopback(self) -> None:
        """Plain CoAP beyond loopback must be asked for; the fault names the address and the way out."""
        error = self.error("[coap]\nlisten = 127.0.0.1:1, 0.0.0.0:5683\n")
        self.assertEqual((error.key, error.value), ("listen", "0.0.0.0:5683"))
        self.assertIn("nosec = yes", error.expected)

    def test_no_false_alarm(self) -> None:
        """What follows only from a wrong value is not told on top of it."""
        self.assertEqual(self.error("[coap]\nlisten = 0.0.0.0:5683\nnosec = yess\n").suggestion, "yes")

    def test_lifetimes(self) -> None:
        """The default lifetime is between the smallest and the largest, where there is a largest."""
        self.assertEqual(self.error("[registration]\nmin-lifetime = 2d\n").key, "min-lifetime")
        self.assertEqual(self.error("", "registration.max-lifetime=1h").file, "--set")
        self.assertEqual(load(None, ["registration.max-lifetime=0s"]).registration.max_lifetime, 0.0)

    def test_no_file(self) -> None:
        """A file that was named must be there."""
        (error,) = self.assertRaises(ConfigErrors, load, str(self.directory / "other.ini")).errors
        self.assertIn("No such file", error.expected)

    def test_secrets(self) -> None:
        """A secret is in no error: not its own, not that of a misspelt key."""
        for text in ("[api]\nadmin-token = hunter2\n  x\n", "[api]\ntoken = hunter2\n", "[api]\nzzz = hunter2\n"):
            self.assertNotIn("hunter2", str(self.error(text)))
        self.assertIn("LWM2MD_NONE", str(self.error("[api]\nadmin-token = env:LWM2MD_NONE\n")))

    @settings(deadline=None)
    @given(st.one_of(st.text(), DOCUMENTS), st.lists(st.text(), max_size=2))
    def test_anything(self, text: str, sets: list[str]) -> None:
        """Whatever the file and the command line hold, there are settings or errors of one line each."""
        try:
            loaded = load(self.write(text), sets)
        except ConfigErrors as errors:
            self.assertEqual(str(errors).splitlines(), [str(error) for error in errors.errors])
        else:
            self.assertIsInstance(loaded, Settings)
