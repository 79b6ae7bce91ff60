"""When a changed value is worth a notification: the truth table of the notification attributes.

Source: OMA LwM2M Core TS 1.2, 7.3.2 and its examples. RULES: ``gt`` fires upward only (old <= gt < new), ``lt``
downward only (old >= lt > new), ``st`` when the value is at least that far from the last one that was reported,
``edge`` on the named edge of a Boolean. They are ORed. Where any of them applies, a plain change alone does not
notify.
"""

from __future__ import annotations

from lwm2md.lwm2m.attributes import NotificationAttributes
from lwm2md.lwm2m.values import Value


def triggers(attributes: NotificationAttributes, reported: Value | None, value: Value) -> bool:
    """Whether the move from the last ``reported`` value to ``value`` has to be notified.

    ``reported`` is None when no single value was reported before; then any value counts as new.
    """
    if reported is None:
        return True
    if isinstance(value, bool) and isinstance(reported, bool):
        return value != reported and (attributes.edge is None or value == bool(attributes.edge))
    if isinstance(value, int | float) and isinstance(reported, int | float) and _has_bounds(attributes):
        return _crosses(attributes, reported, value)
    return value != reported


def _has_bounds(attributes: NotificationAttributes) -> bool:
    return attributes.gt is not None or attributes.lt is not None or attributes.st is not None


def _crosses(attributes: NotificationAttributes, reported: float, value: float) -> bool:
    gt, lt, st = attributes.gt, attributes.lt, attributes.st
    return (
        (gt is not None and reported <= gt < value)
        or (lt is not None and reported >= lt > value)
        or (st is not None and abs(value - reported) >= st)
    )
