"""Who may read who is here: names are not for everybody, on a public site neither."""

from starlette.requests import Request

from service.api.context import Context
from service.api.security import headers_of


def check_users_reader(context: Context, request: Request, site: str, path: str | None) -> None:
    """Whoever shows the site's token, or the operator's, in `Authorization`, may read the users of
    a site. `path`: the page asked for, None: all of them. A URL is in logs and histories, so a
    token in it is never looked at.

    Raises:
        RequestError: 401 or 403; 404, to an operator, for an unknown site; 429, after too many
            wrong tokens.
    """
    context.check_guesses(request)
    security = context.security
    # A user's token belongs here: of `context.user_tokens`, with `sees` that covers `path`.
    security.check_owner(site, security.site_or_unknown(site), headers_of(request.scope))
