"""What the store is given of a heartbeat's body and of the headers that say where it comes from."""

import msgspec

from service.api.geo import NOWHERE, Place
from service.api.requests.heartbeats import HeartbeatBody, is_bare
from service.api.requests.locations import known_country
from service.api.user_tokens import NOBODY, Verdict
from service.store.writer import Heartbeat


def to_beat(
    heartbeat: HeartbeatBody,
    client: str,
    place: Place,
    verdict: Verdict = NOBODY,
    sources: str = "",
) -> Heartbeat:
    """A heartbeat as the script takes it; what its body says of the place wins over headers.
    `sources`: names of how it came; empty: it does not say."""
    user = verdict.user
    user_id = user.id if user else ""
    if place is NOWHERE and not sources and is_bare(heartbeat):
        session_id, path = heartbeat.sessionId, heartbeat.currentPath
        return Heartbeat(session_id, path, "", client, verdict.details, user_id)
    country = known_country(heartbeat.country or "") or place.country or ""
    details: dict[str, str] = {}
    if heartbeat.pageType:
        details["type"] = heartbeat.pageType
    if heartbeat.referrer:
        details["referrer"] = str(heartbeat.referrer)
    if city := heartbeat.city or place.city:
        details["city"] = str(city)
    latitude, longitude = heartbeat.latitude, heartbeat.longitude
    if latitude is None or longitude is None:
        latitude, longitude = place.latitude, place.longitude
    if latitude is not None and longitude is not None:
        details["latitude"] = _tenths(latitude)
        details["longitude"] = _tenths(longitude)
    if sources:
        details["sources"] = sources
    if verdict.details:
        details |= msgspec.json.decode(verdict.details)
    return Heartbeat(
        heartbeat.sessionId,
        heartbeat.currentPath,
        country,
        client,
        msgspec.json.encode(details).decode() if details else "",
        user_id,
        bool(sources),
    )


def _tenths(degrees: float) -> str:
    text = f"{degrees:.1f}"
    return "0.0" if text == "-0.0" else text
