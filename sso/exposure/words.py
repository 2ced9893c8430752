"""What each finding means, in words: why it matters, and what to do."""

from __future__ import annotations

from typing import NamedTuple

from django.utils.translation import gettext_lazy as _

from sso.exposure.values import Finding, Reach, Severity, Suggestion


class Words(NamedTuple):
    """Templates; ``%(host)s`` and what ``Finding.about`` holds are filled in."""

    title: object
    why: object
    remedy: object


WORDS: dict[str, Words] = {
    "dangling_cname": Words(
        _("Alias to a name that does not exist"),
        _(
            "%(target)s is free: whoever takes it runs %(host)s, and is sent the session cookie of every visitor."
        ),
        _("Delete the CNAME record of %(host)s, or take %(target)s back before somebody else does."),
    ),
    "dangling_delegation": Words(
        _("Delegated to a name server that does not exist"),
        _(
            "%(target)s is free: whoever takes it answers for every name below %(host)s, with any server they like."
        ),
        _("Delete the NS record of %(host)s that names %(target)s."),
    ),
    "lame_delegation": Words(
        _("Delegated to name servers that do not know it"),
        _(
            "%(target)s does not know the zone %(host)s; at many providers anybody may create it there and own it."
        ),
        _("Create the zone at that provider again, or delete the NS records of %(host)s."),
    ),
    "third_party": Words(
        _("Alias to a third party"),
        _(
            "%(target)s is outside your domains: its operator is sent the session cookie of whoever opens %(host)s."
        ),
        _(
            "Move %(host)s to a domain of its own, outside the cookie's, or narrow the cookie's domain; "
            "if %(target)s is yours, name it with --own."
        ),
    ),
    "cname_loop": Words(
        _("Aliases that lead in a circle"),
        _("The aliases of %(host)s never arrive, so nobody looks after this name."),
        _("Delete the CNAME record of %(host)s, or point it where it belongs."),
    ),
    "wildcard": Words(
        _("Every name exists"),
        _(
            "Because of %(host)s there is a host for any name one can think of, and each of them "
            "is sent the session cookie."
        ),
        _("Replace %(host)s by one record for each host that is in use."),
    ),
    "plain_http": Words(
        _("Answers plain http"),
        _(
            "Whoever sits on the network can change what http://%(host)s shows: a false sign-in page under your "
            "own name."
        ),
        _("Answer port 80 of %(host)s with a redirect to https://%(host)s/ and nothing else, or close it."),
    ),
    "no_hsts": Words(
        _("No HSTS"),
        _(
            "Browsers do not know that %(host)s is https only, so the first request can be caught in plain text."
        ),
        _("Send Strict-Transport-Security: max-age=63072000; includeSubDomains from %(host)s."),
    ),
    "short_hsts": Words(
        _("HSTS for a short time"),
        _("Browsers forget after %(days)s days that %(host)s is https only."),
        _("Raise max-age in Strict-Transport-Security of %(host)s to 63072000 (two years)."),
    ),
    "bad_certificate": Words(
        _("A certificate that browsers refuse"),
        _("People who go to %(host)s learn to click through the warning that would protect them."),
        _("Give %(host)s a certificate for its name, or delete its DNS record."),
    ),
    "unregistered": Words(
        _("Not in the registry"),
        _("%(host)s is sent the session cookie, though it is neither the hub nor a registered app."),
        _("Register the app, move it outside the cookie's domain, or narrow the domain."),
    ),
    "not_looked_up": Words(
        _("Could not be looked up"),
        _("The resolver gave no answer about %(host)s, so nothing is said about it."),
        _("Run the audit again, or with another resolver: --resolver ADDRESS."),
    ),
}
SEVERITY_WORDS: dict[Severity, object] = {
    "critical": _("Critical"),
    "serious": _("Serious"),
    "warning": _("Warning"),
    "notice": _("Notice"),
}
REACH_WORDS: dict[Reach, object] = {
    "yes": _("yes"),
    "if_taken": _("once somebody takes it over"),
    "no": _("no"),
    "unknown": _("unknown"),
}


def title(finding: Finding) -> str:
    return str(WORDS[finding.code].title)


def why(finding: Finding) -> str:
    """One sentence."""
    return str(WORDS[finding.code].why) % {"host": finding.host, **finding.about}


def remedy(finding: Finding) -> str:
    return str(WORDS[finding.code].remedy) % {"host": finding.host, **finding.about}


def advice(suggestion: Suggestion) -> str:
    """What a narrower domain would bring, and what it takes."""
    about = {"domain": suggestion.domain, "spared": suggestion.spared}
    if suggestion.moves:
        text = _(
            "Move the hub and the apps below %(domain)s and make that the cookie's domain: "
            "%(spared)d other hosts would not receive the cookie any more."
        )
    else:
        text = _(
            "The hub and every registered app are below %(domain)s already. Make that the cookie's domain: "
            "%(spared)d other hosts would not receive the cookie any more."
        )
    return str(text) % about


def settings_lines(suggestion: Suggestion, domain: str) -> list[str]:
    """What changes in the environment: the pair in SSO_SITES, and the domain whose cookies are to be cleared."""
    return [
        f"SSO_SITES={suggestion.domain}={suggestion.hub}",
        f"SSO_OLDER_COOKIE_DOMAINS={domain}",
    ]
