"""Ending very many sign-ins, in portions that a request has time for; what began after the order was given stays."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from sso import ending, sign_in_index, sign_in_store
from sso.sign_in_search import Scope
from sso.sign_in_store import SignIn


@dataclass(frozen=True, slots=True)
class Order:
    """End all in ``scope`` that began at ``before`` (Unix seconds) or earlier, but not ``spare``."""

    scope: Scope
    before: int
    spare: str
    #: How many there were about when it was given, and how many have ended since.
    total: int = 0
    ended: int = 0
    #: Which index is being read, how many of its entries are passed over, what the present round ended.
    part: int = 0
    offset: int = 0
    this_round: int = 0
    done: bool = False


def order(scope: Scope, *, spare: str) -> Order:
    """As things stand now. Raises ``StoreUnavailable``."""
    total = sum(sign_in_index.counts(scope.parts))
    return Order(scope, before=int(time.time()), spare=spare, total=total)


def carry_on(order: Order, seconds: float) -> Order:
    """End for about so long. The order is done when a whole round over its indexes found nothing more to end.

    Raises ``StoreUnavailable``: what is not certain to have ended is met again by the next call.
    """
    until = time.monotonic() + seconds
    while not order.done:
        order = _portion(order)
        if time.monotonic() > until:
            break
    return order


def _portion(order: Order) -> Order:
    if order.part == len(order.scope.parts):
        return replace(order, part=0, offset=0, this_round=0, done=order.this_round == 0)
    sids = sign_in_index.earliest(order.scope.parts[order.part], order.offset, ending.BATCH)
    if not sids:
        return replace(order, part=order.part + 1, offset=0)
    records = sign_in_store.get_many(sids)
    due = [found.sid for found in records if found is not None and _is_due(found, order)]
    ended = ending.end_many(due)
    # What has ended left the index; only what stays has to be passed over.
    passed = order.offset + len(sids) - len(due)
    return replace(order, offset=passed, ended=order.ended + ended, this_round=order.this_round + ended)


def _is_due(sign_in: SignIn, order: Order) -> bool:
    return sign_in.sid != order.spare and sign_in.created <= order.before and order.scope.wants(sign_in)
