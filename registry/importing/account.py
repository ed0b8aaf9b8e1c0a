"""The running account of an import: what is done, what was refused, and the checkpoints that make both durable."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from protocol.errors import InvalidInput, Rule, render
from registry.importing import rules
from registry.importing.options import ImportOptions
from registry.importing.report import Report
from registry.importing.sources import Position
from registry.importing.state import (
    SORTING,
    JobState,
    WorkDirectory,
    identify,
    options_digest,
    own_files,
)

_TELL_SECONDS: Final = 0.1
"""Seconds between two calls of the progress callback."""

PHASE_NAMES: Final = {
    "en": {"sorting": "sorting", "loading": "registering", "done": "finishing"},
    "zh": {"sorting": "排序", "loading": "注册", "done": "收尾"},
}


class Progress(NamedTuple):
    """What a progress bar shows.

    ``phase`` is ``sorting`` or ``loading``; ``total`` is 0 where it is not known, ``unit`` is ``bytes`` or ``rows``;
    ``rows`` are those read so far while sorting, those done while loading.
    """

    phase: str
    done: int
    total: int
    unit: str
    rows: int
    refused: int


Tell = Callable[[Progress], None]
Notice = Callable[[str], None]
"""Takes one sentence for the person, in the language of the options."""


class Account:
    """State, report and work directory of one job, kept in step.

    Raises :class:`SettingsError` where the input cannot be read, the directory cannot be written, or another
    process works in it.
    """

    def __init__(
        self, source: Path, directory: Path, options: ImportOptions, progress: Tell | None, notice: Notice | None
    ) -> None:
        self.options = options
        self.directory = directory
        self._progress = progress
        self._notice = notice
        self._told = 0.0
        self._in_step = True
        identity = identify(source)
        self._work = WorkDirectory(directory)
        try:
            self.state = self._resume(JobState(input=identity, options=options_digest(options)))
            with own_files(directory):
                self._report = Report(self._work.report, self.state.report_bytes, options.language)
        except BaseException:
            self._work.close()
            raise
        self._began = time.monotonic() - self.state.seconds

    @property
    def report(self) -> Path:
        """The growing report in the work directory."""
        return self._work.report

    @property
    def seconds(self) -> float:
        """Time at work: this time, and before interruptions up to their last checkpoint."""
        return time.monotonic() - self._began

    def refuse(self, row: int, identifier: str, fault: InvalidInput) -> None:
        """Note a row that cannot be used."""
        self.refuse_for(row, identifier, fault.message(self.options.language), fault.rule.name)

    def refuse_for(self, row: int, identifier: str, reason: str, rule: str) -> None:
        """Note a refused row with a reason in words."""
        self._in_step = False
        with own_files(self.directory):
            self._report.add(row, identifier, reason, rule)
        self.state.refused += 1
        self._in_step = True

    def mark(self) -> JobState:
        """The state of this moment, for a checkpoint that can only be made when something is durable."""
        with own_files(self.directory):
            return msgspec.structs.replace(self.state, runs=[*self.state.runs], report_bytes=self._report.length)

    def checkpoint(self, at: JobState | None = None) -> None:
        """Make report and state durable, in this order: the state of now, or that of an earlier moment, ``at``.
        Everything else the state speaks of must be already.

        Does nothing after the report could not be written: the job then stands at its last checkpoint.
        """
        if not self._in_step:
            return
        at = at or self.mark()
        with own_files(self.directory):
            self._report.sync()
        at.seconds = self.seconds
        self._work.save(at)

    def tell(self, position: Position, rows: int, *, now: bool = False) -> None:
        """Call the progress callback, though not too often."""
        moment = time.monotonic()
        if self._progress is not None and (now or moment - self._told >= _TELL_SECONDS):
            self._told = moment
            self._progress(Progress(self.state.phase, *position, rows, self.state.refused))

    def say(self, rule: Rule, **details: str | int | float) -> None:
        """Give the person a notice."""
        if self._notice is not None:
            self._notice(render(rule.name, details, self.options.language))

    def remove_work(self) -> None:
        """Remove the work directory: the job is done."""
        self._work.remove()

    def close(self) -> None:
        """Let go of files and lock."""
        with own_files(self.directory):
            self._report.close()
        self._work.close()

    def _resume(self, fresh: JobState) -> JobState:
        found = self._work.load()
        if found is not None and (found.input, found.options) == (fresh.input, fresh.options):
            self._work.drop_all_but(found.runs)
            phase = PHASE_NAMES[self.options.language][found.phase]
            self.say(rules.CONTINUED, row=found.row, done=found.processed, phase=phase)
            return found
        if found is not None:
            self.say(rules.STARTED_OVER)
        self._work.clear()
        assert fresh.phase == SORTING
        return fresh
