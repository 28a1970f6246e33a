"""What is asked of users, as msgspec structs, with the only validation there is."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from service.api.requests.field_errors import RULES
from service.api.requests.fields import UserId
from service.api.requests.json_bodies import decode_careful
from service.errors import FieldError

MAX_STATUSES = 500
MAX_STATUSES_BODY_BYTES = 40 * 1024  # 500 of the longest, and what stands between them
_LIST_RULE = f"must be a list of at most {MAX_STATUSES} ids of users"


class UserStatusQuery(Struct, frozen=True):
    """The users whose status is wanted, at most 500."""

    userIds: Annotated[list[UserId], Meta(max_length=MAX_STATUSES)]


_STATUS_QUERY = msgspec.json.Decoder(UserStatusQuery)


def decode_status_query(body: bytes) -> list[str]:
    """The ids of the users in a question, from its JSON.

    Raises:
        RequestError: 400, the body is not a JSON object.
        FieldError: 422, a field is invalid.
    """
    try:
        return decode_careful(_STATUS_QUERY, body).userIds
    except FieldError as error:
        where = error.field or ""
        if not error.detail.startswith("userIds"):  # such as a member that is there twice
            raise
        rule = RULES["userId"] if where.startswith("userIds[") else _LIST_RULE
        raise FieldError(where, f"{where} {rule}") from None
