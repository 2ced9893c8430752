"""What the doctor may find: what is wrong, why, and the line to change. Codes never change (docs/doctor.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise


class Level(StrEnum):
    """How bad it is: people cannot sign in somewhere, or some will not be able to one day."""

    BROKEN = "broken"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Cause:
    """One rule that drops a cookie or an answer. ``%(name)s`` in the texts stands for a fact of the finding."""

    level: Level
    what: str | _StrPromise
    #: For somebody who knows Rails or Vue, not cookies.
    why: str | _StrPromise
    change: str | _StrPromise


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause that holds here, with the facts its texts speak of. No fact is a secret."""

    code: str
    facts: dict[str, str | int] = field(default_factory=dict, hash=False)

    @property
    def cause(self) -> Cause:
        return CAUSES[self.code]

    @property
    def level(self) -> Level:
        return self.cause.level

    @property
    def what(self) -> str:
        return str(self.cause.what) % self.facts

    @property
    def why(self) -> str:
        return str(self.cause.why) % self.facts

    @property
    def change(self) -> str:
        return str(self.cause.change) % self.facts

    def as_json(self) -> dict[str, Any]:
        """The finding for programs, in the language that is spoken now."""
        return {
            "code": self.code,
            "level": self.level.value,
            "what": self.what,
            "why": self.why,
            "change": self.change,
        }


def unique(found: list[Finding]) -> list[Finding]:
    """Each once, what is broken first."""
    order = {f"{one.code} {sorted(one.facts.items())}": one for one in found}
    return sorted(order.values(), key=lambda one: one.level is not Level.BROKEN)


_BROKEN, _WARNING = Level.BROKEN, Level.WARNING

CAUSES: Final[dict[str, Cause]] = {
    # -- the browser and the cookie
    "cookies_blocked": Cause(
        _BROKEN,
        _("Your browser keeps no cookies for %(hub)s."),
        _("Staying signed in is a cookie; with cookies blocked the next click is a stranger's again."),
        _("Allow cookies for %(domain)s in the browser's settings, and in extensions that block them."),
    ),
    "public_suffix": Cause(
        _BROKEN,
        _("Your browser keeps cookies of %(hub)s itself, and refuses one for all of %(domain)s."),
        _(
            "Browsers refuse cookies for names on the public suffix list, below which strangers have their sites, "
            "and for domains the host is not part of."
        ),
        _("SSO_SITES: use your own domain below it, such as example.%(domain)s=auth.example.%(domain)s"),
    ),
    "secure_on_http": Cause(
        _BROKEN,
        _("This page was opened over plain http, and the cookies are Secure."),
        _("A browser neither stores nor sends a Secure cookie over http, so the sign-in is lost at once."),
        _("Redirect http to https in the proxy, and open %(hub)s."),
    ),
    "cookie_conflict": Cause(
        _BROKEN,
        _("Two different cookies named %(cookie)s arrive."),
        _(
            "Servers disagree which of two counts, so two count as nobody; another host or an old set-up left one."
        ),
        _(
            "Delete the cookies of %(domain)s in the browser; after a change of domain set SSO_OLDER_COOKIE_DOMAINS to "
            "the old one."
        ),
    ),
    "cookie_conflict_cleared": Cause(
        _WARNING,
        _("Two different cookies named %(cookie)s arrived; both are deleted now."),
        _(
            "Servers disagree which of two counts, so two count as nobody; another host or an old set-up left one."
        ),
        _(
            "Sign in again. If it comes back, find the app below %(domain)s that sets it, and rename its cookie."
        ),
    ),
    "planted_cookie": Cause(
        _BROKEN,
        _("A script can see a cookie named %(cookie)s, so this service did not set it."),
        _(
            "Ours is HttpOnly; what document.cookie shows was set by a page or by another host below %(domain)s."
        ),
        _(
            "Find the app that sets a cookie of this name, rename its cookie, and delete this one in the browser."
        ),
    ),
    "malformed_cookie": Cause(
        _BROKEN,
        _("A cookie named %(cookie)s arrives whose value is not one of ours."),
        _(
            "A value that is not 43 characters of base64url counts as no cookie; an app or a proxy has rewritten it."
        ),
        _("Find the app that sets a cookie of this name and rename its cookie."),
    ),
    "cookies_too_large": Cause(
        _BROKEN,
        _("With its cookies this browser's requests are refused; without them they are answered."),
        _(
            "All cookies of %(domain)s travel in one header, and the server in between takes only so many bytes."
        ),
        _(
            "Delete cookies of %(domain)s, make apps set theirs for their own host, and allow more in the proxy: nginx "
            "large_client_header_buffers 4 16k;"
        ),
    ),
    "cookies_large": Cause(
        _WARNING,
        _("This browser sends %(bytes)s bytes of cookies with every request."),
        _("Servers refuse headers beyond 8 to 16 kB, and then nobody is signed in any more."),
        _("Have apps set their cookies for their own host, without Domain=%(domain)s."),
    ),
    "clock_browser": Cause(
        _WARNING,
        _("This device's clock and the server's differ by %(seconds)s seconds."),
        _(
            "Times shown are wrong, one-time codes fail, and a cookie with a lifetime may be over before it begins."
        ),
        _("Set the device's clock automatically; if other devices agree with it, run NTP on the server."),
    ),
    # -- the app's page
    "origin_not_registered": Cause(
        _BROKEN,
        _("%(origin)s is not registered here."),
        _("CORS compares scheme, host and port exactly, and pages of unknown origins may read no answer."),
        _("python manage.py register_app NAME --origin %(origin)s"),
    ),
    "app_over_http": Cause(
        _BROKEN,
        _("The app's page %(origin)s is plain http."),
        _("To a browser http and https of one domain are two sites, so no Secure cookie goes along."),
        _("Serve the app over https and register https://%(host)s."),
    ),
    "domain_not_covered": Cause(
        _BROKEN,
        _("%(origin)s is outside the cookie's domain %(domain)s."),
        _("A cookie with Domain=%(domain)s goes to that name and to hosts below it, and nowhere else."),
        _(
            "Move the app below %(domain)s, or choose the domain that both share: SSO_SITES=%(common)s=%(hub_host)s"
        ),
    ),
    "same_site": Cause(
        _BROKEN,
        _("%(origin)s is another site than %(domain)s, and the cookie is SameSite=Lax."),
        _("Browsers send a Lax cookie with fetch() only within one site, whatever credentials says."),
        _("Move the app below %(domain)s, or give its domain a hub: SSO_SITES=…, %(other)s=auth.%(other)s"),
    ),
    "third_party_cookies": Cause(
        _BROKEN,
        _("The browser sends no cookie of %(domain)s from this page at all: it blocks third-party cookies."),
        _(
            "A page of another site, or one in another site's frame, is a third party, and browsers block its cookies."
        ),
        _("Open the app in a tab of its own, below %(domain)s, not inside a frame of another site."),
    ),
    "wrong_hub": Cause(
        _BROKEN,
        _("%(origin)s asks %(hub)s, and the hub of its own site is %(right)s."),
        _("Each site has a cookie and a hub of its own; no cookie reaches the hub of another site."),
        _("In the app: the hub's address is %(right)s"),
    ),
    "credentials_missing": Cause(
        _BROKEN,
        _("The app's own call leaves the cookies out."),
        _("fetch() and axios send no cookies to another origin unless told to."),
        _('fetch(url, {credentials: "include"}), or axios.defaults.withCredentials = true'),
    ),
    "app_csp": Cause(
        _BROKEN,
        _("The app's own Content-Security-Policy forbids calls to %(hub)s."),
        _("A page may only call the addresses its connect-src names."),
        _("In the app: Content-Security-Policy: connect-src 'self' %(hub)s"),
    ),
    "hub_unreachable": Cause(
        _BROKEN,
        _("%(hub)s gives the app's page no answer."),
        _(
            "The name does not resolve, the certificate is not trusted, or something in between blocks the call."
        ),
        _("Open %(hub)s/healthz in this browser; mend the name, the certificate or the firewall."),
    ),
    # -- between the browser and us
    "proxy_not_trusted": Cause(
        _BROKEN,
        _("Requests for %(hub)s arrive here as plain http."),
        _("A proxy ends TLS and says so in X-Forwarded-Proto, which counts only from proxies you named."),
        _(
            "SSO_TRUSTED_PROXIES=the proxy's address; and in nginx: proxy_set_header X-Forwarded-Proto $scheme;"
        ),
    ),
    "cors_missing": Cause(
        _BROKEN,
        _("Answers of %(hub)s for %(origin)s carry no Access-Control-Allow-Origin."),
        _(
            "We send it for every registered origin, so something in between takes it away, or answers in our place."
        ),
        _("Remove proxy_hide_header Access-Control-* (or what your proxy calls it) in front of the hub."),
    ),
    "cors_wildcard": Cause(
        _BROKEN,
        _("Answers of %(hub)s carry Access-Control-Allow-Origin: %(value)s."),
        _("With credentials a browser accepts one exact origin and no wildcard; a second value voids both."),
        _("Remove add_header Access-Control-Allow-Origin in front of the hub: the hub sends the right one."),
    ),
    "cors_credentials": Cause(
        _BROKEN,
        _("Answers of %(hub)s lack Access-Control-Allow-Credentials: true."),
        _("Without it a page may not read an answer to a request that carried cookies."),
        _("Remove proxy_hide_header Access-Control-* in front of the hub."),
    ),
    "preflight_refused": Cause(
        _BROKEN,
        _("OPTIONS %(hub)s/api/session is not answered as a CORS preflight."),
        _("Before a DELETE, or a POST of JSON, a browser asks with OPTIONS, and gives up without a yes."),
        _("Let the proxy pass OPTIONS on to the hub; remove any return 204 or 405 for it."),
    ),
    "vary_missing": Cause(
        _BROKEN,
        _("Answers of %(hub)s arrive without Vary: %(missing)s."),
        _(
            "A cache that does not know what an answer depends on gives one app, or one person, the answer of another."
        ),
        _("Remove proxy_hide_header Vary, or whatever rewrites it, in front of the hub."),
    ),
    "cache_allowed": Cause(
        _BROKEN,
        _("Answers of %(hub)s arrive without Cache-Control: no-store."),
        _("Who is signed in is different for everybody, so a stored answer is somebody else's."),
        _("Remove expires, add_header Cache-Control and the like for /api/ in front of the hub."),
    ),
    "cached_answer": Cause(
        _BROKEN,
        _("A cache in front of %(hub)s answers for it."),
        _("A stored answer belongs to whoever asked first: people see each other's name, or a CORS error."),
        _("Switch the cache off for the hub: nginx proxy_cache off; a CDN: bypass %(hub)s"),
    ),
    "cookie_stripped": Cause(
        _BROKEN,
        _("Cookies sent to %(hub)s do not arrive here."),
        _("A proxy or cache in between drops the Cookie header, so everybody is a stranger."),
        _('Remove proxy_set_header Cookie "" (a CDN: forward all cookies) in front of the hub.'),
    ),
    "set_cookie_stripped": Cause(
        _BROKEN,
        _("Cookies that this service sets are lost or changed before they leave %(hub)s."),
        _("Without Set-Cookie, or with another Domain, no browser can send the cookie to the apps."),
        _(
            "Remove proxy_hide_header Set-Cookie, proxy_cookie_domain and proxy_cookie_flags in front of the hub."
        ),
    ),
    "origin_stripped": Cause(
        _BROKEN,
        _("The Origin header sent to %(hub)s does not arrive here."),
        _("Without it no page can be recognised: CORS and every form are refused."),
        _('Remove proxy_set_header Origin "" in front of the hub.'),
    ),
    "header_limit": Cause(
        _WARNING,
        _("%(hub)s refuses requests with %(bytes)s bytes of cookies."),
        _("Apps below one domain add up; a browser that reaches the limit is shut out of all of them."),
        _("nginx: large_client_header_buffers 4 16k; other proxies: allow 16 kB for one header."),
    ),
    "hub_not_answering": Cause(
        _BROKEN,
        _("The server cannot reach itself at %(hub)s (%(problem)s)."),
        _("The public name does not lead here: DNS, certificate, proxy or firewall."),
        _(
            "Mend the name or the proxy. If only this machine cannot reach it, the checks below were left out."
        ),
    ),
    # -- the app, seen from here
    "app_unreachable": Cause(
        _WARNING,
        _("%(origin)s gives this server no answer (%(problem)s)."),
        _("The app is down, its name leads nowhere, or this machine may not reach it."),
        _("Open %(origin)s; correct the app's origins under Relying apps if it has moved."),
    ),
    "app_sets_our_cookie": Cause(
        _BROKEN,
        _("%(origin)s itself sets a cookie named %(cookie)s."),
        _("It replaces ours or stands beside it, and either way the person is nobody."),
        _("Rename the app's own session cookie (Rails: key:, Express: name:, Django: SESSION_COOKIE_NAME)."),
    ),
    "app_ignores_session": Cause(
        _BROKEN,
        _("%(origin)s sends somebody who is signed in to the sign-in page."),
        _(
            "The app looks for the session under another prefix, in another Redis, or its proxy drops the cookie."
        ),
        _(
            "On the app's machine: python -m sso_client.doctor REDIS_URL --prefix %(prefix)s --cookie %(cookie)s"
        ),
    ),
    "app_clock": Cause(
        _WARNING,
        _("The clock of %(origin)s and ours differ by %(seconds)s seconds."),
        _("Sessions end by the clock, so the app ends them early or keeps them too long."),
        _("Run NTP (timedatectl set-ntp true) on the app's machine."),
    ),
    # -- what the server stands on
    "redis_unreachable": Cause(
        _BROKEN,
        _("Redis does not answer this server."),
        _("Sessions live there; until it answers everybody is told to try again."),
        _("Start Redis, or correct SSO_REDIS_URL."),
    ),
    "redis_evicts": Cause(
        _WARNING,
        _("Redis throws keys away when its memory is full (maxmemory-policy %(policy)s)."),
        _("A thrown-away session is somebody signed out for no reason."),
        _("redis.conf: maxmemory-policy noeviction"),
    ),
    "clock_redis": Cause(
        _BROKEN,
        _("The clocks of Redis and of this server differ by %(seconds)s seconds."),
        _("Redis ends sessions by its clock and we by ours, so they end early or live too long."),
        _("Run NTP (timedatectl set-ntp true) on both machines."),
    ),
    "old_secret_key": Cause(
        _BROKEN,
        _("%(count)s stored secrets (%(kind)s) open with no key this server has."),
        _("SECRET_KEY was changed, and what the old key sealed cannot be read any more."),
        _("SECRET_KEY_FALLBACKS=the old key"),
    ),
}
