"""Names of users."""

from service.api.requests.characters import has_unseen

MAX_NAME = 64


class UserName(str):
    """The name of a user, in which every character can be seen."""

    __slots__ = ()


def clean_name(raw: str) -> UserName:
    """The name as it was given.

    Raises:
        ValueError: it is too long or holds what cannot be seen.
    """
    if len(raw) > MAX_NAME:
        raise ValueError(f"must be at most {MAX_NAME} characters")
    if has_unseen(raw):
        raise ValueError("must not contain control characters or invisible ones")
    return UserName(raw)
