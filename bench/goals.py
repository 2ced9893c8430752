"""What was promised (design, §9), and whether a result keeps it."""

from __future__ import annotations

from typing import Any, NamedTuple

from bench import contenders as who


class Goal(NamedTuple):
    """One promise beside one figure."""

    text: str
    measured: str
    met: bool


def goals(result: dict[str, Any]) -> list[Goal]:
    """Every promise; those whose contenders did not run are left out."""
    rates = {row["name"]: row["rate"] for row in result["servers"]}
    found = [
        _at_least("edge from memory, times stock Django", rates, who.EDGE, who.STOCK, 50),
        _at_least("edge from memory, share of an empty app on the same server", rates, who.EDGE,
                  who.EMPTY.format(who.OWN), 0.7),
        _at_least("edge from memory, times fastify's sealed cookie", rates, who.EDGE, who.SEALED, 1),
        _at_least("edge with one Redis `GET` a request, times stock Django", rates, who.EDGE_GET, who.STOCK, 20),
        _at_most("in process, remembered: microseconds", result["calls"]["hit, whole Cookie header"]["median_us"], 1.5),
    ]  # fmt: skip
    for name, row in result["revocation"].items():
        found.append(_at_most(f"signed out, {name}: p99 in ms", row["p99"], 10))
    first, last = result["scale"][0], result["scale"][-1]
    name = f"{who.EDGE} (answers/s)"
    if name in first:
        share = last[name] / first[name]
        text = (
            f"edge from memory with {last['sessions']} sessions, share of its rate with {first['sessions']}"
        )
        found.append(Goal(f"{text} ≥ 0.9", f"{share:.2f}", share >= 0.9))
    found.append(_at_most("Redis bytes of a sign-in, all keys counted", result["footprint"]["total"], 1000))
    for place in ("own core", "cores shared"):
        busy = result["storm"][place]
        ratio = busy["storm"]["p99"] / busy["quiet"]["p99"]
        found.append(
            _at_most(f"p99 of validation in a storm of sign-ins, {place}: times quiet", round(ratio, 2), 3)
        )
    return [goal for goal in found if goal is not None]


def _at_least(text: str, rates: dict[str, float], name: str, other: str, wanted: float) -> Goal | None:
    if name not in rates or other not in rates:
        return None
    ratio = rates[name] / rates[other]
    return Goal(f"{text} ≥ {wanted:g}", f"{ratio:.2f}" if wanted <= 1 else f"{ratio:.0f}", ratio >= wanted)


def _at_most(text: str, measured: float, wanted: float) -> Goal:
    return Goal(f"{text} ≤ {wanted:g}", f"{measured:g}", measured <= wanted)
