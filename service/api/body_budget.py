"""How much of large bodies may be in memory at once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.errors import StoreBusy


class BodyBudget:
    """Bytes of the bodies that are being read and decoded. What comes beyond them is refused as it
    streams in: who waited would hold a connection, and whoever sends slowly could keep all out."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.held = 0

    @contextmanager
    def counted(self) -> Iterator[Callable[[int], None]]:
        """Counts one body until it is decoded: what it is told of each piece.

        Raises:
            StoreBusy: 503, too much is held already.
        """
        taken = 0

        def take(size: int) -> None:
            nonlocal taken
            if self.held + size > self._most:
                raise StoreBusy("too many large batches at once; send smaller ones, or try again")
            taken += size
            self.held += size

        try:
            yield take
        finally:
            self.held -= taken
