"""From what was seen to what is wrong. Pure: values in, findings out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from publicsuffixlist import PublicSuffixList

from sso.doctor.findings import Finding, Level
from sso.doctor.observations import AppPage, Arrived, Browser
from sso.sites import Site, Sites

#: Seconds that two clocks may differ before it is worth a word.
CLOCK_SLACK: Final = 30
#: Bytes of a Cookie header from which on some servers refuse.
MANY_BYTES: Final = 6000


@dataclass(frozen=True, slots=True)
class Place:
    """What is judged: the hub that was asked, for a page of ``origin`` (the hub's own if empty)."""

    sites: Sites
    site: Site
    cookie: str
    origin: str = ""

    @property
    def host(self) -> str:
        """The page's host, without a port."""
        try:
            return urlsplit(self.origin).hostname or ""
        except ValueError:
            return ""

    def finding(self, code: str, **facts: str | int) -> Finding:
        """A finding of this place; its texts may speak of hub, domain, cookie, origin and host."""
        known: dict[str, str | int] = {
            "hub": str(self.site.hub),
            "hub_host": self.site.hub.host,
            "domain": self.site.domain,
            "cookie": self.cookie,
            "origin": self.origin,
            "host": self.host,
        }
        return Finding(code, known | facts)


# -- the hub's own page


def of_hub_page(place: Place, arrived: Arrived, browser: Browser) -> Iterator[Finding]:
    """What this browser does with the cookies of the hub."""
    yield from _transport(place, arrived, browser)
    yield from _our_cookie(place, arrived, planted=browser.planted)
    yield from _clock(place, browser.clock)
    if "hit" in browser.x_cache.lower() or browser.age not in ("", "0"):
        yield place.finding("cached_answer")
    yield from answer_headers(place, browser.vary, browser.cache_control)


def _transport(place: Place, arrived: Arrived, browser: Browser) -> Iterator[Finding]:
    """Why the probes did not come back: the connection, the browser's settings, or the domain."""
    over_http = browser.protocol == "http:" or urlsplit(arrived.origin).scheme == "http"
    if place.site.hub.is_secure and over_http:
        yield place.finding("secure_on_http")
    elif not (arrived.host_probe and browser.cookies_enabled):
        yield place.finding("cookies_blocked")
    elif not arrived.domain_probe:
        yield place.finding("public_suffix")
    if place.site.hub.is_secure and not over_http and arrived.scheme == "http":
        yield place.finding("proxy_not_trusted")


def _our_cookie(place: Place, arrived: Arrived, *, planted: bool) -> Iterator[Finding]:
    kinds = {"several": "cookie_conflict", "malformed": "malformed_cookie"}
    if arrived.session in kinds:
        yield place.finding(kinds[arrived.session])
    if planted:
        yield place.finding("planted_cookie")
    if arrived.cookie_bytes > MANY_BYTES:
        yield place.finding("cookies_large", bytes=arrived.cookie_bytes)


def _clock(place: Place, milliseconds: float) -> Iterator[Finding]:
    seconds = round(abs(milliseconds) / 1000)
    if seconds > CLOCK_SLACK:
        yield place.finding("clock_browser", seconds=seconds)


def answer_headers(place: Place, vary: str, cache_control: str) -> Iterator[Finding]:
    """Whether an answer still says that it is nobody else's."""
    varies = {name.strip().lower() for name in vary.split(",")}
    missing = [name for name in ("Cookie", "Origin") if not {name.lower(), "*"} & varies]
    if missing:
        yield place.finding("vary_missing", missing=", ".join(missing))
    if "no-store" not in cache_control.lower():
        yield place.finding("cache_allowed")


# -- an app's page


def of_app_page(
    place: Place, page: AppPage, *, registered: bool, ask_ourselves: Callable[[], list[Finding]]
) -> Iterator[Finding]:
    """What happens to calls from an app's page to the hub.

    ``ask_ourselves`` makes the same call from the server; it is asked when the browser alone cannot tell.
    """
    over_http = place.site.hub.is_secure and page.origin.startswith("http:")
    if page.csp:
        yield place.finding("app_csp")
    if over_http:
        yield place.finding("app_over_http")
    elif elsewhere := where_it_belongs(place):
        yield _cross_site(place, page, elsewhere)
    elif page.framed and page.arrived and not page.arrived.domain_probe:
        yield place.finding("third_party_cookies")
    if not (registered or over_http):  # such an origin cannot be registered
        yield place.finding("origin_not_registered")
    if page.call and page.call.credentials != "include":
        yield place.finding("credentials_missing")
    if registered and not page.csp:
        yield from _calls(place, page, ask_ourselves)
    if page.arrived:
        yield from _our_cookie(place, page.arrived, planted=page.planted)
        yield from _clock(place, page.clock)
    elif page.planted:
        yield place.finding("planted_cookie")


def _calls(place: Place, page: AppPage, ask_ourselves: Callable[[], list[Finding]]) -> Iterator[Finding]:
    """Why the hub's answers do not reach the page, when they do not."""
    if page.include != "failed":
        return
    if page.omit == "failed" and page.opaque == "failed":
        yield place.finding("hub_unreachable")
        return
    found = ask_ourselves()
    yield from found
    if page.omit == "ok" and not any(one.level is Level.BROKEN for one in found):
        yield place.finding("cookies_too_large")


def _cross_site(place: Place, page: AppPage, elsewhere: Finding) -> Finding:
    """SameSite lets the probe with ``None`` through; where not even that comes, third parties are blocked."""
    seen = page.arrived
    if elsewhere.code == "same_site" and seen and not seen.far_probe:
        return place.finding("third_party_cookies")
    return elsewhere


def where_it_belongs(place: Place) -> Finding | None:
    """Why the shared cookie cannot reach this origin, whatever anybody sets; None when it can."""
    if not place.host or place.site.covers(place.host):
        return None
    right = next((site for site in place.sites if site.covers(place.host)), None)
    if right is not None:
        return place.finding("wrong_hub", right=str(right.hub))
    ours, theirs = (_suffixes().privatesuffix(name) for name in (place.site.domain, place.host))
    if ours is not None and ours == theirs:
        return place.finding("domain_not_covered", common=ours)
    return place.finding("same_site", other=theirs or place.host)


@lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    """Loaded once: it takes some 50 ms."""
    return PublicSuffixList()
