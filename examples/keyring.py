"""An example plugin: keys of PSK identities, from a file of lines ``IDENTITY KEY-IN-HEX [ENDPOINT]``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lwm2md import hookimpl
from lwm2md.plugins import Credential, CredentialQuery, PluginContext, Setting, values

API_VERSION = 1
RESTARTABLE = True

_file = Path()


@hookimpl
def lwm2md_settings() -> Sequence[Setting]:
    """The keys of ``[plugin:keyring]``."""
    return [Setting("file", values.text(4096), None, "File with a line for each identity")]


@hookimpl
def lwm2md_start(context: PluginContext) -> None:
    """Know where the file is; without it this plugin does not start."""
    global _file  # noqa: PLW0603
    _file = Path(context.settings["file"])
    _file.stat()


@hookimpl
def lwm2md_credentials(query: CredentialQuery) -> Sequence[Credential] | None:
    """Look into the file; it may be slow, this runs on the plugin's own thread."""
    if query.scope != "registration":
        return None
    found = [line.split() for line in _file.read_text("utf-8").splitlines()]
    mine = [words for words in found if words and words[0].encode() == query.identity]
    return [Credential(bytes.fromhex(words[1]), *words[2:3]) for words in mine] or None
