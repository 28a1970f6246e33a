"""Who may see who is here, and who may erase somebody.

The operator and the site's own backend may both. A user whose token `sees` a page may see who is on
it, and nobody else may anything: names are not numbers.
"""

from starlette.requests import Request

from service.api.bearer_tokens import CHALLENGE, bearer
from service.api.context import Context
from service.api.request_head import Headers, headers_of
from service.api.user_tokens import Verdict
from service.errors import RequestError, TokenError
from service.sites import Site

NO_USERS = "this site has no users: give it user_secrets in PRESENCE_SITES_FILE"


def check_users_reader(
    context: Context, request: Request, name: str, path: str | None
) -> Verdict | None:
    """Lets pass whoever may see the users of a site who are on a page; None: on all pages. Returns
    what came of a user's token; None: it was the site's or the operator's.

    Raises:
        RequestError: 401, there is no token, or it does not hold; 403, it does not cover the page;
            404, the site has no users, or, to an operator, is unknown; 429.
    """
    verdict = _check(context, request, name)
    if verdict and verdict.user and not verdict.user.may_see(path):
        what = f"who is on {path}" if path else "who is on all pages: ask for a path"
        raise RequestError(403, f"this token does not let its user see {what}; its `sees` says")
    return verdict


def check_users_eraser(context: Context, request: Request, name: str) -> None:
    """Lets pass whoever may erase users of a site. Raises as `check_users_reader`."""
    if _check(context, request, name) is not None:
        raise RequestError(403, "only the site's or the operator's token may erase a user")


def _check(context: Context, request: Request, name: str) -> Verdict | None:
    """What came of a user's token; None: it was the site's or the operator's."""
    security, headers = context.security, headers_of(request.scope)
    site = security.site_or_unknown(name)
    if site.public and not site.user_secrets:  # of a private one nobody learns that it is there
        raise RequestError(404, NO_USERS)
    context.check_guesses(request)
    if not _is_backend(context, name, site, headers):
        security.limits.count(security.addresses.of_request(request.scope))
        return _verdict_on(context, name, site, headers)
    if not site.user_secrets:
        raise RequestError(404, NO_USERS)
    return None


def _is_backend(context: Context, name: str, site: Site, headers: Headers) -> bool:
    try:
        return context.security.check_backend(name, site, headers)
    except TokenError:
        return False


def _verdict_on(context: Context, name: str, site: Site, headers: Headers) -> Verdict:
    token = bearer(headers)
    if token is None:
        detail = "a token is needed, the site's or a user's: Authorization: Bearer …"
        raise TokenError(401, detail, headers=CHALLENGE)
    verdict = context.user_tokens.verify(name, site, token.decode("latin-1"))
    if verdict.user is not None:
        return verdict
    if verdict.word == "expired":  # that was no guess
        raise RequestError(401, "this token has expired: get a new one", headers=CHALLENGE)
    raise TokenError(401, "this token does not hold here", headers=CHALLENGE)
