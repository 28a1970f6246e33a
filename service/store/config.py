"""What decides about sessions and views, in the units of the scripts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """What decides about sessions and views. Times in ms, lengths in entries."""

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
