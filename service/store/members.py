"""A member of `active`: which session is where, and whose it is."""

import re
from typing import NamedTuple

# As include/member.lua; no user's id has a slash in it.
_FORM = re.compile(r"(\S+) (\S+) (?:([^ /]+) )?(/.*)", re.DOTALL)


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
        user = f"{self.user} " if self.user else ""
        return f"{self.session} {self.country} {user}{self.path}"

    @property
    def page_and_user(self) -> str:
        """The page, and whose the session is there, if that is known."""
        return f"{self.path} as {self.user}" if self.user else self.path
