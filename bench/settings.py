"""How long and how often: the whole run, or a quick one that shows that everything works."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from bench.contenders import Contender


@dataclass(frozen=True)
class Settings:
    """Seconds are of wall clock; a run stops by itself."""

    people: int = 200
    rounds: int = 7
    seconds: float = 3
    warm_up: float = 2
    calls: int = 200_000
    trials: int = 2000
    live: tuple[int, ...] = (1_000, 100_000, 1_000_000)
    sign_ins: int = 50
    storm: int = 200
    probes: int = 5000
    #: Parts of contenders' names to measure; all when empty.
    only: tuple[str, ...] = field(default=())

    @classmethod
    def quick(cls, only: tuple[str, ...] = ()) -> Settings:
        return cls(
            people=20, rounds=2, seconds=1, warm_up=1, calls=2000, trials=30, live=(100, 1000),
            sign_ins=3, storm=8, probes=200, only=only,
        )  # fmt: skip

    def chosen(self, contenders: tuple[Contender, ...]) -> list[Contender]:
        return [one for one in contenders if not self.only or any(part in one.name for part in self.only)]

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)
