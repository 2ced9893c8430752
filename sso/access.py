"""Who may see what at a relying app: ordered rules, one pure decision.

A policy is a default and an ordered list of rules; the first rule that fits decides. What a rule asks about
the *request* selects (``path``, ``methods``, ``networks``); what a ``signed_in`` rule asks about the *person*
is required (``groups``, ``amr``, ``max_age``): whoever fails it is refused or asked for more, never passed on
to a later, weaker rule. Knows nothing of Django, Redis or HTTP.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Literal, TypeVar

import msgspec

Address = IPv4Address | IPv6Address
#: What a rule, or the default, says.
Policy = Literal["public", "signed_in", "refused"]
#: What came out for one request: the three above, or "sign in first", or "sign in again, better or sooner".
Kind = Literal["public", "signed_in", "sign_in", "step_up", "refused"]

_METHOD = re.compile(r"[A-Z][A-Z-]{0,31}")
_AMR = re.compile(r"[a-z0-9_.:-]{1,32}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LONGEST_PATTERN = 512
#: Characters; longer paths are split each time: strangers choose them, and may choose thousands.
_REMEMBERED = 128
#: RFC 8176 methods by kind of factor; two kinds together are ``mfa``.
_FACTORS = (
    frozenset({"pwd", "pin", "kba"}),
    frozenset({"otp", "hwk", "swk", "sms", "tel", "sc", "pop"}),
    frozenset({"face", "fpt", "iris", "retina", "vbm"}),
)
T = TypeVar("T")


class Rule(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One line of a policy. An impossible one raises ``ValueError`` (decoding: ``msgspec.ValidationError``).

    So does a field nobody knows: leaving out a restriction that was misspelled would open what it guards.

    ``path`` is a pattern over the normalised path: ``*`` is any part of one segment, ``**`` as a whole segment
    any number of segments, ``/a/**`` is ``/a`` too; empty is every path. Upper and lower case are the same, and
    so is a slash at the end. ``methods`` empty is every method; ``GET`` is ``HEAD`` too.
    """

    id: str
    verdict: Policy
    path: str = ""
    methods: tuple[str, ...] = ()
    #: At least one of these groups: ``signed_in`` asks for it, ``refused`` turns only its members away.
    groups: tuple[str, ...] = ()
    #: Client networks in CIDR notation, any of them.
    networks: tuple[str, ...] = ()
    #: Authentication methods that must all be there (RFC 8176); ``mfa`` is also met by two kinds of factor.
    amr: tuple[str, ...] = ()
    #: Seconds since the person last proved who they are; 0 = any.
    max_age: int = 0

    def __post_init__(self) -> None:
        """Refuse what could not mean what its writer thought."""
        if not _ID.fullmatch(self.id) or self.id in RESERVED_IDS:
            raise ValueError(
                f"rule id {self.id!r}: use letters, digits, '.', '_' and '-', and none of {RESERVED_IDS}."
            )
        for problem in (
            self._path_problem(),
            self._word_problem(),
            self._person_problem(),
            self._network_problem(),
        ):
            if problem:
                raise ValueError(f"rule {self.id!r}: {problem}")

    def _path_problem(self) -> str:
        if not self.path:
            return ""
        if not self.path.startswith("/") or len(self.path) > _LONGEST_PATTERN:
            return (
                f"path {self.path!r} must start with '/' and be at most {_LONGEST_PATTERN} characters long."
            )
        if any(mark in self.path for mark in ("//", "?", "#", ";", "\\", "%")) or not self.path.isprintable():
            return f"path {self.path!r}: write it decoded, without '//', '?', '#', ';', '%' and backslashes."
        if any(("**" in part and part != "**") or part in (".", "..") for part in self.path.split("/")):
            return f"path {self.path!r}: '**' stands alone between slashes, and '.' and '..' never occur."
        return ""

    def _word_problem(self) -> str:
        if wrong := [word for word in self.methods if not _METHOD.fullmatch(word)]:
            return f"methods {wrong} are not HTTP methods in upper case."
        if wrong := [word for word in self.amr if not _AMR.fullmatch(word)]:
            return f"amr {wrong} are not authentication method names (RFC 8176), such as 'otp' or 'mfa'."
        return "" if self.max_age >= 0 else "max_age is a number of seconds."

    def _person_problem(self) -> str:
        if self.verdict == "public" and (self.groups or self.amr or self.max_age):
            return "a public rule cannot ask for groups, amr or max_age: make it signed_in."
        if self.verdict == "refused" and (self.amr or self.max_age):
            return "a refused rule cannot ask for amr or max_age: make it signed_in."
        return ""

    def _network_problem(self) -> str:
        try:
            _networks(self.networks)
        except ValueError as error:
            return f"networks: {error}."
        return ""


class AccessPolicy(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What an app's visitors get: the first rule that fits, else the default."""

    default: Policy = "signed_in"
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        """A rule id names one rule, or an explanation would point at two."""
        ids = [rule.id for rule in self.rules]
        if twice := sorted({name for name in ids if ids.count(name) > 1}):
            raise ValueError(f"rule ids {twice} are used more than once: give each rule its own.")


class Person(msgspec.Struct, frozen=True):
    """What rules may ask about somebody who is signed in. ``auth_time`` in Unix seconds."""

    groups: tuple[str, ...]
    amr: tuple[str, ...]
    auth_time: float


class Verdict(msgspec.Struct, frozen=True):
    """What one request gets, the rule that said so, and why in words for an administrator."""

    kind: Kind
    rule_id: str
    reason: str
    #: What a ``step_up`` asks of the next sign-in.
    amr: tuple[str, ...] = ()
    max_age: int = 0

    @property
    def allows(self) -> bool:
        """Whether the request may go on to the app."""
        return self.kind in ("public", "signed_in")


#: Rule ids that the decision uses itself.
RESERVED_IDS = ("default", "app-groups")


def decide(
    policy: AccessPolicy,
    *,
    app_groups: Sequence[str],
    path: str,
    method: str,
    address: Address | None,
    person: Person | None,
    now: float,
) -> Verdict:
    """Judge one request.

    ``path`` is decoded and normalised (``sso.edge.targets``), ``method`` upper case, ``address`` the client's
    or None when it is not known, ``person`` None when nobody is signed in, ``now`` Unix seconds. ``app_groups``
    restricts who is let in at all; empty = everybody who is signed in. A public rule is public for everybody.
    """
    for rule in policy.rules:
        if _fits(rule, path, method, address, person):
            return _verdict(rule.verdict, rule, app_groups, person, now)
    return _verdict(policy.default, None, app_groups, person, now)


def may_enter(app_groups: Sequence[str], groups: Sequence[str]) -> bool:
    """Whether somebody with these groups is among an app's people at all."""
    return not app_groups or not set(app_groups).isdisjoint(groups)


def satisfies(needed: str, methods: Sequence[str]) -> bool:
    """Whether authentication methods (RFC 8176) include the needed one; ``mfa`` = two kinds of factor."""
    if needed in methods:
        return True
    return needed == "mfa" and sum(not kind.isdisjoint(methods) for kind in _FACTORS) >= 2


def _fits(rule: Rule, path: str, method: str, address: Address | None, person: Person | None) -> bool:
    if rule.methods and method not in rule.methods and not (method == "HEAD" and "GET" in rule.methods):
        return False
    if rule.networks and not _from_networks(rule, address):
        return False
    if (
        rule.verdict == "refused"
        and rule.groups
        and (person is None or not may_enter(rule.groups, person.groups))
    ):
        return False
    return not rule.path or path_matches(rule.path, path)


def _from_networks(rule: Rule, address: Address | None) -> bool:
    """An unknown address is in every refused network and in no other: not knowing never opens a door."""
    if address is None:
        return rule.verdict == "refused"
    return any(address in network for network in _networks(rule.networks))


def _verdict(
    policy: Policy, rule: Rule | None, app_groups: Sequence[str], person: Person | None, now: float
) -> Verdict:
    rule_id = rule.id if rule else "default"
    if policy == "public":
        return Verdict("public", rule_id, "Open to everybody.")
    if policy == "refused":
        return Verdict("refused", rule_id, "Refused by this rule.")
    if person is None:
        return Verdict("sign_in", rule_id, "Somebody has to be signed in.")
    if not may_enter(app_groups, person.groups):
        return Verdict("refused", "app-groups", f"Only for the app's groups: {', '.join(app_groups)}.")
    return (rule and _unmet(rule, person, now)) or Verdict(
        "signed_in", rule_id, "Open to whoever is signed in."
    )


def _unmet(rule: Rule, person: Person, now: float) -> Verdict | None:
    if not may_enter(rule.groups, person.groups):
        return Verdict("refused", rule.id, f"Only for the groups: {', '.join(rule.groups)}.")
    if missing := [needed for needed in rule.amr if not satisfies(needed, person.amr)]:
        return _step_up(rule, f"The sign-in lacks: {', '.join(missing)}.")
    if rule.max_age and now - person.auth_time > rule.max_age:
        return _step_up(rule, f"The sign-in is older than {rule.max_age} seconds.")
    return None


def _step_up(rule: Rule, reason: str) -> Verdict:
    return Verdict("step_up", rule.id, reason, amr=rule.amr, max_age=rule.max_age)


@lru_cache(maxsize=1024)
def _networks(texts: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(text) for text in texts)


def path_matches(pattern: str, path: str) -> bool:
    """Whether a normalised path falls under a pattern, whatever its letter case and final slash."""
    split = _segments if len(path) <= _REMEMBERED else _split
    return _wild(_segments(pattern), split(path), "**", _segment_matches)


def _segment_matches(pattern: str, segment: str) -> bool:
    return _wild(pattern, segment, "*", str.__eq__)


def _split(path: str) -> tuple[str, ...]:
    """Segments under canonical caseless matching (Unicode 3.13, D145), without the empty one at the end."""
    folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())
    return tuple(folded.rstrip("/").split("/"))


#: Patterns, and the paths that are asked for all the time.
_segments = lru_cache(maxsize=4096)(_split)


def _wild(pattern: Sequence[T], text: Sequence[T], star: T, same: Callable[[T, T], bool]) -> bool:
    """Match with one kind of wildcard, going back to the last one only: at most len(pattern) * len(text) steps."""
    at = here = 0
    back, resume = -1, 0
    while here < len(text):
        if at < len(pattern) and pattern[at] == star:
            back, resume, at = at, here, at + 1
        elif at < len(pattern) and same(pattern[at], text[here]):
            at, here = at + 1, here + 1
        elif back >= 0:
            resume, at = resume + 1, back + 1
            here = resume
        else:
            return False
    return all(item == star for item in pattern[at:])
