"""What msgspec says of a body, turned into the field and the remedy."""

import re

from service.api.requests.sizes import MAX_BATCH
from service.errors import FieldError, RequestError

_WHERE = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<where>[^`]*)`)?\Z", re.DOTALL)
_NO_TEXT = re.compile(r"Expected `str(?: \| null)?`, got `(\w+)`")
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_NAMES = {  # of msgspec's types
    "null": "null",
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "array": "an array",
    "object": "an object",
}
RULES = {
    "sessionId": "must be 16 to 64 of A-Z, a-z, 0-9, _ and -; a UUID fits",
    "pageType": "must be 1 to 32 of a-z, 0-9, _ and -",
    "country": "must be two letters, such as DE; leave it out where it is not known",
    "device": "must be desktop, phone or tablet",
    "userId": "must be 1 to 64 of A-Z, a-z, 0-9, _ . : @ and -",
    "name": "must be at most 64 characters, without control characters and invisible ones",
    "avatar": "must be an https URL of at most 256 bytes",
    "latitude": "must be a number from -90 to 90",
    "longitude": "must be a number from -180 to 180",
    "heartbeats": f"must be a list of at most {MAX_BATCH} heartbeats",
}


def as_field_error(message: str) -> RequestError:
    """msgspec's message, turned into the field and the remedy."""
    match = _WHERE.match(message)
    what, where = (match["what"], match["where"] or "") if match else (message, "")
    if missing := _MISSING.match(what):
        where = f"{where}.{missing[1]}" if where else missing[1]
        what = "is missing"
    elif not where:
        return RequestError(400, f"the body is not a JSON object: {what}")
    name = where.rpartition(".")[2]
    if what.startswith("must ") or what == "is missing":
        rule = RULES.get(name)
        detail = f"{where} {what}" + (f"; it {rule}" if rule and what == "is missing" else "")
    elif name in RULES:
        detail = f"{where} {RULES[name]}"
    elif wrong := _NO_TEXT.match(what):
        detail = f"{where} must be a string, not {_NAMES.get(wrong[1], wrong[1])}"
    else:
        detail = f"{where}: {what}"
    return FieldError(where, detail)
