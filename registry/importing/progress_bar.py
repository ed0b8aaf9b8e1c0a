"""How an import shows its progress to a person."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from registry.importing.account import PHASE_NAMES
from registry.importing.account import Progress as Report


class ProgressBar:
    """Shows an import's progress on standard error: a bar with rate and remaining time at a terminal, otherwise a
    line now and then."""

    def __init__(self, language: str) -> None:
        self._names = PHASE_NAMES[language]
        rows, self._refused = ("行", "拒绝 {:,}") if language == "zh" else ("rows", "{:,} refused")
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
            TextColumn(f"{{task.fields[rows]:,}} {rows}"), TextColumn("{task.fields[rate]}"), TimeRemainingColumn(),
            TextColumn("{task.fields[refused]}"), console=Console(stderr=True),
        )  # fmt: skip
        self._task: Any = None
        self._phase = ""

    def __enter__(self) -> ProgressBar:
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def say(self, sentence: str) -> None:
        """A sentence above the bar."""
        self._progress.console.print(sentence, markup=False, highlight=False)

    def show(self, report: Report) -> None:
        """Bring the bar up to date."""
        if report.phase != self._phase:
            self._phase = report.phase
            name = self._names.get(report.phase, report.phase)
            self._task = self._progress.add_task(name, total=report.total or None, rows=0, rate="", refused="")
        task = next(one for one in self._progress.tasks if one.id == self._task)
        rate = f"{report.rows / task.elapsed:,.0f}/s" if task.elapsed and task.elapsed > 0.5 else ""
        refused = self._refused.format(report.refused) if report.refused else ""
        self._progress.update(
            self._task, completed=report.done, total=report.total or None, rows=report.rows, rate=rate, refused=refused
        )
