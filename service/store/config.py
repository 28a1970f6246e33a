"""Timeouts, windows and limits of sessions and views, in the units of the scripts."""

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class StoreConfig:
    """Timeouts, windows and limits of sessions and views. Times in ms, but where a name says
    days; lengths in entries."""

    heartbeat_dedup_ms: int = 10_000
    session_timeout_ms: int = 120_000
    view_dedup_ms: int = 1_800_000
    leave_grace_ms: int = 3_000
    views_from_heartbeats: bool = True
    site_idle_ms: int = 86_400_000
    events_maxlen: int = 10_000
    views_maxlen: int = 100_000
    max_paths: int = 10_000
    new_sessions_per_minute: int = 0
    users_kept: int = 100_000
    views_days: int = 0
    events_days: int = 0

    @property
    def carried_within_ms(self) -> int:
        """For how long a shard may have something of a session after its site was split anew: what
        was once done keeps its trace, and a minute more is for slow copies."""
        return max(self.session_timeout_ms, self.view_dedup_ms) + 60_000

    @cached_property
    def arguments(self) -> tuple[int, ...]:
        """ARGV[3] to ARGV[10] of every script that writes, in the order of
        lua/include/settings.lua."""
        return (
            self.heartbeat_dedup_ms,
            self.session_timeout_ms,
            self.view_dedup_ms,
            self.site_idle_ms,
            self.events_maxlen,
            self.views_maxlen,
            self.max_paths,
            self.new_sessions_per_minute,
        )

    @cached_property
    def heartbeat_arguments(self) -> tuple[int, ...]:
        """The same for heartbeats, which may be told to record no views."""
        dedup, timeout, view_dedup, *rest = self.arguments
        return (dedup, timeout, view_dedup if self.views_from_heartbeats else 0, *rest)
