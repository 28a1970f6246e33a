"""A client of the presence service, for backends: heartbeats, users, tokens and webhooks."""

from presence_api.background import Background as Background
from presence_api.client import AsyncPresence as AsyncPresence
from presence_api.client import Presence as Presence
from presence_api.errors import *  # noqa: F403
from presence_api.models import *  # noqa: F403
from presence_api.signatures import user_token as user_token
from presence_api.signatures import verify_webhook as verify_webhook
