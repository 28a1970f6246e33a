"""The endpoints of users."""

from service import models
from service.api.openapi.operation import AS_OF, JSON, OPERATOR, SITE, USER, Answer, Operation
from service.api.requests.user_statuses import UserStatusQuery

_USERS = f"{SITE}/users"
_PROBLEMS = (401, 403, 404, 422, 429, 503)
_ROW = {
    "userId": USER,
    "name": "Anna",
    "avatar": "https://example.org/anna.png",
    "since": 1_763_999_900_000,
    "lastSeen": 1_764_000_000_000,
    "sessions": 3,
    "paths": ["/docs/x", "/docs/y"],
}

USER_OPERATIONS = [
    Operation(
        "GET",
        _USERS,
        "users",
        "Users",
        "Who is here",
        "One row for each user, however many tabs and devices they have. With `path` those who are "
        "on that page. By page and then by id; in the list of all pages each stands where their "
        "first does. `total` counts all of them; `nextCursor` is null at the end.",
        [
            Answer(
                200,
                "A page of users",
                {JSON: models.UserPage},
                example={"users": [_ROW], "total": 1, "nextCursor": None, "asOf": AS_OF},
            )
        ],
        _PROBLEMS,
        ("site", "usersLimit", "usersCursor", "path"),
        OPERATOR,
    ),
    Operation(
        "POST",
        f"{_USERS}/status",
        "userStatuses",
        "Users",
        "Who of these is here",
        "Up to 500 users, answered in order. `lastSeen` is null for who was not here within what "
        "is kept: 30 days, and `PRESENCE_USERS_KEPT` users who left.",
        [
            Answer(
                200,
                "Their statuses",
                {JSON: models.UserStatuses},
                example={
                    "statuses": [
                        {"userId": USER, "online": True, "lastSeen": 1_764_000_000_000},
                        {"userId": "bob", "online": False, "lastSeen": None},
                    ],
                    "asOf": AS_OF,
                },
            )
        ],
        (400, *_PROBLEMS[:3], 408, 413, *_PROBLEMS[3:]),
        ("site",),
        OPERATOR,
        UserStatusQuery,
        "40 KiB",
        {"userIds": [USER, "bob"]},
    ),
    Operation(
        "GET",
        f"{_USERS}/{{user_id}}",
        "user",
        "Users",
        "One user",
        "What is known of a user, whether they are here or were.",
        [
            Answer(
                200,
                "The user",
                {JSON: models.UserDetails},
                example=_ROW | {"online": True, "asOf": AS_OF},
            )
        ],
        _PROBLEMS,
        ("site", "user_id"),
        OPERATOR,
    ),
    Operation(
        "DELETE",
        f"{_USERS}/{{user_id}}",
        "eraseUser",
        "Users",
        "Erase a user",
        "Ends their sessions and erases all that is kept of them, the log of what their sessions "
        "did included; live streams begin anew with a snapshot. For the site's or the operator's "
        "token. Who goes on sending heartbeats with a valid token is here again.",
        [Answer(204, "Nothing is kept of them, whether anything was or not")],
        _PROBLEMS,
        ("site", "user_id"),
        OPERATOR,
    ),
]
