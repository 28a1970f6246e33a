"""Fields that say which session, page type or user, and what each must be."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from service.api.requests.field_errors import RULES
from service.errors import FieldError
from service.sites import is_site_id

# In Python `$` also matches before a last newline; `(?!\n)` takes that back.
END = r"$(?!\n)"

SessionId = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_-]{16,64}" + END,
        description="16 to 64 of A-Z, a-z, 0-9, _ and -; a UUID fits",
        examples=["5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e"],
    ),
]
PageType = Annotated[
    str,
    Meta(pattern=r"^[a-z0-9_-]{1,32}" + END, description="1 to 32 of a-z, 0-9, _ and -"),
]
Device = Annotated[
    str,
    Meta(pattern=r"^(?:desktop|phone|tablet)" + END, description="desktop, phone or tablet"),
]
UserToken = Annotated[
    str, Meta(description="a token that the site's backend has signed: who somebody is")
]
UserId = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_.:@-]{1,64}" + END,
        description="1 to 64 of A-Z, a-z, 0-9, _ . : @ and -",
    ),
]
UserAvatar = Annotated[
    str,
    Meta(
        max_length=256,
        pattern=r"^https://[!-~]+" + END,
        description="an https URL of at most 256 bytes",
    ),
]


def fits(value: object, kind: Any) -> bool:
    """Whether a value is one that such a field takes."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def check_site(site: str) -> str:
    """The site id itself.

    Raises:
        FieldError: 422, it is malformed.
    """
    if not is_site_id(site):
        raise FieldError(
            "site",
            "site must begin with a-z or 0-9 and be at most 63 of a-z, 0-9, . and -",
        )
    return site


def check_share_name(name: str) -> str:
    """The name of a share, which is one of a site's form.

    Raises:
        FieldError: 422, it is malformed.
    """
    if not is_site_id(name):
        raise FieldError(
            "name", "name must begin with a-z or 0-9 and be at most 63 of a-z, 0-9, . and -"
        )
    return name


def check_session_id(session_id: str) -> str:
    """The session id itself.

    Raises:
        FieldError: 422, it is malformed.
    """
    if not fits(session_id, SessionId):
        raise FieldError("sessionId", f"sessionId {RULES['sessionId']}")
    return session_id


def check_user_id(user_id: str) -> str:
    """The user's id itself.

    Raises:
        FieldError: 422, it is malformed.
    """
    if not fits(user_id, UserId):
        raise FieldError("userId", f"userId {RULES['userId']}")
    return user_id
