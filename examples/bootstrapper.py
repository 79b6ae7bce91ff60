"""An example plugin: what devices are told at bootstrap, by a rule: every device gets the same server, with a key of
its own that is derived from its name.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from lwm2md import hookimpl
from lwm2md.plugins import BootstrapConfiguration, BootstrapRequest, PluginContext, Setting, values

API_VERSION = 1
RESTARTABLE = True

_settings: dict[str, str] = {}


@hookimpl
def lwm2md_settings() -> Sequence[Setting]:
    """The keys of ``[plugin:bootstrapper]``."""
    return [
        Setting("server", values.text(), None, "URI of the server that the devices are to register with"),
        Setting("secret", values.secret(), None, "Secret that the keys are derived from"),
    ]


@hookimpl(reactor=True)
def lwm2md_start(context: PluginContext) -> None:
    """Take the settings; a secret is shown by nothing but ``reveal()``."""
    _settings.update(server=context.settings["server"], secret=context.settings["secret"].reveal())


@hookimpl(reactor=True)
def lwm2md_bootstrap_configuration(
    configuration: BootstrapConfiguration | None, request: BootstrapRequest
) -> BootstrapConfiguration | None:
    """Leave what an operator has said of a device; for any other make it up."""
    if configuration is not None:
        return configuration
    key = hmac.digest(_settings["secret"].encode(), request.endpoint.encode(), hashlib.sha256)[:16]
    return BootstrapConfiguration(
        security={"0": {"uri": _settings["server"], "mode": 0, "identity": request.endpoint, "key": key.hex()}},
        server={"0": {"short_server_id": 1, "lifetime": 3600, "binding": "U"}},
        delete=["/0", "/1"],
    )
