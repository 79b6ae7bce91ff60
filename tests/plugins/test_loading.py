"""Tests of lwm2md.plugins.loading and settings: what is found, what is refused, and in which words."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from lwm2md.config import load
from lwm2md.config.errors import ConfigErrors
from lwm2md.plugins import loading
from lwm2md.plugins.loading import Loader, describe
from tests.plugins.bed import Bed


class LoadTests(Bed):
    """One plugin that is loaded, or is not."""

    refused: ClassVar[dict[str, tuple[str, str]]] = {
        "syntax": ("def", "it can't be imported: SyntaxError: invalid syntax"),
        "importing": ("import nothing_of_this_name", "it can't be imported: ModuleNotFoundError: No module named"),
        "raising": ("raise ValueError('at import')", "it can't be imported: ValueError: at import"),
        "leaving": ("raise SystemExit(1)", "it can't be imported: SystemExit: 1"),
        "older": (
            "API_VERSION = 0",
            "it is for API_VERSION 0, this daemon has 1: it takes a newer version of",
        ),
        "newer": ("API_VERSION = 2", "it is for API_VERSION 2, this daemon has 1: it takes a newer lwm2md"),
        "silent": ("del API_VERSION", "it does not say for which contract it is: API_VERSION = 1"),
        "misspelt": (
            "@hookimpl\ndef lwm2md_strat(context): pass",
            "there is no hook lwm2md_strat; did you mean lwm2md_start?",
        ),
        "misargued": (
            "@hookimpl\ndef lwm2md_start(contxt): pass",
            "a hook does not fit its specification: PluginValidationError: Plugin 'misargued' for hook 'lwm2md_start'",
        ),
        "early": (
            "@hookimpl\nasync def lwm2md_settings(): pass",
            "lwm2md_settings is asynchronous; it is called before there is a reactor that runs",
        ),
        "wrapping": (
            "import pluggy\n@pluggy.HookimplMarker('lwm2md')(wrapper=True)\ndef lwm2md_stop():\n    yield",
            "lwm2md_stop is a wrapper; here a hook answers for its own plugin only",
        ),
        "unset": ("@hookimpl\ndef lwm2md_settings(): return ['x']", "lwm2md_settings: it gives something else than"),
        "undone": ("@hookimpl\ndef lwm2md_settings(): return 1 / 0", "lwm2md_settings: ZeroDivisionError"),
        "defaulted": (
            "@hookimpl\ndef lwm2md_settings(): return [Setting('a', values.boolean(), 'perhaps', 'help')]",
            "lwm2md_settings: the default of 'a' is none of its kind",
        ),
    }

    def test_refused(self) -> None:
        """Each thing that is wrong with a plugin is said in words, and leaves the others alone."""
        for name, (source, _) in self.refused.items():
            self.write(name, source)
        self.write("good", "")
        loaded = self.loaded(*self.refused, "good", "absent")
        for name, (_, reason) in self.refused.items():
            plugin = loaded.plugins[name]
            self.assertEqual((plugin.state, dict(plugin.hooks)), ("failed", {}), name)
            self.assertIn(reason, plugin.failure or "", name)
        self.assertEqual(loaded.plugins["good"].state, "loaded")
        self.assertEqual(loaded.plugins["absent"].failure, "no plugin of this name is installed, or in [plugins] path")
        self.assertEqual(len(loaded.errors), len(self.refused) + 1)
        self.assertIn("--set: [plugins] enable = 'older': it is for API_VERSION 0", str(loaded.errors[4]))

    def test_no_class(self) -> None:
        """An entry point that names a class is refused: its hooks would lack their self."""

        class Plugin:
            """A class."""

            API_VERSION = 1

        with self.assertRaisesRegex(Exception, "it is a class"):
            Loader()._register("x", Plugin, "")

    def test_objects(self) -> None:
        """An object does as well as a module: its methods are the hooks."""
        self.write("object", "")
        module: Any = ModuleType("m")
        source = "class P:\n API_VERSION = 1\n @hookimpl\n def lwm2md_event_types(self): return [self.kind]\np = P()"
        exec(f"from lwm2md import hookimpl\n{source}\np.kind = 'x'", module.__dict__)
        plugin = Loader()._register("object", module.p, "")
        self.assertEqual(plugin.hooks["lwm2md_event_types"].function(), ["x"])

    def test_order(self) -> None:
        """Plugins are asked in the order in which they are enabled, but who wants is before or after the others."""
        hook = "@hookimpl{}\ndef lwm2md_authorize_operation(operation): return None"
        for name, how in (("a", ""), ("last", "(trylast=True)"), ("b", ""), ("first", "(tryfirst=True)")):
            self.write(name, hook.format(how))
        loaded = self.loaded("a", "last", "b", "first")
        ranks = {name: plugin.hooks["lwm2md_authorize_operation"].rank for name, plugin in loaded.plugins.items()}
        self.assertEqual(sorted(ranks, key=lambda name: ranks[name]), ["first", "a", "b", "last"])

    def test_path(self) -> None:
        """What is beside a plugin can be imported by it; dashes of its name are underscores of its file's."""
        (self.place / "beside_it.py").write_text("VALUE = 5\n")
        self.write("two-words", "import beside_it")
        self.assertEqual(self.loaded("two-words").plugins["two-words"].state, "loaded")
        del sys.modules["beside_it"]

    def test_check(self) -> None:
        """The lines of ``--check`` say where each plugin is from and what was set, no secret among them."""
        self.write(
            "good",
            "@hookimpl\ndef lwm2md_settings(): return [Setting('key', values.secret(), '', 'x'),"
            " Setting('n', values.integer(1, 9), '5', 'x')]",
        )
        lines = list(describe(self.loaded("good", key="s3cret", n="7", **{"plugin:god__n": "1"})))
        self.assertEqual(
            lines,
            [
                f"plugin good ({self.place / 'good.py'})",
                "[plugin:good] key = *** (--set)",
                "[plugin:good] n = 7 (--set)",
                "note --set: [plugin:god] has no effect, [plugins] enable does not name it; "
                "did you mean [plugin:good]?",
            ],
        )

    def test_places(self) -> None:
        """What is wrong in a file is told with the file; a value that may be a secret is not shown."""
        self.write("good", "@hookimpl\ndef lwm2md_settings(): return [Setting('secret', values.secret(), '', 'x')]")
        file = self.place / "x.ini"
        file.write_text(f"[plugins]\nenable = good\npath = {self.place}\n[plugin:good]\nsecrt = hush\n")
        (error,) = Loader().load(load(str(file))).errors
        self.assertEqual(
            str(error), f"{file}: [plugin:good] secrt: unknown key, expected one of secret; did you mean 'secret'?"
        )

    def test_no_settings(self) -> None:
        """A plugin without settings has none, and says so."""
        self.write("good", "")
        (error,) = self.loaded("good", x="1").errors
        self.assertEqual(str(error), "--set: [plugin:good] x = '1': this plugin has no settings")

    def test_twice(self) -> None:
        """Where two distributions have a plugin of one name nobody knows which is meant."""
        points = [EntryPoint("same", f"module_{number}", "lwm2md") for number in range(2)]
        self.patch(loading, "entry_points", lambda group: EntryPoints(points))
        (error,) = self.loaded("same").errors
        self.assertIn("several distributions have a plugin of this name: module_0, module_1", str(error))
        self.patch(loading, "entry_points", lambda group: EntryPoints(points[:1]))
        self.assertIn("ModuleNotFoundError: No module named 'module_0'", str(self.loaded("same").errors[0]))
        self.assertIn("did you mean 'same'?", str(self.loaded("sam").errors[0]))

    def test_names(self) -> None:
        """What is no name of a plugin is refused where it is enabled; each is named once."""
        for names in ("a b", "A", "a,a", "../x", "1x"):
            with self.assertRaises(ConfigErrors):
                load(None, [f"plugins.enable={names}"])
        self.assertEqual(load(None, ["plugins.enable=a-b, c"]).plugins.enable, ("a-b", "c"))

    def test_storage_without_plugins(self) -> None:
        """Without plugins an unknown scheme of the storage is a fault of the configuration as ever."""
        with self.assertRaises(ConfigErrors) as caught:
            load(None, ["storage.url=sqlit:/x"])
        self.assertIn("did you mean 'sqlite:'", str(caught.exception))
        self.assertTrue(Path(self.place).is_dir())
