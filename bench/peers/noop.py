"""The least an ASGI server can be asked to do: an empty 204."""

from typing import Any


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers whatever is asked, unread."""
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})
