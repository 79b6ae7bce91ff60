"""The commands on who may come, against a daemon: credentials, files of them, the inbox, the audit log."""

from __future__ import annotations

import atexit
import json
import shutil
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message, decode, encode, options
from lwm2md.ctl import credentials, securing
from lwm2md.ctl.errors import DONE, FAILED, USAGE
from tests.ctl.support import Ran, run
from tests.fuzz.daemon import Daemon

KEY = "00112233445566778899aabbccddeeff"
OTHER = "ffeeddccbbaa99887766554433221100"


class Case(SynchronousTestCase):
    """One daemon for all, which refuses devices without security that are not toys."""

    directory: ClassVar[Path]
    daemon: ClassVar[Daemon | None] = None

    def setUp(self) -> None:
        if Case.daemon is None:
            Case.directory = Path(tempfile.mkdtemp(prefix="lwm2mctl-"))
            atexit.register(shutil.rmtree, Case.directory)
            Case.daemon = Daemon(Case.directory, ("security.unsecured=toy-*",))
            atexit.register(Case.daemon.stop)
        self.key = self.file("key", KEY + "\n")

    def file(self, name: str, text: str) -> str:
        """A file with this text; its path."""
        path = self.directory / name
        path.write_text(text, "utf-8")
        return str(path)

    def ctl(self, *words: str, terminal: bool = False, watched: bool = False) -> Ran:
        """Run a command."""
        assert self.daemon is not None
        token = str(self.daemon.state / "admin.token")
        return run(
            self,
            *words,
            terminal=terminal,
            watched=watched,
            LWM2MD_URL=f"http://{self.daemon.api}",
            LWM2MD_TOKEN_FILE=token,
        )

    def done(self, *words: str) -> Any:
        """Run a command that is to succeed, and return its documents, or the only one."""
        ran = self.ctl(*words)
        self.assertEqual((ran.status, ran.err), (DONE, ""), words)
        documents = [json.loads(line) for line in ran.out.splitlines()]
        return documents[0] if len(documents) == 1 else documents

    def failed(self, status: int, *words: str) -> str:
        """Run a command that is to fail, and return what it says on standard error."""
        ran = self.ctl(*words)
        self.assertEqual(ran.status, status, ran)
        for key in (KEY, OTHER):
            self.assertNotIn(key, ran.out + ran.err)
        return ran.err


class CredentialsTests(Case):
    """``credentials``."""

    def test_add(self) -> None:
        """A key comes from a file; what is said of it comes back, without the key."""
        words = ("--endpoint", "pump-*", "--endpoint", "x", "--label", "farm=north", "--note", "roof")
        ran = self.ctl("credentials", "add", "add/1", "--key-file", self.key, *words)
        self.assertNotIn(KEY, ran.out)
        found = json.loads(ran.out)
        self.assertEqual(
            (found["endpoint"], found["labels"], found["note"]), (["pump-*", "x"], {"farm": "north"}, "roof")
        )
        self.assertEqual(self.done("credentials", "show", "add/1"), found)
        self.assertEqual(self.done("credentials", "add", "x509:add", "--scope", "bootstrap")["scope"], "bootstrap")
        listed = [json.loads(line)["identity"] for line in self.ctl("credentials").out.splitlines()]
        self.assertLessEqual({"add/1", "x509:add"}, set(listed))

    def test_generate(self) -> None:
        """A generated key is in a new file that only its owner reads, or shown once; nothing gives it again."""
        path = self.directory / "generated"
        ran = self.ctl("credentials", "generate", "gen-1", "--out", str(path), "--bytes", "32")
        self.assertEqual((ran.status, stat.S_IMODE(path.stat().st_mode)), (DONE, 0o600))
        key = path.read_text("ascii").strip()
        self.assertEqual((len(key), key in ran.out), (64, False))
        self.assertNotIn(key, self.ctl("credentials", "show", "gen-1").out)
        self.assertIn("File exists", self.failed(USAGE, "credentials", "generate", "gen-2", "--out", str(path)))
        self.failed(FAILED, "credentials", "show", "gen-2")
        shown = self.done("credentials", "generate", "gen-3")["key"]
        self.assertEqual(len(shown), 32)
        line = self.ctl("credentials", "generate", "gen-4", terminal=True).out
        self.assertRegex(line, r"^gen-4 [0-9a-f]{32}\n$")

    def test_generate_refused(self) -> None:
        """When the daemon refuses, no file stays behind."""
        path = self.directory / "refused"
        self.failed(FAILED, "credentials", "generate", "bad\x01name", "--out", str(path))
        self.assertFalse(path.exists())

    def test_rotate(self) -> None:
        """Another key keeps all else as it was; with overlap both are valid."""
        self.done("credentials", "add", "rot", "--key-file", self.key, "--endpoint", "e", "--label", "a=b")
        other = self.file("other", OTHER)
        found = self.done("credentials", "rotate", "rot", "--key-file", other, "--overlap", "7d")
        self.assertEqual((found["keys"], found["endpoint"], found["labels"]), (2, ["e"], {"a": "b"}))
        path = self.directory / "rotated"
        found = self.done("credentials", "rotate", "rot", "--out", str(path))
        self.assertEqual(found["keys"], 1)
        self.assertEqual(len(path.read_text("ascii").strip()), 32)

    def test_block_and_revoke(self) -> None:
        """A blocked one is refused until it is unblocked; a revoked one is gone."""
        self.done("credentials", "add", "off", "--key-file", self.key, "--endpoint", "e")
        found = self.done("credentials", "block", "off")
        self.assertEqual((found["blocked"], found["endpoint"]), (True, ["e"]))
        self.assertFalse(self.done("credentials", "unblock", "off")["blocked"])
        self.done("credentials", "revoke", "off")
        self.assertIn("unknown-credential", self.failed(FAILED, "credentials", "revoke", "off"))

    def test_actions(self) -> None:
        """What the command line offers is what there is."""
        self.assertEqual(tuple(credentials.ACTIONS), securing.ACTIONS)

    def test_wrong(self) -> None:
        """What is wrong with a call is told, and never the key."""
        bad = self.file("bad", KEY + "zz")
        for words in (
            ("add",),
            ("add", "a", "b"),
            ("add", "nokey"),
            ("add", "a", "--key-file", bad),
            ("add", "a", "--key-file", str(self.directory / "missing")),
            ("list", "a"),
            ("import",),
            ("import", str(self.directory / "missing")),
            ("generate", "x509:a"),
            ("generate", "a", "--bytes", "7"),
            ("frobnicate",),
        ):
            self.failed(USAGE, "credentials", *words)


class ImportTests(Case):
    """``credentials import``."""

    def count(self, prefix: str) -> int:
        """How many credentials begin so."""
        found = self.ctl("credentials").out.splitlines()
        return sum(json.loads(line)["identity"].startswith(prefix) for line in found)

    def test_file(self) -> None:
        """Every line of a file is put; again they are replaced; more than one call takes is sent in parts."""
        lines = "".join(f"many-{number:05},{number:032x},many-{number:05}\n" for number in range(2500))
        path = self.file("many.csv", lines)
        self.assertEqual(self.done("credentials", "import", path), {"file": path, "created": 2500, "replaced": 0})
        self.assertEqual(self.done("credentials", "import", path), {"file": path, "created": 0, "replaced": 2500})
        self.assertEqual(self.count("many-"), 2500)

    def test_progress(self) -> None:
        """Who watches sees how far it got, and no line of it is left."""
        path = self.file("watched.csv", "".join(f"watched-{number:05},{KEY}\n" for number in range(1500)))
        ran = self.ctl("credentials", "import", path, watched=True)
        self.assertEqual(ran.status, DONE)
        for part in ("checking, 1000 of 1500", "importing, 0 of 1500"):
            self.assertIn(part, ran.err)
        self.assertTrue(ran.err.endswith("\r\x1b[K"))

    def test_faults(self) -> None:
        """All faults are told with their lines, and nothing is imported; with --partial what is right is."""
        path = self.file("faults.csv", f"fault-1,{KEY}\nfault-2,zz\nfault-1,{OTHER}\nfault-3,{OTHER}\n")
        said = self.failed(FAILED, "credentials", "import", path)
        for part in ("line 2: key:", "line 3: identity:", "2 of its lines are wrong"):
            self.assertIn(part, said)
        self.assertEqual(self.count("fault-"), 0)
        self.failed(FAILED, "credentials", "import", path, "--partial")
        self.assertEqual(self.count("fault-"), 2)

    def test_refused_whole(self) -> None:
        """What the daemon would refuse of one line keeps the whole file out, which is found before anything is put."""
        path = self.file("whole.csv", f'whole-1,{KEY}\n"whole-2",{KEY},"{" ".join(f"e{n}" for n in range(70))}"\n')
        self.assertIn("line 2: endpoint", self.failed(FAILED, "credentials", "import", path))
        self.assertEqual(self.count("whole-"), 0)
        said = self.failed(FAILED, "credentials", "import", path, "--partial")
        self.assertIn("line 2: endpoint", said)
        self.assertEqual(self.count("whole-"), 1)

    def test_sample(self) -> None:
        """A file with a header, a note, certificates and leaves is taken."""
        found = self.done("credentials", "import", str(Path(__file__).with_name("credentials.csv")))
        self.assertEqual(found["created"] + found["replaced"], 4)


class InboxTests(Case):
    """``refused``, ``admit`` and ``audit``."""

    def register(self, endpoint: str) -> int:
        """Register over plain CoAP; the code of the answer."""
        assert self.daemon is not None
        asked = options(path=("rd",), query=(f"ep={endpoint}", "lt=60", "lwm2m=1.1"), content_format=n.LINK_FORMAT)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.settimeout(10)
            sender.sendto(encode(Message(n.CON, n.POST, 1, b"t", asked, b"</3/0>")), self.daemon.coap)
            return decode(sender.recv(1500)).code

    def test_admit(self) -> None:
        """A device that is refused is listed with its cause, let in with one command, and then registers."""
        self.assertEqual(self.register("toy-1"), n.CREATED)
        self.assertEqual(self.register("pump-1"), n.FORBIDDEN)
        entry = self.done("refused")
        self.assertEqual((entry["cause"], entry["endpoint"], entry["proved"]), ("security-needed", "pump-1", False))
        self.assertEqual(self.done("refused", entry["id"]), entry)
        self.assertEqual(self.done("refused", "--cause", "wrong-key"), [])
        self.assertEqual(self.done("admit", entry["id"])["identity"], "nosec:pump-1")
        self.assertEqual(self.register("pump-1"), n.CREATED)
        self.assertIn("unknown-refusal", self.failed(FAILED, "admit", entry["id"], "--key-file", self.key))
        actions = [record["action"] for record in self.done("audit", "--limit", "2")]
        self.assertEqual(actions, ["credential.put", "refused.admitted"])
        record = self.done("audit", "--subject", "nosec:pump-1", "--action", "credential.put")
        self.assertEqual((record["by"], record["action"]), ("admin", "credential.put"))

    def test_dismiss(self) -> None:
        """A device is taken off the list."""
        self.assertEqual(self.register("pump-2"), n.FORBIDDEN)
        (entry,) = [each for each in [self.done("refused")] if each["endpoint"] == "pump-2"]
        self.done("refused", entry["id"], "--dismiss")
        self.assertEqual(self.done("refused"), [])
