"""Answers of the fast path that were put together before."""

from service.api.cors import RawHeaders


class ResponseCache:
    """The bytes of answers of 204, kept while uvicorn's own headers (the date) stay."""

    _MOST = 4096

    def __init__(self) -> None:
        self._defaults: object = None
        self._kept: dict[tuple[int, int], tuple[RawHeaders, RawHeaders, bytes]] = {}

    def of_outcome(
        self, told: RawHeaders, cors: RawHeaders, defaults: list[tuple[bytes, bytes]]
    ) -> bytes:
        """The answer that tells an outcome. Both groups of headers are known by their identity:
        there are as many as there are outcomes and origins, and each is made once. They are kept
        with the answer, so that no other can come to have it."""
        if defaults is not self._defaults:
            self._defaults = defaults
            self._kept.clear()
        key = (id(told), id(cors))
        kept = self._kept.get(key)
        if kept is not None:
            return kept[2]
        head = self.of((*told, *cors), defaults)
        if len(self._kept) < self._MOST:
            self._kept[key] = told, cors, head
        return head

    def of(self, headers: RawHeaders, defaults: list[tuple[bytes, bytes]]) -> bytes:
        """The answer with these headers."""
        lines = b"".join(b"%s: %s\r\n" % header for header in (*defaults, *headers))
        return b"HTTP/1.1 204 No Content\r\n%s\r\n" % lines
