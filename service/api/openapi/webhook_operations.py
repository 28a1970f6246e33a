"""The endpoints of webhooks."""

from service import models
from service.api.openapi.operation import AS_OF, JSON, OPERATOR, SITE, WEBHOOK, Answer, Operation

_STATUS = {
    "name": WEBHOOK,
    "origin": "https://example.org",
    "events": ["site.occupied"],
    "format": "standard",
    "served": True,
    "paused": False,
    "lag": 0,
    "lastSuccess": AS_OF,
    "lastError": None,
    "delivered": 1,
    "dropped": 0,
}

WEBHOOK_OPERATIONS = [
    Operation(
        "GET",
        f"{SITE}/webhooks",
        "webhooks",
        "Operate",
        "Webhooks",
        "How sending goes, for the operator's token or the site's.",
        [
            Answer(
                200,
                "Webhooks",
                {JSON: models.WebhookList},
                example={"webhooks": [_STATUS], "asOf": AS_OF},
            )
        ],
        (401, 403, 404, 422, 429, 503),
        ("site",),
        OPERATOR,
    ),
    Operation(
        "POST",
        f"{SITE}/webhooks/{{name}}/test",
        "testWebhook",
        "Operate",
        "Test a webhook",
        "Sends one event, `webhook.test`, and waits for the answer. If it is taken, a pause ends.",
        [
            Answer(
                200,
                "What came of it",
                {JSON: models.WebhookTest},
                example={"taken": True, "status": 204, "reason": None, "took": 31},
            )
        ],
        (401, 403, 404, 422, 429, 503),
        ("site", "webhook_name"),
        OPERATOR,
    ),
]
