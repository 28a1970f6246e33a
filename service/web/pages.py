"""`/`, `/sites/{site}` and the files they load: everything from this host, nothing inline.

A proxy may serve all of it below a prefix of its own, which is not told here: addresses in pages
are relative.
"""

import functools
from html import escape
from string import Template

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.api.answers import problem_response
from service.api.base_url import base_url, public_path_of
from service.api.context import context_of
from service.api.requests.fields import check_site
from service.errors import RequestError
from service.models import title_of
from service.sites import DEMO_SITE, Site
from service.web.accent import accent_css, parse_accent
from service.web.assets import FOR_EVER, STATIC, Asset, answer, asset_of, assets
from service.web.languages import LANGUAGES, asked_for, language_of
from service.web.look import style_links, theme_of
from service.web.messages import translate
from service.web.script_names import DEFAULT, find_script

_ERROR = Template((STATIC / "error.html").read_text(encoding="utf-8"))
_OPERATORS = (
    '<p class="muted">{{forOperators|<code>.presence/admin-token</code>}}</p>\n'
    '<pre tabindex="0"><code>curl -H "Authorization: Bearer $$(cat .presence/admin-token)" '
    "$base/v1/sites</code></pre>\n"
)
_DEMO = (
    '<p class="muted">{{demoRuns|<a href="demo/">{{demoWalk}}</a>'
    f'|<a href="sites/{DEMO_SITE}$query">{{{{demoWatch}}}}</a>}}}}</p>\n'
)
_HELP_OPEN = "{{helpOpen|<code>example.org</code>}}"
_HELP_LISTED = "{{helpListed}}"
_HTML_STATUSES = (404, 405, 422)  # what a mistyped or stale address leads to
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors "
)
# For pages of other hosts: they load the client, and learn of a new one within the hour.
_CLIENT_HEADERS = {
    "Cache-Control": "public, max-age=3600",
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


async def start(request: Request) -> Response:
    """Getting started: the script tag, and the first heartbeat as it comes in."""
    settings = context_of(request).settings
    is_public = bool(public_path_of(request))  # there, nothing is for operators, and no demo
    has_demo = request.app.state.demo and not is_public
    is_listed = bool(settings.sites.by_id)
    # The same site as in the terminal's example. Configured names are not for everybody.
    site = DEMO_SITE if has_demo or not is_listed else ""
    language = _language(request)
    parts = {"base": escape(base_url(request)), "query": _query(request)}

    def part(html: str) -> str:
        return translate(html, language).substitute(parts)

    page = _template("start.html", language).substitute(
        parts,
        lang=language,
        static=f"static/{assets().version}",
        script=settings.script_name,
        interval=f"{settings.heartbeat_interval:g}",
        site=site,
        shown=site or "your-site",
        sites="listed" if is_listed else "open",
        help=part(_HELP_LISTED if is_listed else _HELP_OPEN),
        demo=part(_DEMO) if has_demo else "",
        operators=part(_OPERATORS) if settings.is_token_kept and not is_public else "",
    )
    return _page(request, page, "'none'")


async def stats(request: Request) -> Response:
    """The live numbers of a site. The page is the same for one that is private or not there, and
    asks for a token."""
    name = check_site(request.path_params["site"])
    site = context_of(request).security.site_or_unknown(name)
    is_pill = "pill" in request.query_params
    is_embedded = is_pill or "embed" in request.query_params
    mode = "embed" if is_embedded else "wall" if "wall" in request.query_params else "page"
    static = f"../static/{assets().version}"
    language = _language(request)
    asked = asked_for(request.query_params)
    page = _template("pill.html" if is_pill else "stats.html", language).substitute(
        lang=language,
        # What the address asks for goes along to the page's other views, and to the start page.
        kept=f"lang={asked}" if asked else "",
        keep=f"&amp;lang={asked}" if asked else "",
        query=_query(request),
        static=static,
        modes="" if mode == "page" else f'<link rel="stylesheet" href="{static}/modes.css">\n',
        look=style_links(request.query_params, static),
        theme=theme_of(request.query_params),
        base=escape(base_url(request)),
        script=context_of(request).settings.script_name,
        site=escape(name),
        mode=mode,
    )
    ancestors = _framers(site) if is_embedded else "'none'"
    return _page(request, page, ancestors)


def refusal(request: Request, error: RequestError) -> Response:
    """A refusal for people where it is a browser that asked for a page, else as from the API."""
    is_page = not request.url.path.startswith("/v1/") and error.status in _HTML_STATUSES
    if not is_page:
        return problem_response(error)
    if "text/html" not in request.headers.get("accept", ""):
        response = problem_response(error)
        response.headers["Vary"] = "Accept"
        return response
    # Relative, from however deep: where this service begins only the browser knows.
    depth = request.scope.get("raw_path", b"/").count(b"/") - 1
    root = "../" * depth or "./"
    page = _ERROR.substitute(
        static=f"{root}static/{assets().version}",
        root=root,
        status=error.status,
        title=escape(title_of(error.status)),
        detail=escape(error.detail[:1].upper() + error.detail[1:]),
    )
    headers = {"Content-Security-Policy": _POLICY + "'none'", "Cache-Control": "no-store"}
    headers |= {"Vary": "Accept"} | error.headers
    return Response(page, error.status, headers, "text/html; charset=utf-8")


def _framers(site: Site) -> str:
    """Who may show the numbers in a frame: the site's own pages, or any where none are known. In
    a frame nobody is asked for a token; any page may show that a site's numbers are not public,
    which is said of one that is not there as well."""
    if not site.public:
        return "*"
    return " ".join(sorted(site.origins)) or "*"


def _language(request: Request) -> str:
    return language_of(request.query_params, request.headers.get("accept-language", ""))


def _query(request: Request) -> str:
    asked = asked_for(request.query_params)
    return f"?lang={asked}" if asked else ""


@functools.cache
def _template(name: str, language: str) -> Template:
    return translate((STATIC / name).read_text(encoding="utf-8"), language)


def _page(request: Request, page: str, ancestors: str) -> Response:
    headers = {
        "Content-Security-Policy": _POLICY + ancestors,
        "Cache-Control": "no-cache",
        "Vary": "Accept-Encoding, Accept-Language",
    }
    return answer(_rendered(page.encode()), request.headers, headers)


@functools.lru_cache(maxsize=64)  # so that asking again and again costs no gzip
def _rendered(page: bytes) -> Asset:
    return asset_of(page, ".html")


async def static(request: Request) -> Response:
    """A file that a page loads. While copies of two releases run, a page of the one may ask the
    other: it gets the file as it is here, not to be kept."""
    name = request.path_params["name"]
    if name not in assets().by_name:
        name = _without_language(name)
    if name.startswith("accent/"):
        return _accent(request, name)
    is_current = request.path_params["version"] == assets().version
    headers = {"Cache-Control": FOR_EVER if is_current else "no-cache"}
    return _file(request, assets().by_name.get(name), headers)


def _without_language(name: str) -> str:
    """The scripts of a page stand below its language, `de/stats.js`, so that what they import is in
    it as well, `de/texts.js`. All but texts is the same in every one."""
    language, _, rest = name.partition("/")
    return rest if language in LANGUAGES else name


def _accent(request: Request, name: str) -> Response:
    """The style sheet of an accent colour. Not to be kept for ever: the version in its address is
    that of the files, and this one is made."""
    digits = parse_accent(name.removeprefix("accent/").removesuffix(".css"))
    if not digits:
        raise HTTPException(404)
    css = asset_of(accent_css(digits).encode(), ".css")
    return answer(css, request.headers, {"Cache-Control": "public, max-age=86400"})


async def client(request: Request) -> Response:
    """The browser client, for the pages of any host."""
    name = request.url.path.rpartition("/")[2]
    found = find_script(assets(), name, context_of(request).settings.script_name)
    return _file(request, found, _CLIENT_HEADERS)


def _file(request: Request, found: Asset | None, headers: dict[str, str]) -> Response:
    if found is None:
        raise HTTPException(404)
    return answer(found, request.headers, headers)


def routes_of_script(script_name: str) -> list[Route]:
    """Where the client is found by another name than its own."""
    if script_name == DEFAULT:
        return []
    stem = script_name.removesuffix(".js")
    paths = (f"/{script_name}", f"/{stem}-{{part}}.js")
    return [Route(path, client, include_in_schema=False) for path in paths]


PAGE_ROUTES = [
    Route("/", start),
    Route("/sites/{site}", stats),
    Route("/presence.js", client),
    # Parts of the pages and of the client: not part of the documented interface.
    Route("/presence-{part}.js", client, include_in_schema=False),
    Route("/static/{version}/{name:path}", static, include_in_schema=False),
]
