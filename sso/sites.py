"""Sites: the parent domains whose apps share one cookie, and the auth server's host on each.

The rules for a cookie domain are those browsers enforce by silently dropping the cookie (RFC 6265 §5.3 step 5
with the public suffix list, private section included), so a wrong one is refused before the server starts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from publicsuffixlist import PublicSuffixList

from sso.origins import Origin, is_beneath, is_host_name


@lru_cache(maxsize=1)
def _public_suffixes() -> PublicSuffixList:
    """Load the list once per process: it takes some 50 ms."""
    return PublicSuffixList()


def check_cookie_domain(domain: str) -> None:
    """Refuse a domain that no browser would keep a cookie for.

    Raises:
        ValueError: says what is wrong and what to write instead.
    """
    if domain.startswith(".") or domain.endswith("."):
        raise ValueError(f"{domain}: no dot belongs before or after a domain. Write {domain.strip('.')}")
    if not is_host_name(domain):
        raise ValueError(
            f"{domain}: not a domain name in lower-case ASCII. Write letters, digits, hyphens and dots, "
            "xn-- for other alphabets, no IP address, no port"
        )
    if "." not in domain:
        raise ValueError(
            f"{domain}: browsers refuse cookies for a name without a dot. "
            f"Use a domain below it, such as example.{domain}"
        )
    if _public_suffixes().is_public(domain):
        raise ValueError(
            f"{domain}: a public suffix, under which strangers have their sites, so browsers refuse "
            f"its cookies. Use your own domain below it, such as example.{domain}"
        )


def registrable_domain(host: str) -> str | None:
    """The part of a host name that one owner registered: ``example.co.uk`` of ``a.example.co.uk``.

    None for a public suffix itself.
    """
    found: str | None = _public_suffixes().privatesuffix(host)
    return found


@dataclass(frozen=True, slots=True)
class Site:
    """One parent domain and the auth server's host on it."""

    #: The ``Domain`` of the shared cookie, lower case, no leading dot.
    domain: str
    #: Where the auth server answers; its host is the domain or below it.
    hub: Origin

    @classmethod
    def parse(cls, text: str) -> "Site":
        """Read ``example.com=auth.example.com`` (https) or ``example.localhost=http://auth.example.localhost:8000``.

        Raises:
            ValueError: says what is wrong and what to write instead.
        """
        domain, equals, hub_text = (part.strip() for part in text.partition("="))
        if not (domain and equals and hub_text):
            raise ValueError(
                f"{text}: not a pair. Write cookie domain = hub, such as example.com=auth.example.com"
            )
        domain = domain.lower()
        check_cookie_domain(domain)
        hub = _hub(hub_text.lower())
        if not is_beneath(hub.host, domain):
            raise ValueError(
                f"{hub.host}: outside the cookie domain {domain}, for which it could set no cookie. "
                f"Use a hub such as auth.{domain}"
            )
        return cls(domain, hub)

    def covers(self, host: str) -> bool:
        """Whether the shared cookie reaches ``host`` (a lower-case name without port)."""
        return is_beneath(host, self.domain)

    def answers_to(self, host: str) -> bool:
        """Whether a ``Host`` header names this hub, the port included."""
        return host.lower() in (self.hub.netloc, f"{self.hub.host}:{self.hub.port}")


@dataclass(frozen=True, slots=True)
class Sites:
    """All sites of one installation, in the order they were given; the first is the primary one."""

    sites: tuple[Site, ...]

    @classmethod
    def parse(cls, text: str) -> "Sites":
        """Read a comma-separated list of sites; see ``Site.parse``.

        Raises:
            ValueError: names the first pair that is wrong, also when two sites overlap.
        """
        sites = tuple(Site.parse(part) for part in text.split(",") if part.strip())
        if not sites:
            raise ValueError("names no site. Write cookie domain = hub, such as example.com=auth.example.com")
        _refuse_overlap(sites)
        return cls(sites)

    @property
    def primary(self) -> Site:
        """The site that answers when nothing says which."""
        return self.sites[0]

    @property
    def hub_hosts(self) -> tuple[str, ...]:
        """The hubs' host names without ports, for ``ALLOWED_HOSTS``."""
        return tuple(site.hub.host for site in self.sites)

    def of_host(self, host: str) -> Site | None:
        """The site whose hub a ``Host`` header names, or None for a host that is not ours."""
        return next((site for site in self.sites if site.answers_to(host)), None)

    def covering(self, origin: Origin) -> Site | None:
        """The site whose shared cookie reaches this origin, or None when it is on another domain."""
        return next((site for site in self.sites if site.covers(origin.host)), None)

    def __iter__(self) -> Iterator[Site]:
        return iter(self.sites)

    def __len__(self) -> int:
        return len(self.sites)

    def __str__(self) -> str:
        return ",".join(f"{site.domain}={site.hub}" for site in self.sites)


def _hub(text: str) -> Origin:
    """Read a hub: a bare host means https."""
    try:
        return Origin.parse(text if "://" in text else f"https://{text}")
    except ValueError as error:
        raise ValueError(f"{text}: {error}") from None


def _refuse_overlap(sites: tuple[Site, ...]) -> None:
    """One domain inside another would get both cookies, and two values mean nobody."""
    for index, one in enumerate(sites):
        for other in sites[index + 1 :]:
            if one.covers(other.domain) or other.covers(one.domain):
                raise ValueError(
                    f"{one.domain} and {other.domain} overlap, so browsers would send two cookies of one "
                    "name. Keep the wider one only"
                )
