"""When a changed value is worth a notification: the truth table of the notification attributes.

Source: OMA LwM2M Core TS 1.2, 7.3.2 and its examples. RULES: ``gt`` fires upward only (old <= gt < new), ``lt``
downward only (old >= lt > new), ``edge`` on the named edge of a Boolean; what they compare with is the value before,
so that each crossing counts, also after a way back that was not told. ``st`` is how far the value is at least from the
last one that was told. They are ORed. Where any of them applies, a plain change alone does not notify.
"""

from __future__ import annotations

from typing import TypeGuard

from lwm2md.lwm2m.attributes import NotificationAttributes
from lwm2md.lwm2m.values import Value


def triggers(attributes: NotificationAttributes, reported: Value, before: Value, value: Value) -> bool:
    """Whether the move from the value ``before`` to ``value`` has to be notified, ``reported`` being the last told."""
    if isinstance(value, bool):
        edge = attributes.edge
        return value != reported if edge is None else value == bool(edge) != before
    if _is_number(value) and _is_number(reported) and _is_number(before) and _has_bounds(attributes):
        return _crosses(attributes, before, value) or _steps(attributes, reported, value)
    return value != reported


def _is_number(value: Value) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _has_bounds(attributes: NotificationAttributes) -> bool:
    return attributes.gt is not None or attributes.lt is not None or attributes.st is not None


def _crosses(attributes: NotificationAttributes, before: float, value: float) -> bool:
    gt, lt = attributes.gt, attributes.lt
    return (gt is not None and before <= gt < value) or (lt is not None and before >= lt > value)


def _steps(attributes: NotificationAttributes, reported: float, value: float) -> bool:
    return attributes.st is not None and abs(value - reported) >= attributes.st
