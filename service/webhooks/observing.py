"""What operators watch of webhooks. Made only where a site has some."""

from prometheus_client import CollectorRegistry, Counter, Gauge

_LABELS = ["site", "webhook"]


class WebhookMetrics:
    """The metrics of all endpoints. Labels are names of the sites file."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self._events = Counter(
            "presence_webhook_events",
            "Events sent to an endpoint, or given up",
            [*_LABELS, "outcome"],
            registry=registry,
        )
        self._tries = Counter(
            "presence_webhook_tries",
            "Messages sent to an endpoint, each try",
            [*_LABELS, "outcome"],
            registry=registry,
        )
        self._lag = Gauge(
            "presence_webhook_lag_seconds",
            "Age of the oldest event that an endpoint has not taken",
            _LABELS,
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._paused = Gauge(
            "presence_webhook_paused",
            "1, where an endpoint has answered 410 and is sent nothing",
            _LABELS,
            registry=registry,
            multiprocess_mode="livemax",
        )

    def show(self, site: str, name: str) -> None:
        """Shows an endpoint with zeros from the start."""
        for outcome in ("delivered", "dropped"):
            self._events.labels(site, name, outcome)
        for outcome in ("taken", "failed"):
            self._tries.labels(site, name, outcome)
        self.lag(site, name, 0.0)
        self.paused(site, name, is_paused=False)

    def tried(self, site: str, name: str, *, is_taken: bool) -> None:
        """One try has ended."""
        self._tries.labels(site, name, "taken" if is_taken else "failed").inc()

    def ended(self, site: str, name: str, outcome: str, count: int) -> None:
        """So many events are `delivered` or `dropped`."""
        self._events.labels(site, name, outcome).inc(count)

    def lag(self, site: str, name: str, seconds: float) -> None:
        """How late the oldest event is that was not taken."""
        self._lag.labels(site, name).set(seconds)

    def paused(self, site: str, name: str, *, is_paused: bool) -> None:
        """Whether the endpoint has answered 410."""
        self._paused.labels(site, name).set(int(is_paused))
