"""What is sent and answered, by the names that it has in the service's JSON. Times: ms, UTC."""

from typing import Any, NotRequired, TypedDict


class Details(TypedDict, total=False):  # userId, name and avatar need the site's token
    userId: str
    name: str
    avatar: str
    userToken: str
    pageType: str
    referrer: str
    country: str
    city: str
    latitude: float
    longitude: float
    source: str
    medium: str
    campaign: str
    device: str


class Beat(Details):  # a session is on a page
    sessionId: str
    currentPath: str


class BatchResult(TypedDict):  # created, moved, refreshed, duplicate; invalid, limited, failed
    results: list[str]
    errors: list[dict[str, Any]]
    limited: NotRequired[dict[str, Any]]


class UserStatus(TypedDict):  # lastSeen: None if never, as far as is remembered
    userId: str
    online: bool
    lastSeen: int | None


class User(TypedDict):  # who is here, however many tabs and devices they have
    userId: str
    name: str | None
    avatar: str | None
    since: int
    lastSeen: int
    sessions: int
    paths: list[str]


class UserPage(TypedDict):  # of `total` users; `nextCursor` leads to the next ones
    users: list[User]
    total: int
    nextCursor: str | None
