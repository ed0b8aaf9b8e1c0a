"""One import from beginning to end, which may be killed at any moment and run again.

Run again with the same file and options it continues, and ends with the same registrations, the same report and the
same number of rows as if it had never been interrupted. One figure can differ: rows that were written but not yet
confirmed when the process died are sent again, are found registered, and then count as there already.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from protocol.errors import SettingsError
from registry.importing import rules
from registry.importing.account import Account, Notice, Tell
from registry.importing.columns import plan_columns
from registry.importing.csv_source import CsvSource
from registry.importing.json_mapping import JsonMapping
from registry.importing.loading import Sink, load
from registry.importing.mapping import TableMapping
from registry.importing.ndjson_source import NdjsonSource
from registry.importing.options import ImportOptions, Tuning
from registry.importing.report import check_target, publish
from registry.importing.sources import format_of
from registry.importing.spilling import read_batches, read_rows, spill
from registry.importing.state import DONE, LOADING, SORTING, identify, own_files

if TYPE_CHECKING:
    from registry.importing.xlsx_source import XlsxSource


class Summary(NamedTuple):
    """What became of an import.

    ``rows`` were read, blank ones not counted. ``registered`` were written, ``unchanged`` were there already with the
    same content, ``refused`` are in the report at ``report_path`` (None without refusals). A check writes nothing, so
    only ``rows`` and ``refused`` say something. ``seconds`` is time at work, interrupted runs included.
    """

    rows: int
    registered: int
    unchanged: int
    refused: int
    report_path: Path | None
    seconds: float


async def run_import(
    source: Path,
    sink: Sink | None,
    options: ImportOptions | None = None,
    *,
    work_directory: Path | None = None,
    report_path: Path | None = None,
    tuning: Tuning | None = None,
    progress: Tell | None = None,
    notice: Notice | None = None,
) -> Summary:
    """Import the file ``source`` into ``sink``, which only a check may leave out.

    ``work_directory`` (default: the file's name with ``.import``, beside it) has room for the mapped rows, about the
    size of the file, and is removed at the end. ``report_path`` defaults to the file's name with ``.refused.csv``.

    Raises :class:`InvalidInput` for a file or columns that cannot be imported at all, :class:`SettingsError` for
    files that cannot be read or written and for a second import at the same place, :class:`Refused` where the
    registry refuses more than single rows, and what the sink raises (:class:`Unreachable`). After any of them the
    same call continues the import.
    """
    options, tuning = options or ImportOptions(), tuning or Tuning()
    if sink is None and not options.check_only:
        raise ValueError("an import that is more than a check needs a sink")
    target = report_path or source.with_name(f"{source.name}.refused.csv")
    check_target(target)
    account = Account(source, work_directory or source.with_name(f"{source.name}.import"), options, progress, notice)
    try:
        if account.state.phase == SORTING:
            await _sort(source, account, options, tuning)
        if account.state.phase == LOADING:
            await load(account, None if options.check_only else sink, tuning)
            account.state.phase = DONE
            account.checkpoint()
        return _finish(account, target)
    finally:
        account.close()


async def _sort(path: Path, account: Account, options: ImportOptions, tuning: Tuning) -> None:
    kind = format_of(path, options)
    if kind == "ndjson":
        lines = NdjsonSource(path, options)
        _announce(account, path, lines.encoding)
        mapping = JsonMapping(plan_columns(lines.header, options, open_ended=True))
        await spill(account, read_rows(account, lines, mapping, tuning), lines.position, tuning)
    else:
        table = CsvSource(path, options) if kind == "csv" else _open_workbook(path, options)
        _announce(account, path, table.encoding)
        columns = TableMapping(plan_columns(table.header, options), table.header, table.encoding)
        if isinstance(table, CsvSource):
            reading = read_batches(account, table, columns, tuning)
        else:
            reading = read_rows(account, table, columns, tuning)
        await spill(account, reading, table.position, tuning)
    if identify(path) != account.state.input:
        raise SettingsError(rules.INPUT_CHANGED, path=str(path))


def _open_workbook(path: Path, options: ImportOptions) -> XlsxSource:
    # Loading openpyxl takes longer than a small import of any other format.
    from registry.importing.xlsx_source import XlsxSource

    return XlsxSource(path, options)


def _announce(account: Account, path: Path, encoding: str) -> None:
    account.say(rules.ENCODING, path=path.name, encoding=encoding.upper())


def _finish(account: Account, target: Path) -> Summary:
    state = account.state
    with own_files(target):
        if state.refused:
            publish(account.report, target)
        else:
            target.unlink(missing_ok=True)  # it would tell of refusals that are mended
    summary = Summary(
        state.rows,
        state.registered,
        state.unchanged,
        state.refused,
        target if state.refused else None,
        account.seconds,
    )
    account.remove_work()
    return summary
