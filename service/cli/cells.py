"""What a cell of a list says: all of it to programs, what a person needs of it on a terminal."""

import time

from service.api.requests.characters import has_unseen, unseen_in

SHORT_ID = 8  # the characters at the end of an id that are shown of it
_LONGEST_NAME = 16  # ids of users up to here are names, and whole
_ESCAPES = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


class Cell(str):
    """A text for programs; `short` is what a person needs of it."""

    __slots__ = ("short",)
    short: str

    def __new__(cls, text: str, short: str) -> "Cell":
        """Both of them."""
        cell = super().__new__(cls, text)
        cell.short = short
        return cell


def shown(cell: object) -> str:
    """A cell as text; an absent value is empty. What cannot be seen, or would move what stands
    beside it, is escaped: only a hand can have written it to Redis."""
    text = "" if cell is None else str(cell)
    if not has_unseen(text):
        return text
    return "".join(
        _escaped(c) if hides else c for c, hides in zip(text, unseen_in(text), strict=True)
    )


def _escaped(character: str) -> str:
    code = ord(character)
    if character in _ESCAPES:
        return _ESCAPES[character]
    return (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65_536 else f"\\U{code:08x}"
    )


def moment(ms: int) -> Cell:
    """A time in ms since the epoch, by ISO 8601, UTC; to a person its time of day, or, if that was
    not today, its day too."""
    seconds, rest = divmod(ms, 1000)
    at = time.gmtime(seconds)
    is_today = time.strftime("%j%Y", at) == time.strftime("%j%Y", time.gmtime())
    return Cell(
        time.strftime("%Y-%m-%dT%H:%M:%S", at) + f".{rest:03d}Z",
        time.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M", at),
    )


def ago(ms: int, now_ms: int) -> Cell:
    """As `moment`, but a person is told how long before `now_ms` it was, by the same clock."""
    return Cell(moment(ms), since(now_ms - ms))


def since(passed_ms: int) -> str:
    """How long ago something was, in its largest unit."""
    seconds = passed_ms // 1000
    if seconds < 1:
        return "now"
    if seconds < 60:
        return f"{seconds} s ago"
    if seconds < 3600:
        return f"{seconds // 60} min ago"
    if seconds < 48 * 3600:
        return f"{seconds // 3600} h ago"
    return f"{seconds // 86_400} d ago"


def session_id(text: str, *, is_full: bool) -> Cell:
    """The id of a session; to a person its end. Of ids that begin with the time, such as UUIDs of
    version 7, the end still tells apart those of one minute."""
    return Cell(text, text if is_full or len(text) <= SHORT_ID else f"…{text[-SHORT_ID:]}")


def user_id(text: str | None, *, is_full: bool) -> Cell | None:
    """The id of a user: often a name, so only long ones are shortened, in the middle."""
    if text is None:
        return None
    is_whole = is_full or len(text) <= _LONGEST_NAME
    return Cell(text, text if is_whole else f"{text[:SHORT_ID]}…{text[-SHORT_ID:]}")
