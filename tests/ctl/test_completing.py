"""Completion: which words can follow, without a daemon; with one in ``test_live``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.ctl.arguments import parser
from lwm2md.ctl.completing import FORMATS, candidates, commands_of
from lwm2md.lwm2m.formats import NUMBERS
from tests.ctl.support import Canned, as_json

NOBODY = {"LWM2MD_URL": "http://127.0.0.1:1"}
ROOT = Path(__file__).resolve().parents[2]
_NAMES = b",".join(b'{"endpoint":"%b"}' % name for name in (b"urn:a", b"urn:b c", b"urn:$(x)", b"urn:z\\u001b"))
DEVICES = b'{"items":[%b],"next":null}' % _NAMES
OBJECTS = (
    b'{"items":[{"id":3,"instances":[0],"resources":[{"id":0},{"id":13}]},{"id":33,"instances":[],"resources":[]}]}'
)


def complete(*words: str, url: str = "http://127.0.0.1:1") -> list[str]:
    """The candidates for the last word."""
    environment = {"LWM2MD_URL": url, "LWM2MD_TOKEN_FILE": "/dev/null"} if url != NOBODY["LWM2MD_URL"] else NOBODY
    return candidates(parser(environment), words, environment)


class Candidates(SynchronousTestCase):
    """What is offered."""

    def test_commands(self) -> None:
        """A command's name is completed, behind options of all commands too."""
        self.assertEqual(complete("devi"), ["deviations", "device", "devices"])
        self.assertEqual(complete("--json", "--wait", "5", "unob"), ["unobserve"])
        self.assertEqual(complete(""), sorted(commands_of(parser({}))))
        self.assertEqual(complete("nothing", ""), [])

    def test_options(self) -> None:
        """Options are completed, and those of their values that are words."""
        self.assertEqual(complete("devices", "--se"), ["--selector"])
        self.assertEqual(complete("devices", "--state", "o"), ["offline", "online"])
        self.assertEqual(complete("devices", "--state=on"), ["--state=online"])
        self.assertEqual(complete("read", "e", "/3", "--source", ""), ["device", "twin"])
        self.assertEqual(complete("completion", ""), ["bash", "zsh"])

    def test_endpoints(self) -> None:
        """Endpoints come from the daemon, from before what is begun; what is not printable is not offered."""
        for words in (("device", "urn:"), ("operations", "--endpoint", "urn:"), ("read", "urn:")):
            server = Canned(self, [as_json(DEVICES)])
            self.assertEqual(self._with_token(server.url, *words), ["urn:$(x)", "urn:a", "urn:b c"])
            self.assertIn(b"after=urn9%F4%8F%BF%BF", server.requests[0])

    def test_paths(self) -> None:
        """Paths are those of the device, level by level."""
        for begun, found in (
            ("", ["/3", "/33"]),
            ("/3", ["/3", "/3/0", "/33"]),
            ("/3/", ["/3/0"]),
            ("/3/0/1", ["/3/0/13"]),
        ):
            server = Canned(self, [as_json(OBJECTS)])
            self.assertEqual(self._with_token(server.url, "read", "e/1", begun), found, begun)
            self.assertIn(b"/v1/devices/e%2F1/objects", server.requests[0])
        server = Canned(self, [as_json(OBJECTS)])
        self.assertEqual(self._with_token(server.url, "read-composite", "e/1", "/33", "/3/"), ["/3/0"])

    def test_names(self) -> None:
        """What has a name or an id is offered where one of its kind is expected, and nowhere else."""
        for words, path, document in (
            (("admit", ""), b"/v1/refused", b'{"id":"a1"}'),
            (("refused", ""), b"/v1/refused", b'{"id":"a1"}'),
            (("credentials", "rotate", "a"), b"/v1/credentials", b'{"identity":"a1"}'),
            (("trace", "--identity", "a"), b"/v1/credentials", b'{"identity":"a1"}'),
            (("profile", "a"), b"/v1/profiles", b'{"name":"a1"}'),
            (("device", "e", "--profile", "a"), b"/v1/profiles", b'{"name":"a1"}'),
            (("template", "a"), b"/v1/observation-templates", b'{"name":"a1"}'),
            (("profile-id", "a"), b"/v1/profile-ids", b'{"pid":"a1"}'),
            (("traces", "a"), b"/v1/traces", b'{"id":"a1"}'),
            (("plugins", "show", "a"), b"/v1/plugins", b'{"name":"a1"}'),
            (("deviations", "--kind", "a"), b"/v1/deviations", b'{"kind":"a1"}'),
            (("cancel", "a"), b"/v1/operations", b'{"id":"a1"}'),
        ):
            server = Canned(self, [as_json(b'{"items":[%b],"next":null}' % document)])
            self.assertEqual(self._with_token(server.url, *words), ["a1"], words)
            self.assertEqual(server.requests[0].split()[1].partition(b"?")[0], path)
        for nothing in (("create", "e", "/3", "--id", ""), ("audit", "--action", ""), ("credentials", "add", "")):
            self.assertEqual(complete(*nothing), [])

    def test_formats(self) -> None:
        """Formats are offered by the names that the API takes."""
        self.assertEqual(complete("read", "e", "/3", "--format", "senml"), ["senml-cbor", "senml-json"])
        self.assertEqual({*FORMATS}, {*NUMBERS} - {"link-format", "senml-etch-json", "senml-etch-cbor"})

    def test_nobody_there(self) -> None:
        """Without a daemon there are no candidates, and no error."""
        self.assertEqual(complete("device", ""), [])

    @given(st.lists(st.text(max_size=8) | st.sampled_from(["read", "--", "--url", "-", "--state=", "x"]), max_size=5))
    def test_anything(self, words: list[str]) -> None:
        """Whatever was typed, there is a list."""
        self.assertIsInstance(candidates(parser(NOBODY), words, NOBODY), list)

    def _with_token(self, url: str, *words: str) -> list[str]:
        token = Path(self.mktemp())
        token.write_text("t")
        environment = {"LWM2MD_URL": url, "LWM2MD_TOKEN_FILE": str(token)}
        return candidates(parser(environment), words, environment)


class Bash(SynchronousTestCase):
    """The script in a real bash."""

    def complete(self, url: str, *words: str) -> list[str]:
        """What bash would offer; ``words`` as it takes them apart."""
        text = (
            f'lwm2mctl() {{ "{sys.executable}" -m lwm2md.ctl "$@"; }}; source <(lwm2mctl completion bash);'
            ' COMP_WORDS=(lwm2mctl "$@"); COMP_CWORD=$#; _lwm2mctl; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        token = Path(self.mktemp())
        token.write_text("t")
        ran = subprocess.run(
            ["bash", "--norc", "-c", text, "bash", *words],
            cwd=ROOT,
            env={"LWM2MD_URL": url, "LWM2MD_TOKEN_FILE": str(token.resolve()), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        self.assertEqual(ran.stderr, "")
        return ran.stdout.splitlines()

    def test_words(self) -> None:
        """Commands and options are offered, and nothing where nothing fits."""
        self.assertEqual(self.complete(NOBODY["LWM2MD_URL"], "devi"), ["deviations", "device", "devices"])
        self.assertEqual(self.complete(NOBODY["LWM2MD_URL"], "devices", "--state", "=", "sl"), ["sleeping"])
        self.assertEqual(self.complete(NOBODY["LWM2MD_URL"], "nothing", ""), [""])

    def test_endpoints(self) -> None:
        """Names with colons are completed behind the last one, and quoted: no device gets a command into a shell."""
        server = Canned(self, [as_json(DEVICES)])
        self.assertEqual(self.complete(server.url, "device", "urn", ":"), [r"\$\(x\)", "a", r"b\ c"])
