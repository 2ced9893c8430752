"""An audit in words for a terminal, and as JSON for programs."""

from __future__ import annotations

from typing import Any

import msgspec

from sso.exposure import words
from sso.exposure.judging import reach
from sso.exposure.values import SEVERITIES, Finding, Host, Report, Suggestion


def as_json(report: Report) -> dict[str, Any]:
    """Everything observed and found, with the words; ``reach`` is who gets the cookie."""
    content: dict[str, Any] = msgspec.to_builtins(report)
    for host, told in zip(report.hosts, content["hosts"], strict=True):
        told |= {"reach": reach(report.domain, host), "records": host.records}
    for finding, told in zip(report.findings, content["findings"], strict=True):
        told |= {"why": words.why(finding), "remedy": words.remedy(finding)}
    return content | {"clean": not report.bad}


def as_text(report: Report) -> str:
    """Hosts first, then what is wrong, worst last, where people look first."""
    lines = [
        f"{report.domain.name}: {len(report.hosts)} names, {report.asked} questions, {report.seconds} s.",
        "",
    ]
    lines += _table(report)
    for finding in reversed(report.findings):
        lines += ["", *_finding(finding)]
    lines += ["", *_suggestion(report.suggestion, report.domain.name)] if report.suggestion else []
    return "\n".join([*lines, "", _conclusion(report)])


def _table(report: Report) -> list[str]:
    rows = [
        ("HOST", "GETS THE COOKIE", "RECORDS", "WHAT IT IS"),
        *(_row(report, host) for host in report.hosts),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return ["  ".join([*(row[i].ljust(widths[i]) for i in range(3)), row[3]]).rstrip() for row in rows]


def _row(report: Report, host: Host) -> tuple[str, str, str, str]:
    gets = str(words.REACH_WORDS[reach(report.domain, host)])
    return host.name, gets, " ".join(host.records) or "-", what_it_is(report, host)


def what_it_is(report: Report, host: Host) -> str:
    """``app wiki``, ``hub``, or where an alias leads."""
    if host.name == report.domain.hub:
        return "hub"
    if name := report.domain.apps.get(host.name):
        return f"app {name}"
    return f"→ {host.lookup.chain[-1]}" if host.lookup.chain else ""


def _finding(finding: Finding) -> list[str]:
    severity = str(words.SEVERITY_WORDS[finding.severity]).upper()
    return [
        f"{severity}  {finding.host}: {words.title(finding)} ({finding.code})",
        f"  {words.why(finding)}",
        f"  Do: {words.remedy(finding)}",
    ]


def _suggestion(found: Suggestion, domain: str) -> list[str]:
    lines = [f"NARROWER  {words.advice(found)}"]
    lines += [f"  {old} -> {new}" for old, new in found.moves.items()]
    return lines + [f"  {line}" for line in words.settings_lines(found, domain)]


def _conclusion(report: Report) -> str:
    counts = {s: sum(found.severity == s for found in report.findings) for s in SEVERITIES}
    told = ", ".join(f"{count} {severity}" for severity, count in counts.items() if count)
    return f"Found: {told}." if told else "Nothing was found."
