"""``/api/authz/*``: a proxy asks whether a request may pass, in the dialect it speaks.

Paths, request headers, ``rd``/``rm`` and response headers are those of Authelia, so that its published proxy
snippets work. One family of headers counts on each endpoint, and only from ``SSO_TRUSTED_PROXIES``.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlencode

from sso.access import Address, Verdict, decide
from sso.edge import app_cookies
from sso.edge.answers import NOTHING_MORE, Answer, Headers, error_answer
from sso.edge.directory import Directory, wanted_directory
from sso.edge.errors import AccessRefused, StepUpRequired, TargetRefused, UnknownApp, UntrustedProxy
from sso.edge.remembered import PASS_AS_NOBODY, Remembered, wanted_session
from sso.edge.requests import Asked, Steps
from sso.edge.targets import Target, read_target, read_url
from sso.errors import MethodNotAllowed, NotFound, NotSignedIn, ReturnAddressRefused, SSOError
from sso.proxies import UNIX
from sso.registry import App
from sso.return_addresses import resolve
from sso.sites import Site

if TYPE_CHECKING:
    from sso.edge.core import Edge

PREFIX = "/api/authz/"
EXT_AUTHZ = "ext-authz"
#: Encoded characters of ``rd``: all headers of an answer must fit nginx's default buffer of 4 kB.
LONGEST_RETURN = 2800


class Dialect(NamedTuple):
    """How one kind of proxy asks, and what it does with the answer."""

    read: Callable[[Asked], Target]
    #: It passes a redirect on to the browser; otherwise it knows 2xx, 401 and 403 only.
    redirects: bool
    #: Methods of the sub-request; empty = any, it is the client's own.
    methods: tuple[str, ...] = ()


def answer(edge: Edge, asked: Asked, path: str) -> Steps:
    """200 with the identity headers, or the dialect's way to say "sign in", or 403; 400 for what has two readings."""
    dialect = _dialect(path)
    if dialect.methods and asked.method not in dialect.methods:
        raise MethodNotAllowed(*dialect.methods)
    if not edge.proxies.trusts(asked.peer):
        raise UntrustedProxy(f"asked by {asked.peer}")
    target, address = dialect.read(asked), _client_address(edge, asked)
    directory = yield from wanted_directory()
    app, site = _owner(edge, directory, target)
    value = None if _is_preflight(asked, target, directory) else edge.cookie(asked)
    remembered = yield from wanted_session(value, (site.domain,))
    verdict = decide(
        app.access,
        app_groups=app.groups,
        path=target.path,
        method=target.method,
        address=address,
        person=remembered.person if remembered else None,
        now=edge.clock(),
    )
    if verdict.allows or (verdict.kind == "sign_in" and _is_preflight(asked, target, directory)):
        return Answer(200, _passing(app, remembered) + _app_cookies(edge, asked))
    if verdict.kind == "refused":
        raise AccessRefused(f"rule {verdict.rule_id}")
    login_url = _login_url(app, site, target, verdict)
    error: SSOError = StepUpRequired() if verdict.kind == "step_up" else NotSignedIn()
    if dialect.redirects and navigates(asked):
        return _redirect(error, target, login_url)
    cors = directory.cors(asked.header("origin"))
    # nginx and HAProxy make the redirect themselves, from the Location of a 401.
    location = NOTHING_MORE if dialect.redirects else Headers([("Location", login_url)])
    return error_answer(error, cors + location, login_url=login_url)


# -- what is asked


def _dialect(path: str) -> Dialect:
    name = path.removeprefix(PREFIX)
    if name == EXT_AUTHZ or name.startswith(EXT_AUTHZ + "/"):
        return Dialect(_ext_authz, redirects=True)
    if name not in DIALECTS:
        raise NotFound
    return DIALECTS[name]


def _auth_request(asked: Asked) -> Target:
    """nginx and HAProxy: ``X-Original-URL`` and ``X-Original-Method``."""
    return read_url(_one(asked, "x-original-method"), _one(asked, "x-original-url", comma=True))


def _forward_auth(asked: Asked) -> Target:
    """Traefik and Caddy: ``X-Forwarded-{Method,Proto,Host,Uri}``."""
    return read_target(
        _one(asked, "x-forwarded-method"),
        _one(asked, "x-forwarded-proto"),
        _one(asked, "x-forwarded-host"),
        _one(asked, "x-forwarded-uri", comma=True),
    )


def _ext_authz(asked: Asked) -> Target:
    """Envoy: the client's own method and ``Host``, its path after ours, ``X-Forwarded-Proto``.

    Envoy's ``path_prefix`` may end with a slash or not, so one slash of two is taken away.
    """
    whole = asked.raw_target
    if whole is None:
        raise TargetRefused("this server does not hand over the address as it was sent")
    prefix = PREFIX + EXT_AUTHZ
    if not whole.startswith(prefix):
        raise TargetRefused("the address does not begin with the endpoint's own, unescaped")
    uri = whole[len(prefix) :]
    uri = uri[1:] if uri.startswith("//") else uri
    return read_target(asked.method, _one(asked, "x-forwarded-proto"), _one(asked, "host"), uri)


#: The endpoints with a fixed path; proxies ask them with GET or HEAD whatever the client's method.
DIALECTS = {
    "auth-request": Dialect(_auth_request, redirects=False, methods=("GET", "HEAD")),
    "forward-auth": Dialect(_forward_auth, redirects=True, methods=("GET", "HEAD")),
}


def _one(asked: Asked, name: str, *, comma: bool = False) -> str:
    """The header's only value. Servers join duplicates with commas: a comma where none belongs is two values."""
    value = asked.header(name)
    if not value:
        raise TargetRefused(f"{name} is missing")
    if "," in value and not comma:
        raise TargetRefused(f"{name} came more than once")
    return value


def _client_address(edge: Edge, asked: Asked) -> Address | None:
    """The client's address, None when the proxy did not say; raises ``BadRequest`` for what cannot be read."""
    forwarded = asked.header("x-forwarded-for")
    if forwarded is None:
        return None
    view = edge.proxies.view(peer=asked.peer, scheme="", host="", forwarded_for=forwarded)
    return None if view.address == UNIX else ip_address(view.address)


def _owner(edge: Edge, directory: Directory, target: Target) -> tuple[App, Site]:
    app, site = directory.by_origin.get(str(target.origin)), edge.sites.covering(target.origin)
    if app is None or site is None:
        raise UnknownApp(str(target.origin))
    return app, site


def _is_preflight(asked: Asked, target: Target, directory: Directory) -> bool:
    """A CORS preflight of a registered origin: browsers send it without cookies, and the app has to answer it."""
    return (
        target.method == "OPTIONS"
        and bool(asked.header("access-control-request-method"))
        and directory.knows(asked.header("origin"))
    )


def navigates(asked: Asked) -> bool:
    """Whether a person would see the answer, so that a redirect to the sign-in page makes sense.

    Fetch Metadata says it; for browsers without, what they accept. Web sockets, manifests, service workers and
    scripts get 401: a redirect would only end in a CORS error there.
    """
    if mode := asked.header("sec-fetch-mode"):
        return mode == "navigate"
    if dest := asked.header("sec-fetch-dest"):
        return dest == "document"
    if asked.header("upgrade") or asked.header("service-worker"):
        return False
    if (asked.header("x-requested-with") or "").lower() == "xmlhttprequest":
        return False
    return "text/html" in (asked.header("accept") or "").lower()


# -- what is answered


def _passing(app: App, remembered: Remembered | None) -> Headers:
    """The identity headers; empty for nobody, and for somebody whom the app does not admit (on a public path)."""
    if remembered is None or not app.admits(remembered.session.user.groups):
        return PASS_AS_NOBODY
    return remembered.passing


def _app_cookies(edge: Edge, asked: Asked) -> Headers:
    """The ``Cookie`` header the app should get, for a proxy that asks for it."""
    if asked.raw_target != app_cookies.ASKED_FOR:
        return NOTHING_MORE
    ours = (edge.cookies.name, app_cookies.HUB_COOKIE)
    rest = app_cookies.others(asked.header("cookie") or "", ours)
    return Headers([("Cookie", rest)]) if rest else NOTHING_MORE


def _login_url(app: App, site: Site, target: Target, verdict: Verdict) -> str:
    """The hub's sign-in page, which brings the browser back here; ``amr`` and ``max_age`` ask for more."""
    query = {"rd": _return_address(app, site, target), "rm": target.method}
    if verdict.kind == "step_up":
        query |= {"amr": " ".join(verdict.amr)} if verdict.amr else {}
        query |= {"max_age": str(verdict.max_age)} if verdict.max_age else {}
    return f"{site.hub}/login/?{urlencode(query)}"


def _return_address(app: App, site: Site, target: Target) -> str:
    """The full address; when it is too long or the app registered others, the nearest one that is accepted."""
    for raw in (target.address, f"{target.origin}{target.raw_path}", f"{target.origin}/"):
        if len(quote(raw, safe="")) > LONGEST_RETURN:
            continue
        try:
            return resolve(raw, hub=site.hub, origins=lambda _: app.return_addresses)
        except ReturnAddressRefused:
            continue
    return app.return_addresses[0]


def _redirect(error: SSOError, target: Target, login_url: str) -> Answer:
    """302 for what may be repeated after signing in, 303 (then a GET) for the rest: a form is not sent twice."""
    found = error_answer(error, Headers([("Location", login_url)]), login_url=login_url)
    return found._replace(status=302 if target.method in ("GET", "HEAD", "OPTIONS") else 303)
