"""What to send, and what would be wrong with the answer. Each check asks a few times and gives one result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from sso.edge.remembered import IDENTITY_HEADERS
from sso.proxy_check.door import Door, Pairs, Reply, Seen
from sso.proxy_check.ground import Ground, View
from sso.proxy_check.remedies import remedy
from sso.proxy_check.report import Report, Result, Verdict

#: An address of TEST-NET-3 (RFC 5737), which is nobody's.
NOBODYS_ADDRESS = "203.0.113.66"
_UNSEEN = (
    "cannot be told: the app does not say what it gets. Put deploy/proxies/echo.py in its place for the check"
)


def check_door(ground: Ground) -> Result:
    """Nobody has to be stopped at all."""
    reply = ground.baseline
    if reply.reached_the_app:
        return _open("door", f"Nobody has to sign in: the app answers strangers with {reply.status}.")
    if reply.status >= 500 or not reply.status:
        words = "Everything is refused because the edge gives no answer. Start it and check again"
        return _result("door", "wrong", f"{words} (or say --edge-down, if it is meant to be down).")
    if not reply.login_url:
        return _result(
            "door", "wrong", f"Strangers get {reply.status} and are not told where to sign in.", change=True
        )
    return _closed("door", "Strangers are sent to sign in.")


def check_refusal(ground: Ground) -> Result:
    """With the edge stopped on purpose, nothing may reach the app."""
    reply = ground.baseline
    if reply.reached_the_app:
        return _open(
            "errors", f"When the edge gives no answer, everybody passes: the app answers with {reply.status}."
        )
    if reply.status < 500:
        return _result(
            "errors", "wrong", f"The edge is said to be down, but something answered {reply.status}."
        )
    return _closed("errors", "When the edge gives no answer, everything is refused.")


def check_identity(ground: Ground) -> Result:
    """The five headers, spelt as we spell them and in mixed case."""
    claims = [(name, f"{ground.mark}@intruder") for name in (*IDENTITY_HEADERS, "rEmOtE-uSeR", "REMOTE-ID")]
    if ground.ask(ground.target, claims).reached_the_app:
        return _open("identity", "A client that sends Remote-User is let in without signing in.")
    if names := _arrived(ground, claims):
        return _open("identity", f"A client can say who it is: its own {names} reached the app.")
    view = ground.signed_in
    if view and (missing := _missing(view, ground.look(view, claims).seen)):
        return _result(
            "identity", "wrong", f"The app is not told who is there: {missing} did not arrive.", change=True
        )
    return _seen_closed(
        ground, "identity", "A client's own Remote-* never reach the app.", "Whether a client's own Remote-*"
    )


def check_spelling(ground: Ground) -> Result:
    """Names that some servers take for the same: WSGI and PHP read Remote_User as Remote-User."""
    for mark in "_.~":
        claims = [(name.replace("-", mark), ground.mark) for name in IDENTITY_HEADERS]
        names = _arrived(ground, [*claims, (f"remote{mark}user", ground.mark)])
        if names:
            return _open(
                "spelling",
                f"A client can say who it is by another spelling: {names} reached the app, and some servers "
                "read that as Remote-User.",
            )
    words = "Other spellings, such as Remote_User, never reach the app."
    return _seen_closed(ground, "spelling", words, "Whether other spellings such as Remote_User")


def check_forwarded(ground: Ground) -> Result:
    """What only the proxy may say about the request: to the edge, and to the app."""
    for name, value in _forwarded_claims(ground):
        reply = ground.ask(ground.target, [(name, value)])
        if _believed(ground, reply):
            return _open(
                "forwarded",
                f"The edge is asked about what the client says: {name} changed the answer "
                f"({_gist(ground.baseline)} became {_gist(reply)}).",
            )
    if names := _arrived(ground, list(_forwarded_claims(ground)), one_by_one=True):
        return _open(
            "forwarded",
            f"The app may be led to another address than the one that was judged: {names} reached it.",
        )
    return _closed(
        "forwarded", "What a client says about its own request (X-Forwarded-*, X-Original-*) is not believed."
    )


def check_address(ground: Ground) -> Result:
    """Where the client says it comes from."""
    looks = (ground.look(view, [claim]).seen for view in ground.views for claim in _address_claims())
    found = [result for seen in looks if seen and (result := _believed_address(seen))]
    if found:
        return min(found, key=lambda result: result.verdict != "open")
    return _seen_closed(
        ground,
        "address",
        "A client cannot say where it comes from.",
        "Whether a client can say where it comes from",
    )


def check_paths(ground: Ground) -> Result:
    """Addresses that a proxy, the edge and an app may read in different ways."""
    unclear = ""
    for target in _odd_targets(ground):
        reply = ground.ask(target)
        if not reply.reached_the_app:
            continue
        if reply.seen is None and ground.public:
            unclear = target
        elif reply.seen is None or not ground.is_public(reply.seen.target):
            return _open("paths", f"An odd address gets past: {target} reached the app ({reply.status}).")
    if unclear:
        return _result("paths", "unknown", f"Whether {unclear} led past the rules {_UNSEEN}.")
    return _closed(
        "paths",
        "Odd addresses (//, /../, %2f, %2e, ;, %5c, upper case) are refused or judged as the app gets them.",
    )


def check_connection(ground: Ground) -> Result:
    """Headers that a client names in Connection, for a later hop to drop (RFC 9110 §7.6.1)."""
    ours = "X-Forwarded-Host, X-Forwarded-Uri, X-Forwarded-Method, X-Forwarded-Proto, X-Original-URL, X-Original-Method"
    if ground.ask(ground.target, [("Connection", f"close, {ours}, Cookie")]).reached_the_app:
        return _open("connection", "A client that names the proxy's headers in Connection is let in.")
    view = ground.signed_in
    if view is None or _missing(view, ground.look(view).seen):
        return _result("connection", "unknown", f"Whether Connection can drop Remote-* {_UNSEEN}.")
    names = ", ".join(IDENTITY_HEADERS)
    seen = ground.look(view, [("Connection", f"close, {names}")]).seen
    if seen and (missing := _missing(view, seen)):
        return _open(
            "connection",
            f"A client can make its own identity vanish: Connection dropped {missing} before the app.",
        )
    if seen and any(_names_ours(value) for value in seen.values("Connection")):
        return _open("connection", "The app is told by the client, in Connection, to drop Remote-*.")
    return _closed("connection", "A client cannot have headers dropped by naming them in Connection.")


def check_upgrade(ground: Ground) -> Result:
    """A tunnel to the app in which nobody is asked about anything."""
    h2c = [
        ("Connection", "Upgrade, HTTP2-Settings"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
    ]
    for view in ground.views:
        seen = ground.look(view, h2c).seen
        if seen and any("h2c" in value.lower() for value in seen.values("Upgrade")):
            return _open("upgrade", "Upgrade: h2c reaches the app, which may open a tunnel past the proxy.")
    return _seen_closed(ground, "upgrade", "Only web sockets may upgrade.", "Whether Upgrade: h2c")


def check_cookie(ground: Ground) -> Result:
    """Our cookie is worth a sign-in everywhere on the site; the app's own are the app's."""
    view = ground.signed_in
    if view is None:
        return _result("cookie", "unknown", f"Whether the app gets our cookie {_UNSEEN}.")
    pairs = f"theirs={ground.mark}; {ground.cookie}={ground.value}; more={ground.mark}; {ground.cookie}={ground.value}"
    seen = ground.ask(view.target, [("Cookie", pairs)]).seen
    if seen and (names := seen.mentions(ground.value)):
        return _open(
            "cookie",
            f"The app gets the cookie {ground.cookie} (in {', '.join(names)}): it can act as its visitors elsewhere.",
        )
    kept = "; ".join(seen.values("Cookie")) if seen else ""
    if kept.count(ground.mark) != 2:
        return _result("cookie", "wrong", "The app's own cookies are lost together with ours.", change=True)
    return _closed("cookie", f"The app gets its own cookies and not {ground.cookie}.")


def check_errors(ground: Ground) -> Result:
    """Requests on which the edge gives neither yes nor no, while it runs."""
    many = [(f"X-Filler-{number}", "x") for number in range(110)]
    attempts: list[tuple[str, Pairs]] = [
        (ground.target.partition("?")[0] + ";x", ()),
        (ground.target, many),
        (ground.target + "%", ()),
        (f"{ground.target}?{'a' * 8300}", ()),
        (ground.target, [("X-Forwarded-For", "not an address")]),
        (ground.target, [("Cookie", f"{ground.cookie}=" + "a" * 7000)]),
    ]
    for target, headers in attempts:
        reply = ground.ask(target, headers)
        if reply.reached_the_app:
            return _open(
                "errors", f"When the edge cannot answer, the app is asked: {target[:60]} got {reply.status}."
            )
    return _closed("errors", "Requests on which the edge gives no clear answer are refused.")


def check_edge(ground: Ground, edge: Door) -> Result:
    """Whoever can reach the edge's endpoints may not ask them as if it were a proxy."""
    for path, headers in _edge_questions(ground):
        try:
            reply = edge.ask(path, headers)
        except OSError:
            continue
        if not (
            reply.status in (0, 404, 405) or (reply.status == 403 and reply.error in ("", "untrusted_proxy"))
        ):
            return _open(
                "edge",
                f"The edge answers strangers: {urlsplit(path).path} said {reply.status} {reply.error} to this machine, "
                "which should not be one of the proxies.",
            )
    return _closed("edge", "The edge refuses to answer this machine, which is not one of its proxies.")


#: In the order in which they are asked.
ATTACKS: tuple[Callable[[Ground], Result], ...] = (
    check_identity,
    check_spelling,
    check_forwarded,
    check_address,
    check_paths,
    check_connection,
    check_upgrade,
    check_cookie,
    check_errors,
)


def run(ground: Ground, report: Report, *, edge: Door | None = None, edge_down: bool = False) -> None:
    """Ask everything and write the results down. Raises ``OSError`` when nobody listens."""
    ground.explore()
    if edge_down:
        results = [check_refusal(ground)]
    else:
        results = [check_door(ground)]
        if results[0].verdict in ("closed", "wrong") and 0 < ground.baseline.status < 500:
            results += [attack(ground) for attack in ATTACKS]
        results += [check_edge(ground, edge)] if edge else []
    report.results = [_with_line(result, report.proxy) for result in results]
    report.requests = ground.door.asked + (edge.asked if edge else 0)


# -- what is sent


def _forwarded_claims(ground: Ground) -> Iterator[tuple[str, str]]:
    there = f"/{ground.mark}"
    places = [there, ground.public] if ground.public else [there]
    for place in places:
        yield from ((name, place) for name in ("X-Forwarded-Uri", "X-Original-URI", "X-Rewrite-URL"))
        yield "X-Original-URL", f"{ground.origin}{place}"
    yield "X-Forwarded-Host", f"{ground.mark}.invalid"
    yield "X-Forwarded-Proto", "http"
    yield "X-Forwarded-Method", "POST"
    yield "X-Original-Method", "POST"
    yield "X-Forwarded-Prefix", there
    yield "Forwarded", f"for={NOBODYS_ADDRESS};host={ground.mark}.invalid"


def _address_claims() -> list[tuple[str, str]]:
    return [
        ("X-Forwarded-For", NOBODYS_ADDRESS),
        ("X-Real-IP", NOBODYS_ADDRESS),
        ("Forwarded", f"for={NOBODYS_ADDRESS}"),
    ]


def _odd_targets(ground: Ground) -> Iterator[str]:
    path = ground.target.partition("?")[0]
    for pattern in (
        "/{}",
        "/.{}",
        "/x/..{}",
        "/%2e{}",
        "/x/%2e%2e{}",
        "/x/..;{}",
        "/;x{}",
        "/%5c..{}",
        "/x%2f..{}",
    ):
        yield pattern.format(path)
    for end in ("/", "//", "/.", ";x", "%2f", "%5c", "%00", "%20", "%23", "?", ".."):
        yield path + end
    yield path.upper()
    yield f"http://{ground.door.host}{path}"
    if public := ground.public:
        yield from (
            public + way + path
            for way in ("/..", "/../..", "/%2e%2e", "/..%2f..", "/..;/..", "/..%5c..", "/%252e%252e")
        )
        yield f"{path}?x={public}"
        yield f"{path}%23{public}"


def _edge_questions(ground: Ground) -> Iterator[tuple[str, Pairs]]:
    parts = ("X-Forwarded-Method", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Uri")
    values = ("GET", ground.origin.scheme, ground.door.host, ground.target)
    yield "/api/authz/forward-auth", list(zip(parts, values, strict=True))
    address = f"{ground.origin}{ground.target}"
    yield "/api/authz/auth-request", [("X-Original-URL", address), ("X-Original-Method", "GET")]
    yield f"/api/authz/ext-authz{ground.target}", [("X-Forwarded-Proto", ground.origin.scheme)]


# -- what came of it


def _arrived(ground: Ground, claims: list[tuple[str, str]], *, one_by_one: bool = False) -> str:
    """Names of the headers that brought the check's mark to the app, in any view."""
    found: set[str] = set()
    for view in ground.views:
        for sent in [[claim] for claim in claims] if one_by_one else [claims]:
            seen = ground.look(view, sent).seen
            found |= set(seen.mentions(ground.mark)) if seen else set()
    return ", ".join(sorted(found))


def _missing(view: View, seen: Seen | None) -> str:
    """Which of the signed-in person's headers the app did not get, exactly once and as they are."""
    if seen is None or view.session is None:
        return ""
    user = view.session.user
    wanted = {"Remote-User": user.username, "Remote-Id": user.id, "Remote-Email": user.email}
    return ", ".join(name for name, value in wanted.items() if seen.values(name) != [value])


def _believed(ground: Ground, reply: Reply) -> bool:
    """Whether the verdict is another one than without the trick; a refusal as unreadable is none."""
    if reply.status in (0, 400, 421) or reply.status >= 500:
        return False
    before = ground.baseline
    return (reply.status, reply.error, reply.login_url) != (before.status, before.error, before.login_url)


def _believed_address(seen: Seen) -> Result | None:
    chain = ",".join(seen.values("X-Forwarded-For"))
    last = chain.rpartition(",")[2].strip()
    alone = [name for name in ("X-Real-IP", "Forwarded") if NOBODYS_ADDRESS in " ".join(seen.values(name))]
    if last == NOBODYS_ADDRESS:
        alone.append("X-Forwarded-For")
    if alone:
        return _open("address", f"A client can say where it comes from: its {alone[0]} reached the app.")
    if NOBODYS_ADDRESS in chain:
        return _result(
            "address",
            "wrong",
            "The client's X-Forwarded-For stays before the true address: an app that reads the left end is fooled.",
            change=True,
        )
    return None


def _names_ours(value: str) -> bool:
    return any(name.lower() in value.lower() for name in IDENTITY_HEADERS)


def _gist(reply: Reply) -> str:
    """An answer in a word or two."""
    return f"{reply.status} {reply.error}".strip()


def _seen_closed(ground: Ground, check: str, words: str, question: str) -> Result:
    """Closed, if anything could be seen at all."""
    return (
        _closed(check, words)
        if ground.views
        else _result(check, "unknown", f"{question} reach the app {_UNSEEN}.")
    )


def _open(check: str, words: str) -> Result:
    return _result(check, "open", words, change=True)


def _closed(check: str, words: str) -> Result:
    return _result(check, "closed", words)


def _result(check: str, verdict: Verdict, words: str, *, change: bool = False) -> Result:
    return Result(check, verdict, words, check if change else "")


def _with_line(result: Result, proxy: str) -> Result:
    """The result with the line to change, where one is."""
    if not result.change:
        return result
    return Result(result.check, result.verdict, result.words, remedy(result.check, proxy))
