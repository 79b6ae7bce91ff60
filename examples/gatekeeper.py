"""An example plugin: who may register, and who may ask what of devices.

Devices of a farm register with their farm's prefix only, and other plugins may read, but not write or execute.
"""

from __future__ import annotations

from collections.abc import Sequence

from lwm2md import hookimpl
from lwm2md.plugins import (
    ALLOW,
    AskedOperation,
    PluginContext,
    RegistrationRequest,
    Setting,
    Verdict,
    deny,
    values,
)

API_VERSION = 1
RESTARTABLE = True
READING = frozenset({"read", "discover", "observe", "read-composite", "observe-composite", "cancel-observe"})

_prefix = "farm-"


@hookimpl
def lwm2md_settings() -> Sequence[Setting]:
    """The keys of ``[plugin:gatekeeper]``."""
    return [Setting("prefix", values.text(64), "farm-", "What the names of all devices begin with")]


@hookimpl(reactor=True)
def lwm2md_start(context: PluginContext) -> None:
    """Take the prefix."""
    global _prefix  # noqa: PLW0603
    _prefix = context.settings["prefix"]


@hookimpl(reactor=True)
def lwm2md_authorize_registration(registration: RegistrationRequest) -> Verdict | None:
    """Refuse what has another prefix, and label the rest; quick, so it runs on the reactor."""
    if not registration.endpoint.startswith(_prefix):
        return deny(f"its name does not begin with {_prefix}")
    return Verdict(True, labels={"gate": "passed"})


@hookimpl(reactor=True)
def lwm2md_authorize_operation(operation: AskedOperation) -> Verdict | None:
    """Let plugins read only; of anybody else this plugin has no opinion."""
    if not operation.principal.startswith("plugin:"):
        return None
    return ALLOW if operation.op in READING else deny(f"{operation.principal} may only read")
