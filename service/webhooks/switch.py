"""A condition that is told when it turns: is anybody here, are there more than so many."""

from dataclasses import dataclass, field

NEVER = -1


@dataclass(slots=True)
class Switch:
    """Remembers which side of a condition was told last, and how long the other holds already.

    Args:
        on_delay_ms: how long it must hold before it is told.
        off_delay_ms: the same of its end.
        cooldown_ms: after a side was told it is not told again for so long; what still holds then
            is told at the end of it.
    """

    on_delay_ms: int = 0
    off_delay_ms: int = 0
    cooldown_ms: int = 0
    is_on: bool = False
    turned_at: int = NEVER  # since when the other side holds, ms
    due_at: int = NEVER  # when that will be told
    told_at: list[int] = field(default_factory=lambda: [NEVER, NEVER])  # off, and on

    def feed(self, holds: bool | None, at: int, now: int, *, not_before: int = 0) -> None:
        """Takes note of how things are. `holds`: None, between the two sides, where whatever was
        told stays. `at`: since when. `not_before`: the end is not told sooner."""
        if holds is None or holds == self.is_on:
            self.turned_at = self.due_at = NEVER
            return
        if self.turned_at != NEVER:
            return
        self.turned_at = at
        self.due_at = now + (self.on_delay_ms if holds else self.off_delay_ms)
        if self.told_at[holds] != NEVER:
            self.due_at = max(self.due_at, self.told_at[holds] + self.cooldown_ms)
        if not holds:
            self.due_at = max(self.due_at, not_before)

    def hold_off(self, until: int) -> None:
        """An end that waits to be told is not told before that."""
        if self.due_at != NEVER and self.is_on:
            self.due_at = max(self.due_at, until)

    def turn(self) -> int:
        """Turns, as it is due to; since when the other side holds."""
        at, self.is_on = self.turned_at, not self.is_on
        self.told_at[self.is_on] = self.due_at
        self.turned_at = self.due_at = NEVER
        return at

    def state(self) -> list[int]:
        """What `restore` takes."""
        return [int(self.is_on), self.turned_at, self.due_at, *self.told_at]

    def restore(self, state: list[int]) -> None:
        """As it was."""
        is_on, self.turned_at, self.due_at, *self.told_at = state
        self.is_on = bool(is_on)
