from __future__ import annotations

import asyncio
import errno
import os
import signal
from pathlib import Path

import msgspec
import openpyxl
import pytest

from protocol.errors import BiaoshiError, InvalidInput, Refused, Rule, SettingsError, Unreachable
from protocol.records import check_values
from protocol.status import Status
from registry.importing import ImportOptions, Progress, Summary, Tuning, rules, run_import
from registry.importing.report import Report, check_target, publish
from registry.importing.state import WorkDirectory
from registry.store.writes import Outcome, Write
from tests.registry.importing.fakes import TINY, FakeRegistry, importing, mixed_rows, read_report, write_lines

NO_ANSWER = Rule("test.no-answer", Status.UNREACHABLE, "no answer", "无应答")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.csv"


def seeded(rows: list[str]) -> FakeRegistry:
    """A registry where some of the rows are there already, with other content."""
    registry = FakeRegistry()
    for line in rows[5::97]:
        registry.records[line.partition(",")[0].encode()] = b"other"
    return registry


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_whole_import(path: Path) -> None:
    rows = mixed_rows(400)
    write_lines(path, rows)
    registry = seeded(rows)
    told: list[Progress] = []
    notices: list[str] = []
    summary = importing(path, registry, progress=told.append, notice=notices.append)
    assert summary.rows == 400 == summary.registered + summary.unchanged + summary.refused
    assert summary.unchanged == 0
    assert summary.report_path == path.with_name("rows.csv.refused.csv")
    report = read_report(summary.report_path)
    assert len(report) == summary.refused
    assert [int(line[0]) for line in report] == sorted({int(line[0]) for line in report})
    assert {line[3] for line in report} == {
        "import.cell-count",
        "identifier.no-slash",
        "import.broken-quotes",
        "import.no-value",
        "import.duplicate",
        "import.duplicate-same",
        "exists",
    }
    assert names(path.parent) == ["rows.csv", "rows.csv.refused.csv"]
    assert max(registry.batches) <= TINY.batch_rows
    assert 1 < registry.most_under_way <= TINY.in_flight
    assert {progress.phase for progress in told} >= {"sorting"}
    assert told[0].unit == "bytes"
    assert notices == ["reading rows.csv as UTF-8"]
    for place in (2 * 7_919 % 10_007, 3 * 7_919 % 10_007):
        values = check_values(registry.records[f"88.118.1/P{place:06d}".encode()])
        assert [(v.index, v.type, v.text) for v in values] == [
            (1, "URL", f"https://example.com/{place}"),
            (2, "TEXT", f"pump {place}"),
        ]

    again = importing(path, registry)
    assert (again.registered, again.unchanged, again.refused) == (0, summary.registered, summary.refused)


def test_batches_go_out_in_the_order_of_identifiers(path: Path) -> None:
    write_lines(path, ["id,URL", *(f"88/{number * 37 % 101:03d},u" for number in range(101))])
    registry = FakeRegistry()
    importing(path, registry, tuning=Tuning(batch_rows=10, in_flight=1, run_rows=13))
    assert list(registry.records) == sorted(registry.records)
    assert registry.batches == [10] * 10 + [1]


def test_batches_are_bounded_in_bytes(path: Path) -> None:
    write_lines(path, ["id,URL", *(f"88/{number},{'u' * 300}" for number in range(40)), f"88/big,{'u' * 5_000}"])
    registry = FakeRegistry()
    importing(path, registry)
    assert sum(registry.batches) == 41
    assert max(registry.batches) == 2_000 // 330


def test_of_duplicates_the_first_row_wins(path: Path) -> None:
    write_lines(path, ["id,URL", "a/1,first", "b/1,x", "A/1,second", "A/1,first"])
    registry = FakeRegistry()
    summary = importing(path, registry)
    assert [value.text for value in check_values(registry.records[b"A/1"])] == ["first"]
    assert [(line[0], line[1], line[2]) for line in read_report(summary.report_path)] == [
        ("4", "A/1", "duplicate of row 2, with other content; row 2 was taken"),
        ("5", "A/1", "duplicate of row 2, with the same content; nothing is lost"),
    ]


def test_thousands_of_the_same_identifier(path: Path) -> None:
    write_lines(path, ["id,URL", *(f"a/1,{number}" for number in range(500))])
    registry = FakeRegistry()
    summary = importing(path, registry)
    assert registry.batches == [1]
    assert {line[2].split(",")[0] for line in read_report(summary.report_path)} == {"duplicate of row 2"}
    assert (summary.registered, summary.refused) == (1, 499)


def test_update_writes_whatever_is_there(path: Path) -> None:
    write_lines(path, ["id,URL", "a/1,new"])
    registry = FakeRegistry()
    registry.records[b"A/1"] = b"old"
    refused = importing(path, registry)
    assert [line[2] for line in read_report(refused.report_path)] == [Status.EXISTS.sentence()]
    summary = importing(path, registry, ImportOptions(update=True))
    assert (summary.registered, summary.refused, summary.report_path) == (1, 0, None)
    assert names(path.parent) == ["rows.csv"]  # the report of what is mended went too


def test_a_check_writes_nothing(path: Path) -> None:
    write_lines(path, ["id,URL", "a/1,u", "a/1,v", "bare,w", "a/2,x"])
    summary = importing(path, None, ImportOptions(check_only=True, language="zh"))
    assert (summary.rows, summary.registered, summary.unchanged, summary.refused) == (4, 0, 0, 2)
    lines = read_report(summary.report_path)
    assert [line[0] for line in lines] == ["3", "4"]
    assert lines[0][2] == "与第 2 行标识重复且内容不同，已采用第 2 行"
    assert summary.report_path is not None
    assert summary.report_path.read_bytes().startswith("\ufeff行号,标识,原因,规则\r\n".encode())


def test_all_formats_give_the_same_records(tmp_path: Path) -> None:
    table = [("标识", "网址", "批次"), ("88.118/甲", "https://例子.cn", "7"), ("88.118/2", "u", "8")]
    files = [write_lines(tmp_path / f"{encoding}.csv", [",".join(row) for row in table], encoding) for encoding in
             ("utf-8", "utf-8-sig", "gb18030")]  # fmt: skip
    book = openpyxl.Workbook()
    for row in table:
        assert book.active is not None
        book.active.append(row)
    files.append(tmp_path / "rows.xlsx")
    book.save(files[-1])
    files.append(tmp_path / "rows.jsonl")
    lines = [msgspec.json.encode(dict(zip(table[0], row, strict=True))) for row in table[1:]]
    files[-1].write_bytes(b"\n".join(lines))
    results = []
    for file in files:
        registry = FakeRegistry()
        assert importing(file, registry).registered == 2
        results.append(registry.records)
    assert all(result == results[0] for result in results)


def test_restricted_values_are_never_declared_public(tmp_path: Path) -> None:
    class Watching(FakeRegistry):
        def _decide(self, write: Write) -> Outcome:
            assert write.restricted or all(value.public for value in check_values(write.values or b""))
            return super()._decide(write)

    value = {"index": 1, "type": "KEY", "data": "x", "permissions": 12}
    path = tmp_path / "rows.ndjson"
    path.write_bytes(msgspec.json.encode({"identifier": "a/1", "values": [value]}))
    assert importing(path, Watching()).registered == 1


def test_a_file_without_rows(path: Path) -> None:
    write_lines(path, ["id,URL"])
    assert importing(path, FakeRegistry())[:5] == (0, 0, 0, 0, None)


def test_blank_rows_are_passed_over(path: Path) -> None:
    write_lines(path, ["id,URL", "", ",", "a/1,u", ""])
    assert importing(path, FakeRegistry())[:4] == (1, 1, 0, 0)


@pytest.mark.parametrize(
    ("name", "options", "rule"),
    [
        ("absent.csv", {}, rules.NO_INPUT),
        ("rows.doc", {}, rules.UNKNOWN_FORMAT),
        ("rows.xlsx", {}, rules.BAD_WORKBOOK),
        ("rows.csv", {"columns": ("none=X",)}, rules.MAPPING),
    ],
)
def test_an_import_that_cannot_begin(tmp_path: Path, name: str, options: dict[str, object], rule: Rule) -> None:
    for present in ("rows.doc", "rows.xlsx", "rows.csv"):
        write_lines(tmp_path / present, ["id,URL", "a/1,u"])
    with pytest.raises(BiaoshiError) as caught:
        importing(tmp_path / name, FakeRegistry(), ImportOptions(**options))  # type: ignore[arg-type]
    assert caught.value.rule is rule
    assert caught.value.message("zh") != caught.value.message("en")


@pytest.mark.parametrize("option", ["format", "encoding", "delimiter", "language"])
def test_options_are_checked(option: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        ImportOptions(**{option: "x"})  # type: ignore[arg-type]
    assert caught.value.rule is rules.BAD_OPTION


def test_tuning_is_checked() -> None:
    for wrong in ({"batch_rows": 10_001}, {"run_rows": 0}):
        with pytest.raises(ValueError, match="sizes"):
            Tuning(**wrong)  # type: ignore[arg-type]


def test_an_import_needs_a_sink(path: Path) -> None:
    with pytest.raises(ValueError, match="sink"):
        importing(path, None)


# Stopping and continuing -----------------------------------------------------------------------------


def undisturbed(path: Path, rows: list[str]) -> tuple[Summary, FakeRegistry, bytes]:
    registry = seeded(rows)
    summary = importing(path, registry)
    assert summary.report_path is not None
    report = summary.report_path.read_bytes()
    summary.report_path.unlink()
    return summary, registry, report


def same(summary: Summary, expected: Summary) -> bool:
    """Whether two summaries agree in all that an interruption must not change."""
    return (summary.rows, summary.registered + summary.unchanged, summary.refused) == (
        expected.rows,
        expected.registered + expected.unchanged,
        expected.refused,
    )


def test_the_registry_goes_away_at_every_batch(path: Path) -> None:
    rows = mixed_rows(150)
    write_lines(path, rows)
    expected, calm, report = undisturbed(path, rows)
    for fatal in range(1, len(calm.batches) + 1):
        registry = seeded(rows)

        def fail(number: int, fatal: int = fatal) -> None:
            if number == fatal:
                raise Unreachable(NO_ANSWER)

        registry.before = fail
        with pytest.raises(Unreachable):
            importing(path, registry)
        assert path.with_name("rows.csv.import").exists()
        notices: list[str] = []
        summary = importing(path, registry, notice=notices.append)
        assert "continuing the interrupted import" in notices[0]
        assert same(summary, expected)
        assert summary.report_path is not None
        assert (registry.records, summary.report_path.read_bytes()) == (calm.records, report)
        summary.report_path.unlink()


class PowerCut(BaseException):
    """Nothing that the program could handle."""


def test_the_power_goes_at_every_moment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every durable step begins or ends with an fsync: cut there, let nothing be written any more, and go on."""
    rows = mixed_rows(60)
    write_lines(path, rows)
    expected, calm, report = undisturbed(path, rows)
    real = os.fsync
    fatal = 0
    finished = False
    while not finished:
        fatal += 1
        registry = seeded(rows)
        calls = 0

        def cut(handle: int, fatal: int = fatal) -> None:
            nonlocal calls
            calls += 1
            if calls >= fatal:
                raise PowerCut
            real(handle)

        monkeypatch.setattr(os, "fsync", cut)
        try:
            importing(path, registry)
            finished = True
        except PowerCut:
            pass
        except SettingsError as error:
            if error.rule is not rules.SORTER_ENDED:  # it went in the process that sorts
                raise
        monkeypatch.setattr(os, "fsync", real)
        if not finished:
            summary = importing(path, registry)
            assert same(summary, expected), fatal
            assert summary.report_path is not None
            assert (registry.records, summary.report_path.read_bytes()) == (calm.records, report), fatal
            summary.report_path.unlink()
    assert fatal > 30


@pytest.mark.parametrize("fatal", [1, 2, 3, 5])
def test_the_process_that_sorts_dies(path: Path, monkeypatch: pytest.MonkeyPatch, fatal: int) -> None:
    rows = mixed_rows(150)
    write_lines(path, rows)
    expected, calm, report = undisturbed(path, rows)
    real = os.fork
    forks = 0

    def fork() -> int:
        nonlocal forks
        forks += 1
        pid = real()
        if forks == fatal:
            os.kill(pid or os.getpid(), signal.SIGKILL)
        return pid

    registry = seeded(rows)
    monkeypatch.setattr(os, "fork", fork)
    with pytest.raises(SettingsError) as caught:
        importing(path, registry)
    assert caught.value.rule is rules.SORTER_ENDED
    assert "{" not in caught.value.message("zh") + caught.value.message("en")
    assert not registry.batches
    notices: list[str] = []
    summary = importing(path, registry, notice=notices.append)
    assert ("continuing" in notices[0]) is (fatal > 1)
    assert same(summary, expected)
    assert summary.report_path is not None
    assert (registry.records, summary.report_path.read_bytes()) == (calm.records, report)


def test_no_room_for_another_process(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = mixed_rows(150)
    write_lines(path, rows)
    expected, calm, report = undisturbed(path, rows)

    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)
    registry = seeded(rows)
    summary = importing(path, registry)
    assert same(summary, expected)
    assert summary.report_path is not None
    assert (registry.records, summary.report_path.read_bytes()) == (calm.records, report)


def test_a_run_that_was_damaged_after_it_was_written(path: Path) -> None:
    write_lines(path, ["id,URL", *(f"a/{number},u" for number in range(100))])

    def fail(_: int) -> None:
        raise Unreachable(NO_ANSWER)

    with pytest.raises(Unreachable):
        importing(path, FakeRegistry(fail))
    run = path.with_name("rows.csv.import") / "biaoshi-import.run-000001"
    run.write_bytes(run.read_bytes()[:-1])
    with pytest.raises(SettingsError) as caught:
        importing(path, FakeRegistry())
    assert caught.value.rule is rules.DAMAGED


def test_other_options_or_another_file_start_over(path: Path) -> None:
    write_lines(path, ["id,URL", "a/1,u", "a/2,v"])

    def fail(_: int) -> None:
        raise Unreachable(NO_ANSWER)

    registry = FakeRegistry(fail)
    for change in ("options", "file"):
        with pytest.raises(Unreachable):
            importing(path, registry)
        if change == "file":
            write_lines(path, ["id,URL", "a/1,u", "a/2,v", "a/3,w"])
        notices: list[str] = []
        fresh = FakeRegistry()
        summary = importing(path, fresh, ImportOptions(update=change == "options"), notice=notices.append)
        assert "starting from the beginning" in notices[0]
        assert summary.registered == len(fresh.records) == (2 if change == "options" else 3)


def test_a_file_that_changes_while_it_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_lines(path, ["id,URL", *(f"a/{number},u" for number in range(100))])

    def append(_: Progress) -> None:
        with path.open("a") as file:
            file.write(f"a/x{file.tell()},late\r\n")

    with pytest.raises(SettingsError) as caught:
        importing(path, FakeRegistry(), progress=append)
    assert caught.value.rule is rules.INPUT_CHANGED
    assert importing(path, FakeRegistry()).registered == 100 + path.read_text().count("late")


@pytest.mark.parametrize("status", [Status.UNKNOWN, Status.NOT_AUTHENTICATED, Status.STORE_FULL, Status.OVERLOADED])
def test_a_status_that_concerns_the_job_stops_it(path: Path, status: Status) -> None:
    class Failing(FakeRegistry):
        failing = True

        def _decide(self, write: Write) -> Outcome:
            if self.failing and write.identifier == b"A/50":
                return Outcome(status, 0, False)
            return super()._decide(write)

    write_lines(path, ["id,URL", *(f"a/{number},u" for number in range(10, 99))])
    registry = Failing()
    with pytest.raises(Refused) as caught:
        importing(path, registry)
    assert caught.value.status is status
    assert "{" not in caught.value.message("zh") + caught.value.message("en")
    registry.failing = False
    summary = importing(path, registry)
    assert (summary.rows, summary.refused, len(registry.records)) == (89, 0, 89)


def test_a_wrong_number_of_answers_stops_the_job(path: Path) -> None:
    class Short(FakeRegistry):
        async def write(self, writes: object) -> list[Outcome]:
            return []

    write_lines(path, ["id,URL", "a/1,u"])
    with pytest.raises(Refused) as caught:
        importing(path, Short())
    assert caught.value.rule is rules.WRONG_ANSWER


def test_being_cancelled_keeps_what_is_done(path: Path) -> None:
    write_lines(path, ["id,URL", *(f"a/{number},u" for number in range(100))])

    async def interrupted(registry: FakeRegistry) -> None:
        task = asyncio.create_task(run_import(path, registry, tuning=TINY))
        registry.before = lambda number: task.cancel() if number == 5 else None
        await task

    registry = FakeRegistry()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(interrupted(registry))
    sent = len(registry.batches)
    assert importing(path, registry)[:4] != (0, 0, 0, 0)
    assert len(registry.records) == 100
    assert sum(registry.batches[sent:]) < 100


# Files -----------------------------------------------------------------------------------------------


def test_one_import_at_a_time(path: Path) -> None:
    write_lines(path, ["id,URL", "a/1,u"])
    other = WorkDirectory(path.with_name("rows.csv.import"))
    with pytest.raises(SettingsError) as caught:
        importing(path, FakeRegistry())
    assert caught.value.rule is rules.BUSY
    other.close()
    assert importing(path, FakeRegistry()).registered == 1


def test_a_work_directory_that_cannot_be(path: Path) -> None:
    write_lines(path, ["id,URL", "a/1,u"])
    with pytest.raises(SettingsError) as caught:
        importing(path, FakeRegistry(), work_directory=path)
    assert caught.value.rule is rules.FILES


def test_foreign_files_in_the_work_directory_stay(path: Path, tmp_path: Path) -> None:
    write_lines(path, ["id,URL", "a/1,u"])
    for name in ("run-7", "x.tmp", "lock", "state.json"):
        (tmp_path / name).write_text("x")
    importing(path, FakeRegistry(), work_directory=tmp_path)
    assert names(tmp_path) == ["lock", "rows.csv", "run-7", "state.json", "x.tmp"]


def test_an_unreadable_state_starts_over(path: Path, tmp_path: Path) -> None:
    write_lines(path, ["id,URL", "a/1,u"])
    work = tmp_path / "work"
    work.mkdir()
    for content in (b"", b"{}", b"\xff", b'{"format":99}'):
        work.mkdir(exist_ok=True)
        (work / "biaoshi-import.state.json").write_bytes(content)
        assert importing(path, FakeRegistry(), work_directory=work).registered == 1


def test_a_report_replaces_nothing_but_a_report(path: Path, tmp_path: Path) -> None:
    write_lines(path, ["id,URL", "bare,u"])
    target = tmp_path / "precious.csv"
    target.write_text("my data")
    with pytest.raises(SettingsError) as caught:
        importing(path, FakeRegistry(), report_path=target)
    assert caught.value.rule is rules.NOT_A_REPORT
    assert target.read_text() == "my data"
    with pytest.raises(SettingsError):
        check_target(tmp_path)


def test_a_report_does_not_become_a_formula(tmp_path: Path) -> None:
    work, target = tmp_path / "work.csv", tmp_path / "report.csv"
    report = Report(work, 0, "en")
    for row, identifier in ((9, "=1+1"), (2, 'with "quotes",\nand lines'), (5, "x" * 900), (10, "\ud800")):
        report.add(row, identifier, "reason", "rule")
    length = report.sync()
    report.add(1, "lost", "after the checkpoint", "rule")
    report.close()
    Report(work, length, "en").close()
    publish(work, target)
    assert [(line[0], line[1]) for line in read_report(target)] == [
        ("2", 'with "quotes",\nand lines'),
        ("5", "x" * 500),
        ("9", "'=1+1"),
        ("10", "?"),
    ]
