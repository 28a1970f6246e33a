"""What each endpoint takes and answers, as data: `document.py` makes the document of it, and
a test holds it against the route table."""

from service.api.openapi.operator_operations import OPERATOR_OPERATIONS
from service.api.openapi.read_operations import READ_OPERATIONS
from service.api.openapi.service_operations import SERVICE_OPERATIONS
from service.api.openapi.share_operations import SHARE_OPERATIONS
from service.api.openapi.user_operations import USER_OPERATIONS
from service.api.openapi.webhook_operations import WEBHOOK_OPERATIONS
from service.api.openapi.write_operations import WRITE_OPERATIONS

OPERATIONS = [
    *WRITE_OPERATIONS,
    *READ_OPERATIONS,
    *USER_OPERATIONS,
    *SHARE_OPERATIONS,
    *OPERATOR_OPERATIONS,
    *WEBHOOK_OPERATIONS,
    *SERVICE_OPERATIONS,
]
