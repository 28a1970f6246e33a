"""Answers that the app has no part in."""

from service.api.answers import problem
from service.api.cors import EXPOSED
from service.errors import RequestError
from service.models import title_of


def refusal(status: int, detail: str, retry_after: str | None = None) -> bytes:
    """One that any page may read; the connection's last."""
    error = RequestError(
        status, detail, headers={"Retry-After": retry_after} if retry_after else {}
    )
    _, headers, body = problem(error)
    lines = [f"HTTP/1.1 {status} {title_of(status)}".encode()]
    lines += [f"{name.lower()}: {value}".encode() for name, value in headers.items()]
    lines += [b"%s: %s" % header for header in EXPOSED]
    lines += [b"content-length: %d" % len(body), b"connection: close", b"", body]
    return b"\r\n".join(lines)


NO_HTTP = refusal(
    400, "this is not HTTP/1.1; of a path, percent-encode what is not ASCII, as in /caf%C3%A9"
)
