"""What was found, in words and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

#: ``open``: somebody gets past. ``wrong``: nobody does, but the app is not served as it should be.
Verdict = Literal["closed", "open", "wrong", "unknown"]


@dataclass(frozen=True, slots=True)
class Result:
    """One question and its answer."""

    check: str
    verdict: Verdict
    words: str
    #: The line to change, where something is.
    change: str = ""


@dataclass(slots=True)
class Report:
    """All answers about one address."""

    url: str
    proxy: str = ""
    requests: int = 0
    results: list[Result] = field(default_factory=list)

    @property
    def holes(self) -> list[str]:
        """The checks that found a way past."""
        return [result.check for result in self.results if result.verdict == "open"]

    @property
    def clean(self) -> bool:
        """Whether nothing is open and nothing wrong, and something was looked at."""
        verdicts = {result.verdict for result in self.results}
        return "closed" in verdicts and not verdicts & {"open", "wrong"}

    def as_json(self) -> dict[str, Any]:
        """The report for programs."""
        results = [asdict(result) for result in self.results]
        return {
            "url": self.url,
            "proxy": self.proxy or None,
            "requests": self.requests,
            "clean": self.clean,
            "holes": self.holes,
            "results": results,
        }

    def as_text(self) -> str:
        """The report for people, worst last, where they look first."""
        order: list[Verdict] = ["closed", "unknown", "wrong", "open"]
        lines = [f"{self.url}: asked {self.requests} times.", ""]
        for result in sorted(self.results, key=lambda result: order.index(result.verdict)):
            lines.append(f"{_MARKS[result.verdict]}  {result.words}")
            lines += [f"         Change: {result.change}"] if result.change else []
        return "\n".join([*lines, "", self._conclusion()])

    def _conclusion(self) -> str:
        if holes := len(self.holes):
            return f"This set-up can be bypassed: {holes} {'hole' if holes == 1 else 'holes'}."
        if not self.clean:
            return "No way past was found, but it does not work as it should."
        unknown = sum(result.verdict == "unknown" for result in self.results)
        rest = (
            f" {unknown} {'question' if unknown == 1 else 'questions'} could not be answered."
            if unknown
            else ""
        )
        return f"No way past was found.{rest}"


_MARKS = {"closed": "closed ", "unknown": "unknown", "wrong": "WRONG  ", "open": "OPEN   "}
