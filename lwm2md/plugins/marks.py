"""The marks on functions: what a hook is specified to be, and what a plugin says of its implementation.

RULES: the kind of a call is written on its specification and nowhere else. A hook runs on its plugin's own thread,
unless it is `async def`, is annotated to return a Deferred, is made with `inlineCallbacks`, or is marked for the
reactor's thread.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Literal, TypeVar, overload

import attrs
import pluggy

PROJECT: Final = "lwm2md"

F = TypeVar("F", bound=Callable[..., Any])
Kind = Literal["notify", "first", "filter"]
Time = Literal["load", "run"]

_implementation: Final = pluggy.HookimplMarker(PROJECT)
_specification: Final = pluggy.HookspecMarker(PROJECT)
_SPECIFIED: Final = "lwm2md_call"
_REACTOR: Final = "lwm2md_reactor"
_ASYNCHRONOUS: Final = ("Deferred", "Awaitable", "Coroutine")


@attrs.frozen
class Call:
    """How a hook is called.

    ``notify`` calls every plugin that has it, each on its own. ``first`` asks one after the other until one answers
    something else than None. ``filter`` hands a value, the first argument, from one to the next. Of a ``secure`` one a
    failure means deny. One at ``load`` is called when the configuration is read, directly: it has to be plain and
    quick. One for the ``reactor`` runs on its thread, whatever its shape.
    """

    kind: Kind
    secure: bool = False
    at: Time = "run"
    reactor: bool = False


def hookspec(kind: Kind, *, secure: bool = False, at: Time = "run", reactor: bool = False) -> Callable[[F], F]:
    """Mark the specification of a hook."""

    def mark(function: F) -> F:
        setattr(function, _SPECIFIED, Call(kind, secure, at, reactor))
        return _specification(function, firstresult=kind == "first")

    return mark


def call_of(function: Callable[..., Any]) -> Call | None:
    """How a specification says that its hook is called; None for what is no specification."""
    return getattr(function, _SPECIFIED, None)


@overload
def hookimpl(function: F) -> F:
    """Mark a function, ``@hookimpl``."""


@overload
def hookimpl(*, tryfirst: bool = False, trylast: bool = False, reactor: bool = False) -> Callable[[F], F]:
    """Mark a function, ``@hookimpl(tryfirst=True)``."""


def hookimpl(
    function: F | None = None, *, tryfirst: bool = False, trylast: bool = False, reactor: bool = False
) -> F | Callable[[F], F]:
    """Mark a plugin's function as its implementation of the hook of the same name.

    ``tryfirst`` and ``trylast`` say where it stands among the plugins. ``reactor`` lets a plain function run on the
    reactor's thread: it must not wait for anything, and may return a Deferred.
    """

    def mark(function: F) -> F:
        if reactor:
            on_reactor(function)
        return _implementation(function, tryfirst=tryfirst, trylast=trylast)

    return mark if function is None else mark(function)


def on_reactor(function: F) -> F:
    """Mark a plain function, such as a handler of events, to run on the reactor's thread."""
    setattr(function, _REACTOR, True)
    return function


def is_asynchronous(function: Callable[..., Any]) -> bool:
    """Whether a function runs on the reactor's thread."""
    plain: Any = function
    while isinstance(plain, partial):
        plain = plain.func
    plain = inspect.unwrap(plain)
    if getattr(function, _REACTOR, False) or getattr(plain, _REACTOR, False):
        return True
    if not inspect.isroutine(plain):
        plain = plain.__call__
    if inspect.iscoroutinefunction(plain) or inspect.isgeneratorfunction(plain):
        return True
    returned = getattr(plain, "__annotations__", {}).get("return")
    shown = returned if isinstance(returned, str) else getattr(returned, "__name__", str(returned))
    return any(word in shown for word in _ASYNCHRONOUS)
