"""A bounded memory: when it is full, the oldest tenth is forgotten."""

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """What was worked out before, by what it was worked out of.

    Args:
        most: entries that are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: dict[K, V] = {}
        self.get = self._values.get  # on the way of every heartbeat with a token

    def add(self, key: K, value: V) -> None:
        """Remembers a value as the newest."""
        values = self._values
        values.pop(key, None)
        if len(values) >= self._most:
            for oldest in list(values)[: max(self._most // 10, 1)]:
                del values[oldest]
        values[key] = value
