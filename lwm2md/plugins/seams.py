"""Where the daemon asks its plugins: one function for each thing that it may want to know.

RULES: an answer of the wrong type is a failure of the plugin that gave it. Where a hook is secure, a failure denies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from lwm2md.plugins.contributions import AlertRule, FirmwareRepository
from lwm2md.plugins.plugin import Plugin
from lwm2md.plugins.records import (
    ALLOW,
    AskedOperation,
    BootstrapConfiguration,
    BootstrapRequest,
    Credential,
    CredentialQuery,
    RegistrationRequest,
    Verdict,
    deny,
)

if TYPE_CHECKING:
    from lwm2md.plugins.running import Running

T = TypeVar("T")
FAILED: Final = deny("a plugin that has to be asked failed")
"""The verdict where nobody has decided."""


async def authorize_registration(running: Running, registration: RegistrationRequest) -> Verdict:
    """What the plugins say to a registration; yes if nobody has a say."""
    return await _verdict(running, "lwm2md_authorize_registration", registration=registration)


async def authorize_operation(running: Running, operation: AskedOperation) -> Verdict:
    """What the plugins say to an operation; yes if nobody has a say."""
    return await _verdict(running, "lwm2md_authorize_operation", operation=operation)


async def credentials(running: Running, query: CredentialQuery) -> Sequence[Credential]:
    """The keys that a plugin has for an identity, the newest first; none after a failure."""
    hook = "lwm2md_credentials"
    try:
        answer = await running.calls.first(running.pairs(hook), {"query": query})
    except Exception:
        return ()
    if answer is None:
        return ()
    return tuple(_each(running, hook, *answer, Credential) or ())


async def bootstrap_configuration(
    running: Running, request: BootstrapRequest, configuration: BootstrapConfiguration | None = None
) -> BootstrapConfiguration | None:
    """What a device is told at bootstrap after the plugins have seen it; None, for nothing, after a failure."""
    hook = "lwm2md_bootstrap_configuration"

    def check(plugin: Plugin, value: object) -> None:
        if value is not None and not isinstance(value, BootstrapConfiguration):
            raise _misanswered(running, plugin, hook, value)

    asked = {"request": request}
    try:
        found: BootstrapConfiguration | None = await running.calls.filter(
            running.pairs(hook), "configuration", configuration, asked, check=check
        )
    except Exception:
        return None
    return found


async def alert_rules(running: Running) -> Sequence[tuple[str, AlertRule]]:
    """All alert rules with the plugins that they are of."""
    return await _contributed(running, "lwm2md_alert_rules", AlertRule)


async def firmware_repositories(running: Running) -> Sequence[tuple[str, FirmwareRepository]]:
    """All firmware repositories with the plugins that they are of."""
    return await _contributed(running, "lwm2md_firmware_repositories", FirmwareRepository)  # type: ignore[type-abstract]


async def _verdict(running: Running, hook: str, **asked: object) -> Verdict:
    try:
        answer = await running.calls.first(running.pairs(hook), asked)
    except Exception:
        return FAILED
    if answer is None:
        return ALLOW
    plugin, verdict = answer
    if isinstance(verdict, Verdict):
        return verdict
    _misanswered(running, plugin, hook, verdict)
    return FAILED


async def _contributed(running: Running, hook: str, kind: type[T]) -> list[tuple[str, T]]:
    answers = await running.calls.notify(running.pairs(hook), {})
    found: list[tuple[str, T]] = []
    for plugin, answer in answers:
        found += [(plugin.name, each) for each in _each(running, hook, plugin, answer, kind) or ()]
    return found


def _each(running: Running, hook: str, plugin: Plugin, answer: Any, kind: type[T]) -> list[T] | None:
    """The items of an answer; None, told, where one is of another type."""
    try:
        items = list(answer)
    except TypeError:
        items = [answer]
    if all(isinstance(each, kind) for each in items):
        return items
    _misanswered(running, plugin, hook, answer)
    return None


def _misanswered(running: Running, plugin: Plugin, hook: str, answer: object) -> TypeError:
    """Tell about an answer of the wrong type; the error that it is."""
    error = TypeError(f"it answered {type(answer).__name__}, which the hook may not")
    running.calls.trouble(plugin, hook, error)
    return error
