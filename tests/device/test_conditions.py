"""The truth table of notifications, with the examples of the specification."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.device.conditions import triggers
from lwm2md.lwm2m.attributes import NotificationAttributes
from lwm2md.lwm2m.values import Value

_TABLE: tuple[tuple[dict[str, float], Value, Value, bool], ...] = (
    # The examples of the specification.
    ({"gt": 45, "st": 10}, 45, 50, True),
    ({"gt": 45, "st": 10}, 38, 49, True),
    ({"gt": 45, "st": 10}, 48, 42, False),
    ({"lt": 20, "gt": 85, "st": 10}, 75, 90, True),
    ({"lt": 20, "gt": 85, "st": 10}, 50, 10, True),
    ({"lt": 20, "gt": 85, "st": 10}, 87, 99, True),
    ({"lt": 20, "gt": 85, "st": 10}, 17, 24, False),
    # gt fires upward only, the bound itself is not above.
    ({"gt": 45}, 50, 40, False),
    ({"gt": 45}, 44, 45, False),
    ({"gt": 45}, 45, 46, True),
    ({"gt": 45}, 46, 47, False),
    # lt fires downward only.
    ({"lt": 20}, 17, 24, False),
    ({"lt": 20}, 21, 20, False),
    ({"lt": 20}, 20, 19, True),
    ({"lt": 20}, 19, 18, False),
    # st compares with the last value that was reported, both ways, the step itself counts.
    ({"st": 0.5}, 20.0, 20.5, True),
    ({"st": 0.5}, 20.0, 19.5, True),
    ({"st": 0.5}, 20.0, 20.25, False),
    # Without a condition every change counts, and only a change.
    ({}, 1, 2, True),
    ({}, 1, 1, False),
    ({}, "a", "b", True),
    ({"pmin": 1}, 1, 2, True),
    # edge
    ({"edge": 1}, False, True, True),
    ({"edge": 1}, True, False, False),
    ({"edge": 0}, True, False, True),
    ({"edge": 0}, False, True, False),
    ({}, True, False, True),
    ({"edge": 1}, True, True, False),
    # Numeric conditions mean nothing to what is no number.
    ({"gt": 1}, "a", "b", True),
)


class ConditionTests(SynchronousTestCase):
    """Which change triggers under which attributes."""

    def test_table(self) -> None:
        """Every row of the table holds."""
        for attributes, reported, value, expected in _TABLE:
            found = triggers(NotificationAttributes(**attributes), reported, reported, value)  # type: ignore[arg-type]
            self.assertEqual(found, expected, f"{attributes} {reported!r} -> {value!r}")

    def test_crossing_after_a_way_back(self) -> None:
        """A crossing and an edge compare with the value before, a step with the last one that was told."""
        for attributes, told, before, value, expected in (
            (NotificationAttributes(gt=45), 50, 40, 50, True),
            (NotificationAttributes(lt=20), 10, 30, 10, True),
            (NotificationAttributes(gt=45), 40, 46, 47, False),
            (NotificationAttributes(edge=1), True, False, True, True),
            (NotificationAttributes(edge=0), False, True, False, True),
            (NotificationAttributes(edge=1), False, True, True, False),
            (NotificationAttributes(st=10), 50, 41, 40, True),
            (NotificationAttributes(st=10), 50, 30, 45, False),
        ):
            self.assertEqual(triggers(attributes, told, before, value), expected, (attributes, told, before, value))
