"""docs/performance.md out of a result file: ``python -m bench.report``. No figure is typed by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bench import contenders as who
from bench.goals import goals

ROOT = Path(__file__).resolve().parent.parent
LATEST = ROOT / "bench" / "results" / "latest.json"
PAGE = ROOT / "docs" / "performance.md"
TEMPLATE = ROOT / "bench" / "performance.template"


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table; every column but the first is aligned to the right."""
    head = list(head)
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *([str(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float) -> str:
    """Thousands apart; small figures with their digits."""
    if value >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}" if value < 10 else f"{value:.0f}"


def servers(result: dict[str, Any]) -> str:
    """The table that sets everybody beside everybody."""
    rows = {row["name"]: row for row in result["servers"]}
    if who.STOCK not in rows:
        return table(
            ("server", "answers/s", "CPU µs"),
            ([n, number(r["rate"]), r["processor_us"]] for n, r in rows.items()),
        )
    stock = rows[who.STOCK]["rate"]
    head = (
        "server",
        "answers/s",
        "times Django",
        "share of its empty app",
        "CPU µs each",
        "p50 ms",
        "p99 ms",
        "rounds",
    )
    return table(head, (_server(row, stock, rows) for row in result["servers"]))


def _server(row: dict[str, Any], stock: float, rows: dict[str, Any]) -> list[str]:
    floor = rows.get(row["floor"])
    share = f"{row['rate'] / floor['rate']:.2f}" if floor else ""
    low, high = min(row["rates"]), max(row["rates"])
    name = f"**{row['name']}**" if row["name"] in (who.EDGE, who.EDGE_GET) else row["name"]
    return [
        name, number(row["rate"]), f"{row['rate'] / stock:.1f}", share, number(row["processor_us"]),
        number(row["p50_ms"]), number(row["p99_ms"]), f"{number(low)} to {number(high)}",
    ]  # fmt: skip


def calls(result: dict[str, Any]) -> str:
    rows = result["calls"].items()
    return table(
        ("one call of `sso_client`", "median µs", "best µs"),
        ([name, number(cost["median_us"]), number(cost["best_us"])] for name, cost in rows),
    )


def revocation(result: dict[str, Any]) -> str:
    rows = result["revocation"].items()
    return table(
        ("where", "p50 ms", "p99 ms", "longest ms"),
        ([name, number(row["p50"]), number(row["p99"]), number(row["max"])] for name, row in rows),
    )


def scale(result: dict[str, Any]) -> str:
    names = list(result["scale"][0])
    rows = ([number(row[name]) for name in names] for row in result["scale"])
    return table([name.replace("sessions", "live sessions", 1) for name in names], rows)


def footprint(result: dict[str, Any]) -> str:
    found = result["footprint"]
    total = found["total"]
    rows = [[f"`{kind}:…`", number(size)] for kind, size in found["bytes"].items()]
    return table(("key", "bytes"), [*rows, ["all keys", number(total)]])


def storm(result: dict[str, Any]) -> str:
    found = result["storm"]
    rows = []
    for name in ("own core", "cores shared"):
        quiet, busy = found[name]["quiet"], found[name]["storm"]
        ratio = f"{busy['p99'] / quiet['p99']:.2f}"
        rows.append([f"edge and hub, {name}", *(number(x) for x in (quiet["p50"], quiet["p99"])),
                     *(number(x) for x in (busy["p50"], busy["p99"])), ratio])  # fmt: skip
    head = ("", "quiet p50 ms", "quiet p99 ms", "storm p50 ms", "storm p99 ms", "p99 storm / quiet")
    return table(head, rows)


def machine(result: dict[str, Any]) -> str:
    found = result["machine"]
    place = found["placement"]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return (
        f"{found['processor']}, {found['cores']} cores, {found['memory_gib']} GiB, {found['system']}, {found['date']}. "
        f"Load average before the start: {found['load_average']}. "
        f"Core {place['bench and Redis']} had Redis and the bench, core {place['server']} the server under test alone, "
        f"cores {' and '.join(map(str, place['load']))} the load.\n\n{versions}."
    )


def missing(result: dict[str, Any]) -> str:
    if not result["skipped"]:
        return "Nothing was left out."
    return "\n".join(f"- not run: {name} ({why})" for name, why in result["skipped"].items())


def verdicts(result: dict[str, Any]) -> str:
    rows = ([goal.text, goal.measured, "met" if goal.met else "**missed**"] for goal in goals(result))
    return table(("goal", "measured", ""), rows)


def page(result: dict[str, Any]) -> str:
    """docs/performance.md."""
    settings = {name: f"{value:g}" for name, value in result["settings"].items()}
    return TEMPLATE.read_text().format(
        **settings,
        **{name: make(result) for name, make in TABLES.items()},
        verdicts=verdicts(result),
        machine=machine(result),
        missing=missing(result),
        sign_ins=result["footprint"]["sign_ins"],
        storm_sign_ins=result["storm"]["sign_ins"],
        minutes=round(result["minutes"]),
    )


def console(result: dict[str, Any]) -> str:
    """What the command prints: the same tables, whichever were measured."""
    parts = [make(result) for name, make in TABLES.items() if result.get(name)]
    if TABLES.keys() <= result.keys() and result["servers"]:
        parts.append(verdicts(result))
    return "\n\n".join([*parts, machine(result), missing(result)])


#: Each part of a result, and who makes a table of it.
TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "servers": servers,
    "calls": calls,
    "revocation": revocation,
    "scale": scale,
    "footprint": footprint,
    "storm": storm,
}

if __name__ == "__main__":
    PAGE.write_text(page(json.loads(LATEST.read_text())))
