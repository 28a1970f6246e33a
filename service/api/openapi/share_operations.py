"""The endpoints of share tokens."""

from service import models
from service.api.openapi.operation import AS_OF, JSON, OPERATOR, SHARE, SITE, Answer, Operation

_PROBLEMS = (401, 403, 404, 422, 429, 503)
_SHARE = {"name": SHARE, "madeAt": AS_OF}

SHARE_OPERATIONS = [
    Operation(
        "GET",
        f"{SITE}/shares",
        "shares",
        "Share",
        "All shares",
        "By name, without their tokens: only a hash of each is kept.",
        [Answer(200, "Shares", {JSON: models.ShareList}, example={"shares": [_SHARE]})],
        _PROBLEMS,
        ("site",),
        OPERATOR,
    ),
    Operation(
        "POST",
        f"{SITE}/shares/{{name}}",
        "makeShare",
        "Share",
        "Make a share",
        "The answer has its token, this once. It opens what reads numbers (`stats`, `active`, "
        "`history`, `sources`, `live` without users, `badge.svg`) on this site and nothing else. A "
        "site has at most 100.",
        [
            Answer(
                201,
                "It was made",
                {JSON: models.NewShare},
                example=_SHARE | {"token": "share_" + "x" * 43},
            )
        ],
        (401, 403, 404, 409, 422, 429, 503),
        ("site", "share_name"),
        OPERATOR,
    ),
    Operation(
        "DELETE",
        f"{SITE}/shares/{{name}}",
        "revokeShare",
        "Share",
        "Revoke a share",
        "Its token opens nothing any more: at once at this copy of the service, within 5 s at all "
        "others. Live streams that it opened end within 10 s, and tell nothing after 5 s.",
        [Answer(204, "It was revoked")],
        _PROBLEMS,
        ("site", "share_name"),
        OPERATOR,
    ),
]
