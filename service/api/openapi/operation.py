"""What the document says of one endpoint, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SITE = "/v1/sites/{site}"

# In examples.
SESSION = "5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e"
USER = "anna"
SHARE = "lobby"
WEBHOOK = "backend"
AS_OF = 1_764_000_000_123

JSON, PLAIN, EVENTS = "application/json", "text/plain", "text/event-stream"
TEXT = {"type": "string"}  # the schema of what is not JSON
NO_TOKEN: dict[str, list[str]] = {}
BEARER: dict[str, list[str]] = {"bearer": []}
OPEN = [NO_TOKEN]
PRIVATE_SITES = [NO_TOKEN, BEARER]
OPERATOR = [BEARER]


@dataclass(frozen=True, slots=True)
class Answer:
    """A success: its media types with their schemas (a struct, a JSON schema, or None for no
    body), and headers by name: a name among the document's own, or a list of the words it takes.
    `query` is what leads to this answer, where the operation's own leads to another."""

    status: int
    description: str
    content: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str | list[str]] = field(default_factory=dict)
    example: Any = None
    query: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `parameters` are names among the document's own; `problems` are
    statuses; `query` is what the example's URL ends in."""

    method: str
    path: str
    id: str
    tag: str
    summary: str
    description: str
    answers: list[Answer]
    problems: tuple[int, ...] = ()
    parameters: tuple[str, ...] = ()
    security: list[dict[str, list[str]]] = field(default_factory=lambda: OPEN)
    body: type | None = None
    body_limit: str = "2 KiB"
    example: Any = None
    query: str = ""

    @property
    def is_stream(self) -> bool:
        """Whether its answer never ends."""
        return any(EVENTS in answer.content for answer in self.answers)
