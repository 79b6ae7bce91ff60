"""What a plugin imports: marks, records, settings; ``docs/plugins.md`` is the guide.

RULES: what is listed here stays within one `lwm2md.hookspecs.API_VERSION`; other modules are the daemon's own.
"""

from __future__ import annotations

from lwm2md.config import values
from lwm2md.config.values import BadValue, Kind, Secret
from lwm2md.plugins.asking import OperationRefused, SubmittedOperation
from lwm2md.plugins.context import Devices, PluginContext
from lwm2md.plugins.contributions import (
    Alert,
    AlertRule,
    ApiProblem,
    ApiReply,
    ApiRequest,
    ApiRoute,
    Command,
    FirmwareImage,
    FirmwareRepository,
    Setting,
    StorageBackend,
)
from lwm2md.plugins.marks import hookimpl, on_reactor
from lwm2md.plugins.measuring import PluginMetrics
from lwm2md.plugins.records import (
    ALLOW,
    AskedOperation,
    BootstrapConfiguration,
    BootstrapRequest,
    Credential,
    CredentialQuery,
    Delivered,
    Identity,
    RegistrationRequest,
    Verdict,
    deny,
)

__all__ = [
    "ALLOW",
    "Alert",
    "AlertRule",
    "ApiProblem",
    "ApiReply",
    "ApiRequest",
    "ApiRoute",
    "AskedOperation",
    "BadValue",
    "BootstrapConfiguration",
    "BootstrapRequest",
    "Command",
    "Credential",
    "CredentialQuery",
    "Delivered",
    "Devices",
    "FirmwareImage",
    "FirmwareRepository",
    "Identity",
    "Kind",
    "OperationRefused",
    "PluginContext",
    "PluginMetrics",
    "RegistrationRequest",
    "Secret",
    "Setting",
    "StorageBackend",
    "SubmittedOperation",
    "Verdict",
    "deny",
    "hookimpl",
    "on_reactor",
    "values",
]
