"""A member of `active`: which session is where, and whose it is."""

import re
from typing import NamedTuple

# As include/member.lua; no user's id has a slash in it.
_FORM = re.compile(r"(\S+) (\S+) (?:([^ /]+) )?(/.*)", re.DOTALL)


def member_of(session: str, country: str, path: str, user: str = "") -> str:
    """The text of a member, of which Member says the form."""
    return f"{session} {country} {user} {path}" if user else f"{session} {country} {path}"


class Member(NamedTuple):
    """`<session> <country or --> <path>`, with the id of its user before the path if that is
    known; else `user` is empty."""

    session: str
    country: str
    path: str
    user: str = ""

    @classmethod
    def parse(cls, text: str) -> "Member | None":
        """Parses a member; None: no script has written it."""
        match = _FORM.fullmatch(text)
        return cls(match[1], match[2], match[4], match[3] or "") if match else None

    def __str__(self) -> str:
        return member_of(*self)

    @property
    def page_and_user(self) -> str:
        """The page, and whose the session is there, if that is known."""
        return f"{self.path} as {self.user}" if self.user else self.path
