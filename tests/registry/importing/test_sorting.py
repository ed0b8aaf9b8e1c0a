from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import SettingsError
from registry.importing import Tuning, rules
from registry.importing.sorting import Run, element_of, key_of, read_sorted, row_of, write_run
from tests.registry.importing.fakes import TINY


def spill(directory: Path, runs: Sequence[Sequence[bytes]], tuning: Tuning) -> list[Run]:
    return [write_run(directory, f"run-{number}", list(run), tuning) for number, run in enumerate(runs)]


def elements(identifiers: Sequence[bytes], values: bytes = b"v") -> list[bytes]:
    return [element_of(identifier, row, values) for row, identifier in enumerate(identifiers, 2)]


def test_an_element_orders_by_identifier_and_row() -> None:
    made = [
        element_of(b"a", 256, b"x"),
        element_of(b"a", 2, b"\xff"),
        element_of(b"a.", 1, b""),
        element_of(b"", 9, b""),
    ]
    assert [(key_of(element), row_of(element)) for element in sorted(made)] == [
        (b"\0" + (9).to_bytes(8, "big"), 9),
        (b"a\0" + (2).to_bytes(8, "big"), 2),
        (b"a\0" + (256).to_bytes(8, "big"), 256),
        (b"a.\0" + (1).to_bytes(8, "big"), 1),
    ]


_identifiers = st.lists(st.binary(max_size=3).map(lambda raw: raw.replace(b"\0", b"\1")), max_size=80)


@given(
    identifiers=_identifiers,
    cuts=st.lists(st.integers(0, 80), max_size=6),
    block=st.integers(1, 5),
    partition=st.integers(1, 30),
    block_bytes=st.integers(1, 80),
    resume=st.integers(0, 80),
)
def test_reads_back_what_sorted_gives(
    tmp_path_factory: pytest.TempPathFactory,
    identifiers: list[bytes],
    cuts: list[int],
    block: int,
    partition: int,
    block_bytes: int,
    resume: int,
) -> None:
    tuning = Tuning(
        block_rows=block, partition_rows=partition, block_bytes=block_bytes, partition_bytes=block_bytes * 4
    )
    directory = tmp_path_factory.mktemp("runs", numbered=True)
    unsorted = elements(identifiers)
    edges = sorted({0, len(unsorted), *(min(cut, len(unsorted)) for cut in cuts)})
    runs = spill(directory, [unsorted[first:last] for first, last in pairwise(edges)], tuning)
    assert sum(run.rows for run in runs) == len(unsorted)
    partitions = list(read_sorted(directory, runs, b"", tuning))
    expected = sorted(unsorted)
    assert [element for part in partitions for element in part] == expected
    if resume < len(expected):
        rest = list(read_sorted(directory, runs, key_of(expected[resume]), tuning))
        assert [element for part in rest for element in part] == expected[resume + 1 :]
        assert all(rest)


@pytest.mark.parametrize("kind", ["random", "sorted", "equal", "skewed"])
def test_partitions_stay_within_their_bounds(tmp_path: Path, kind: str) -> None:
    chance = Random(5)
    identifiers = {
        "random": [b"88/%06d" % chance.randrange(10**6) for _ in range(4_000)],
        "sorted": [b"88/%06d" % number for number in range(4_000)],
        "equal": [b"88/same"] * 4_000,
        "skewed": [b"88/same" if number % 10 else b"88/%d" % number for number in range(4_000)],
    }[kind]
    tuning = Tuning(block_rows=16, partition_rows=200)
    unsorted = elements(identifiers)
    runs = spill(tmp_path, [unsorted[begin : begin + 500] for begin in range(0, 4_000, 500)], tuning)
    partitions = list(read_sorted(tmp_path, runs, b"", tuning))
    assert [element for part in partitions for element in part] == sorted(unsorted)
    assert max(map(len, partitions)) <= 200 + len(runs) * 16
    assert len(partitions) <= 2 * 4_000 // 200


def test_partitions_are_bounded_in_bytes(tmp_path: Path) -> None:
    unsorted = elements([b"88/%03d" % (number * 37 % 400) for number in range(400)], b"x" * 1_000)
    tuning = Tuning(block_bytes=3_000, partition_bytes=20_000)
    runs = spill(tmp_path, [unsorted[:150], unsorted[150:]], tuning)
    partitions = list(read_sorted(tmp_path, runs, b"", tuning))
    assert [element for part in partitions for element in part] == sorted(unsorted)
    assert max(sum(map(len, part)) for part in partitions) <= 20_000 + 2 * 3_000


def test_reading_back_takes_little_memory(tmp_path: Path) -> None:
    tuning = Tuning(block_rows=32, partition_rows=500)
    runs = []
    for number in range(20):
        part = [element_of(b"88/%09d" % (row * 7919 % 1_000_003), row, b"x" * 200) for row in range(number, 40_000, 20)]
        runs.append(write_run(tmp_path, f"run-{number}", part, tuning))
    del part
    tracemalloc.start()
    count = sum(map(len, read_sorted(tmp_path, runs, b"", tuning)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 40_000  # 11 MB of objects, were they all in memory
    assert peak < 3_000_000


@pytest.mark.parametrize("damage", ["gone", "short", "grown", "magic", "block"])
def test_damage_is_noticed(tmp_path: Path, damage: str) -> None:
    runs = spill(tmp_path, [elements([b"a", b"b", b"c"] * 9)], TINY)
    path = tmp_path / runs[0].name
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(
            {
                "short": whole[:-5],
                "grown": whole + b"x",
                "magic": whole[:-1] + b"\xff",
                "block": b"\xff" * 8 + whole[8:],
            }[damage]
        )
    with pytest.raises(SettingsError) as caught:
        list(read_sorted(tmp_path, runs, b"", TINY))
    assert caught.value.rule is rules.DAMAGED


def test_no_runs_give_nothing(tmp_path: Path) -> None:
    assert list(read_sorted(tmp_path, [], b"", TINY)) == []
