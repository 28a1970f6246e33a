"""One core makes the requests and reads the answers; the two clients send them."""

from collections.abc import Iterable
from typing import Any, Generic, NamedTuple, TypeVar, Unpack, cast
from urllib.parse import quote

import httpx

from presence_api.errors import RefusedError, UnavailableError
from presence_api.models import BatchResult, Beat, Details, UserPage, UserStatus

T = TypeVar("T")


class Call(NamedTuple, Generic[T]):
    """A request below the address of a site, whose answer is a JSON object T."""

    request: tuple[str, str]  # method and path
    options: dict[str, Any]

    def read(self, answer: httpx.Response) -> T:
        """What an answer says. Raises PresenceError."""
        status, wait = answer.status_code, answer.headers.get("retry-after", "")
        try:
            said = dict(answer.json())
            if status == 200:
                return cast(T, said)
            detail = said["detail"]
        except (ValueError, TypeError, LookupError):  # a proxy's page
            said, detail = {}, "this is not an answer of the service"
        kind = RefusedError if answer.is_client_error and status != 429 else UnavailableError
        raise kind(detail, status, said.get("field", ""), float(wait) if wait.isdecimal() else 0)


def _status(user_ids: Iterable[str]) -> Call[dict[str, list[UserStatus]]]:
    return Call(("POST", "users/status"), {"json": {"userIds": list(user_ids)}})


def _users(path: str | None, cursor: str | None) -> Call[UserPage]:
    given = {"path": path, "cursor": cursor, "limit": "1000"}
    return Call(("GET", "users"), {"params": {k: v for k, v in given.items() if v is not None}})


def outcome_of(result: BatchResult) -> str:
    """Of the first of a batch. Raises PresenceError where one was not written."""
    for wrong in result["errors"]:
        raise RefusedError(wrong["detail"], 422, wrong["field"])
    if limited := result.get("limited"):
        raise UnavailableError(limited["detail"], 429, wait=limited["retryAfterMs"] / 1000)
    if "failed" in result["results"]:
        raise UnavailableError("Redis could not take it", 503)
    return result["results"][0]


def _options(url: str, site: str, token: str, options: dict[str, Any]) -> dict[str, Any]:
    own = {"authorization": f"Bearer {token}"} if token else {}
    options = {"timeout": 5, **options, "headers": {**httpx.Headers(options.get("headers")), **own}}
    return {"base_url": f"{url.rstrip('/')}/v1/sites/{quote(site, safe='')}/", **options}


class Presence:
    """A site of the service at `url`, with the site's token. Methods raise PresenceError. Make it
    once: connections are kept. Options are httpx's, such as `timeout` (s, of each wait)."""

    def __init__(self, url: str, site: str, token: str = "", **options: Any) -> None:
        self.http = httpx.Client(**_options(url, site, token, options))

    def beat(self, session_id: str, path: str, **details: Unpack[Details]) -> str:
        """Sends a heartbeat: `created`, `moved`, `refreshed` or `duplicate`."""
        return outcome_of(self.batch([{"sessionId": session_id, "currentPath": path, **details}]))

    def batch(self, beats: Iterable[Beat]) -> BatchResult:
        """Sends up to 1,000 heartbeats."""
        return self._send(Call(("POST", "heartbeats"), {"json": {"heartbeats": list(beats)}}))

    def status(self, user_ids: Iterable[str]) -> list[UserStatus]:
        """Whether up to 500 users are here, in order."""
        return self._send(_status(user_ids))["statuses"]

    def users(self, path: str | None = None, cursor: str | None = None) -> UserPage:
        """Up to 1,000 of the users who are here, or on a page."""
        return self._send(_users(path, cursor))

    def _send(self, call: Call[T]) -> T:
        try:
            return call.read(self.http.request(*call.request, **call.options))
        except httpx.HTTPError as error:
            raise UnavailableError(f"no answer: {error!r}") from error


class AsyncPresence:
    """As `Presence`, with methods that are awaited."""

    def __init__(self, url: str, site: str, token: str = "", **options: Any) -> None:
        self.http = httpx.AsyncClient(**_options(url, site, token, options))

    async def beat(self, session_id: str, path: str, **details: Unpack[Details]) -> str:
        beats: list[Beat] = [{"sessionId": session_id, "currentPath": path, **details}]
        return outcome_of(await self.batch(beats))

    async def batch(self, beats: Iterable[Beat]) -> BatchResult:
        return await self._send(Call(("POST", "heartbeats"), {"json": {"heartbeats": list(beats)}}))

    async def status(self, user_ids: Iterable[str]) -> list[UserStatus]:
        return (await self._send(_status(user_ids)))["statuses"]

    async def users(self, path: str | None = None, cursor: str | None = None) -> UserPage:
        return await self._send(_users(path, cursor))

    async def _send(self, call: Call[T]) -> T:
        try:
            return call.read(await self.http.request(*call.request, **call.options))
        except httpx.HTTPError as error:
            raise UnavailableError(f"no answer: {error!r}") from error
