"""Who may try a password now: counted before anything is hashed, in Redis, one atomic script a key.

Three counts, each on one key of its own (Redis Cluster has no cross-slot scripts):

* **Account.** :data:`FREE` tries, then growing waits: 1 s, 2 s, 4 s … at most :data:`LONGEST_WAIT`. A wait is
  not a lock-out: the next try is always minutes away at most, and refused tries do not lengthen it.
* **Address.** :data:`ADDRESS_BURST` tries, then one each :data:`ADDRESS_INTERVAL`, whatever the account;
  IPv6 by /64, since that is what one person is given.
* **Account at a known address.** An address that signed the account in before has its own count, the same
  growing waits, and is asked nothing else: failures elsewhere cannot keep its owner out.

All spellings of one account share its count (CVE-2025-24806); names that do not exist are counted just the
same, so the throttle does not tell which ones do. ASVS 5.0 6.3.1, NIST SP 800-63B-4 §3.2.2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv6Address, ip_address
from math import ceil
from typing import cast

from django.utils.crypto import salted_hmac

from accounts.canonical import canonical
from sso import audit
from sso.errors import TooManyAttempts
from sso.redis import answering, keys

#: Tries of an account before the first wait.
FREE = 5
#: Seconds after the last free try; each further try doubles it.
FIRST_WAIT = 1
#: Seconds; no wait is longer.
LONGEST_WAIT = 15 * 60
#: Seconds after which the tries of an account that nobody tries any more are forgotten.
MEMORY = 24 * 60 * 60
#: Tries from one address in one go, and seconds until each is given back: 30 in five minutes.
ADDRESS_BURST = 30
ADDRESS_INTERVAL = 10
#: Seconds for which an address stays known to an account after it last signed in from there.
KNOWN = 30 * 24 * 60 * 60

#: Mails to one mailbox in one go, and seconds until each is given back: 5, then 12 an hour.
MAILBOX_BURST = 5
MAILBOX_INTERVAL = 5 * 60
#: The same for whoever asks, by address: one office may share one.
MAIL_BURST = 20
MAIL_INTERVAL = 60
#: Sign-ins of several steps that one address begins in one go, and seconds until each is given back: each is kept
#: for a quarter of an hour, whether it is ever finished or not.
BEGINNINGS_BURST = 120
BEGINNINGS_INTERVAL = 1
#: Hand-offs of one sign-in in one go, and seconds until each is given back.
TICKETS_BURST = 120
TICKETS_INTERVAL = 1
#: Tickets that do not exist, by address.
GUESSES_BURST = 30
GUESSES_INTERVAL = 60

#: KEYS[1] a hash of ``tries``, ``until`` and ``at`` (milliseconds by the server's clock).
#: ARGV: must the key exist, free tries, first wait, longest wait, memory (ms).
#: Returns -1 when the key had to exist and does not, 0 when admitted, else the milliseconds to wait; then when it
#: was admitted.
_ADMIT = """
if ARGV[1] == '1' and redis.call('EXISTS', KEYS[1]) == 0 then return {-1, 0} end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local free, first, longest, memory = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local kept = redis.call('HMGET', KEYS[1], 'tries', 'until', 'at')
local tries, till, at = tonumber(kept[1]) or 0, tonumber(kept[2]) or 0, tonumber(kept[3]) or 0
if till > now then return {math.min(till - now, longest), 0} end
if now - at > memory then tries = 0 end
tries = tries + 1
local wait = 0
if tries >= free then wait = math.min(longest, first * 2 ^ math.min(tries - free, 40)) end
redis.call('HSET', KEYS[1], 'tries', tries, 'until', now + wait, 'at', now)
if ARGV[1] == '0' then redis.call('PEXPIRE', KEYS[1], memory) end
return {0, now}
"""

#: Makes an address known to an account, for ARGV[1] seconds, with a fresh count.
_KNOW = """
redis.call('HSET', KEYS[1], 'tries', 0, 'until', 0)
return redis.call('EXPIRE', KEYS[1], ARGV[1])
"""

#: Undoes one admission of _ADMIT, of the moment ARGV[1], whose password was never looked at. The wait that another
#: one has caused since stays: or tries that come to nothing would shorten it for those that do not.
_WITHDRAW = """
local tries = tonumber(redis.call('HGET', KEYS[1], 'tries'))
if tries and tries > 0 then redis.call('HSET', KEYS[1], 'tries', tries - 1) end
if tries and redis.call('HGET', KEYS[1], 'at') == ARGV[1] then redis.call('HSET', KEYS[1], 'until', 0) end
return 0
"""

#: KEYS[1] holds when the address will have all its tries again (ms): a leaky bucket in one number (GCRA).
#: ARGV: tries in one go, ms until each is given back, how many to take (1, or -1 to give one back).
_TAKE = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local burst, interval, take = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full = math.max(tonumber(redis.call('GET', KEYS[1])) or 0, now) + take * interval
if full - now > burst * interval then return full - now - burst * interval end
if full <= now then redis.call('DEL', KEYS[1]) return 0 end
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', string.format('%.0f', full - now))
return 0
"""

_UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Attempt:
    """One admitted try. It counts as a failure unless :meth:`succeeded` or :meth:`withdraw` is called."""

    account_key: str
    address_key: str
    pair_key: str
    known: bool
    #: When it was admitted, milliseconds by the server's clock.
    at: int = 0

    def succeeded(self) -> None:
        """The password was right: the count it was admitted by starts afresh, and the address is known.

        Raises ``StoreUnavailable``.
        """
        with answering() as redis:
            redis.eval(_KNOW, 1, self.pair_key, str(KNOWN))
            if not self.known:
                redis.delete(self.account_key)
        if not self.known:
            _take(self.address_key, -1)

    def withdraw(self) -> None:
        """No password was looked at after all, so it was no try. Raises ``StoreUnavailable``."""
        with answering() as redis:
            redis.eval(_WITHDRAW, 1, self.pair_key if self.known else self.account_key, str(self.at))
        if not self.known:
            _take(self.address_key, -1)


def admit(account: str, address: str) -> Attempt:
    """Let one try through, or say how long to wait. ``account`` is from :func:`of_user` or :func:`of_name`.

    Raises:
        TooManyAttempts: with ``Retry-After``. Costs nothing but a round trip or three, and counts nothing.
        StoreUnavailable: Redis did not answer; nobody may try without being counted.
    """
    network = network_of(address)
    attempt = Attempt(
        _key("account", account), _key("address", network), _key("pair", account, network), known=True
    )
    wait, at = _admit(attempt.pair_key, must_exist=True)
    if wait == _UNKNOWN:
        return _admit_stranger(attempt, account)
    _refuse_if(wait, "account at a known address", attempt.pair_key, account)
    return replace(attempt, at=at)


def _admit_stranger(attempt: Attempt, account: str) -> Attempt:
    _refuse_if(_take(attempt.address_key, 1), "address", attempt.address_key)
    wait, at = _admit(attempt.account_key, must_exist=False)
    if wait:
        _take(attempt.address_key, -1)
    _refuse_if(wait, "account", attempt.account_key, account)
    return replace(attempt, known=False, at=at)


def _refuse_if(wait: int, what: str, key: str, account: str = "") -> None:
    """The audit trail hears of it now and then: what is refused without end must not fill it."""
    if not wait:
        return
    seconds = ceil(wait / 1000)
    kind, _, name = account.partition(":")
    audit.record_seldom(
        audit.Event.THROTTLED,
        of=key,
        outcome=audit.REFUSED,
        subject=audit.stranger(canonical(name)) if kind == "name" else name,
        scope=what,
        retry_after=seconds,
    )
    raise TooManyAttempts(f"too many attempts by {what}", retry_after=seconds)


def admit_mail(email: str, address: str) -> None:
    """Let somebody ask for one mail to ``email``, whoever has that address: nobody's mailbox can be flooded.

    Raises ``TooManyAttempts``, for a known address and an unknown one alike.
    """
    sender, mailbox = _key("mail-from", network_of(address)), _key("mail-to", canonical(email))
    _refuse_if(_take(sender, 1, MAIL_BURST, MAIL_INTERVAL), "mail asked for by address", sender)
    _refuse_if(_take(mailbox, 1, MAILBOX_BURST, MAILBOX_INTERVAL), "mail to one mailbox", mailbox)


def admit_beginning(address: str) -> None:
    """Let somebody begin a sign-in of several steps: strangers cannot fill Redis with unfinished ones.

    Raises ``TooManyAttempts`` and ``StoreUnavailable``.
    """
    key = _key("beginnings", network_of(address))
    _refuse_if(_take(key, 1, BEGINNINGS_BURST, BEGINNINGS_INTERVAL), "beginnings by address", key)


def admit_ticket(sid: str) -> None:
    """Let a sign-in be carried to another site. Raises ``TooManyAttempts`` and ``StoreUnavailable``."""
    key = _key("tickets", sid)
    _refuse_if(_take(key, 1, TICKETS_BURST, TICKETS_INTERVAL), "tickets of one sign-in", key)


def admit_guess(address: str) -> None:
    """Count a ticket that nobody minted: none can be guessed, but each is written into the audit trail.

    Raises ``TooManyAttempts`` and ``StoreUnavailable``.
    """
    key = _key("guesses", network_of(address))
    _refuse_if(_take(key, 1, GUESSES_BURST, GUESSES_INTERVAL), "unknown tickets by address", key)


# -- who is counted


def of_user(user_id: object) -> str:
    """The account of a user, whichever of their names was typed."""
    return f"id:{user_id}"


def of_name(identifier: str) -> str:
    """The account a name nobody has would be: case, width and surrounding space make no other one."""
    return f"name:{canonical(identifier)}"


def network_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 of an IPv6 address; other text as it is."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return str(ip)
    return str(ip.ipv4_mapped or IPv6Address(int(ip) >> 64 << 64))


def _key(kind: str, *parts: str) -> str:
    """Keyed hashes: names and addresses are guessable, and whoever reads Redis shall not read them."""
    digest = salted_hmac("accounts.throttle", "\n".join(parts), algorithm="sha256").hexdigest()
    return f"{keys().prefix}cache:throttle:{kind}:{digest}"


# -- the two scripts


def _admit(key: str, *, must_exist: bool) -> tuple[int, int]:
    limits = (FREE, FIRST_WAIT * 1000, LONGEST_WAIT * 1000, MEMORY * 1000)
    with answering() as redis:
        wait, at = redis.eval(_ADMIT, 1, key, int(must_exist), *map(int, limits))
    return wait, at


def _take(key: str, count: int, burst: int | None = None, interval: int | None = None) -> int:
    burst, interval = burst or ADDRESS_BURST, interval or ADDRESS_INTERVAL
    with answering() as redis:
        return cast(int, redis.eval(_TAKE, 1, key, burst, int(interval * 1000), count))
