"""Pages of long lists, without sorting a fleet for every page."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


class SortedKeys:
    """The keys of a mapping in order; sorted again only when the set of keys changed."""

    __slots__ = ("_keys", "_newest", "_source")

    def __init__(self, source: Mapping[str, object]) -> None:
        self._source = source
        self._keys: list[str] = []
        self._newest: object = None

    def after(self, cursor: str | None) -> tuple[list[str], int]:
        """All keys in order, and the index of the first one behind ``cursor``."""
        # A dict keeps its order: the same length and the same newest value mean that no key came or went.
        newest = next(reversed(self._source.values()), None) if self._source else None  # type: ignore[call-overload]
        if len(self._keys) != len(self._source) or newest is not self._newest:
            self._keys = sorted(self._source)
            self._newest = newest
        return self._keys, bisect_right(self._keys, cursor) if cursor is not None else 0


def page(
    source: Mapping[str, T],
    keys: SortedKeys,
    window: tuple[int, str | None],
    render: Callable[[T], R],
    wanted: Callable[[T], bool] = lambda _: True,
) -> tuple[list[R], str | None]:
    """The wanted items of a window (limit, cursor of the page before), rendered, and the cursor of the next page."""
    limit, after = window
    items: list[R] = []
    ordered, start = keys.after(after)
    last = None
    for index in range(start, len(ordered)):
        item = source[ordered[index]]
        if not wanted(item):
            continue
        if len(items) == limit:
            return items, last
        items.append(render(item))
        last = ordered[index]
    return items, None
