"""Product data in the shapes that factories use: seeded, of any size, streamed in constant memory.

Two variants. *Realistic* rows (:func:`rows`) come from production lines of several enterprises, each line
with its own manner of numbering, in the interleaved order in which the lines produce. *Uniform* rows
(:func:`uniform_rows`) all look alike and come in random order, so that a measurement of them can be
repeated and compared.

The same count and seed give the same rows on every machine: of Python's generator only ``random()`` is
used, the one method whose sequence the library promises to keep. All names and numbers are invented.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import date, timedelta
from itertools import chain, islice
from pathlib import Path
from random import Random
from typing import Final, NamedTuple
from urllib.parse import quote

import msgspec

HEADERS: Final[dict[str, tuple[str, ...]]] = {
    "en": ("identifier", "URL", "NAME", "MODEL", "LOT", "PRODUCED"),
    "zh": ("标识", "网址", "产品名称", "型号", "批次", "生产日期"),
}
"""Column names of the realistic variant, in the order of :class:`Row`."""

UNIFORM_HEADER: Final = ("identifier", "URL", "TEXT")
ENCODINGS: Final = ("utf-8", "utf-8-sig", "gb18030")
"""What spreadsheets write: plain, with the byte order mark that Excel wants, and Chinese Windows' own."""

MAX_ROWS: Final = 5_000_000_000
"""Rows of one data set. Were they all of one line and every second number rejected, the narrowest running
number, ten digits, would just not repeat."""

MAX_SHEET_ROWS: Final = 1_048_576
"""Rows of one worksheet, header included (Excel specifications and limits)."""

_FIRST_DAY: Final = date(2024, 1, 1)
_DAYS: Final = 731
"""Days that a data set covers, whatever its size: the years 2024 and 2025. Within one century, so that a
lot's two-digit year does not repeat."""

_BLOCK_BYTES: Final = 1 << 20
_BLOCK_ROWS: Final = 8_192


class Row(NamedTuple):
    """One product as a factory's system exports it."""

    identifier: str
    url: str
    name: str
    model: str
    lot: str
    produced: str  # ISO 8601 date


class UniformRow(NamedTuple):
    """One record of the uniform variant: two values, 96 bytes together."""

    identifier: str
    url: str
    text: str


def with_check_digit(digits: str) -> str:
    """A GTIN or SSCC completed by its check digit (GS1 General Specifications, section 7.9.1).

    From the right, digits weigh 3, 1, 3, 1 …; the check digit lifts the sum to a multiple of ten.
    """
    total = 3 * sum(map(int, digits[-1::-2])) + sum(map(int, digits[-2::-2]))
    return f"{digits}{-total % 10}"


class _Day(NamedTuple):
    """One calendar day in the notations that numbers contain."""

    iso: str
    compact: str
    year_month: str
    lot: str


class _Enterprise(NamedTuple):
    prefix: str
    page: str
    """Address to which the suffix is added: where the enterprise's own system shows the product."""


@dataclass(slots=True)
class _Line:
    """One production line: its fixed traits, and the counters that make its numbers unique.

    The suffixes of a line begin with ``stem``, and no stem of an enterprise begins another one of it, so
    lines never give the same identifier (SSCCs have a digit before their stem: their enterprise has no
    other line). Within a line the counter, or the counter with its day or month, is part of the suffix.
    """

    enterprise: _Enterprise
    share: int
    """Rows of 128 that come from this line, on average."""
    stem: str
    number: Callable[[_Line, _Day, int], tuple[str, str]]
    """Gives suffix and lot of the piece just made, of the model with that index."""
    product: str
    four_models: InitVar[str]
    models: list[str] = field(init=False)
    serial: int = 0
    in_month: int = 0
    in_day: int = 0

    def __post_init__(self, four_models: str) -> None:
        self.models = four_models.split()


def _plain(line: _Line, day: _Day, model: int) -> tuple[str, str]:
    """Serial of fixed length: ``P0000000123456``."""
    return f"{line.stem}{line.serial:013d}", day.lot


def _dotted(line: _Line, day: _Day, model: int) -> tuple[str, str]:
    """Category, model, date, serial of the day: ``PUMP.A456-4.20250107.000123``."""
    return f"{line.stem}{line.models[model]}.{day.compact}.{line.in_day:06d}", day.lot


def _lot(line: _Line, day: _Day, model: int) -> tuple[str, str]:
    """Monthly lot and serial in the lot: ``B2411-000001``."""
    lot = line.stem.rpartition("/")[2] + day.year_month
    return f"{line.stem}{day.year_month}-{line.in_month:06d}", lot


def _run_together(line: _Line, day: _Day, model: int) -> tuple[str, str]:
    """Plant, month and serial without separators: ``JXDY24060023``."""
    return f"{line.stem}{day.year_month}{line.in_month:04d}", day.lot


def _sgtin(line: _Line, day: _Day, model: int) -> tuple[str, str]:
    """Item and serial, written as in GS1 Digital Link: ``01/<GTIN-14>/21/<serial>``."""
    gtin = with_check_digit(f"{line.stem[3:]}{101 + model:05d}")  # company prefix, item reference
    return f"01/{gtin}/21/{line.serial % 10**10:010d}", day.lot


def _bare_gtin(line: _Line, day: _Day, model: int) -> tuple[str, str]:
    """A GTIN-14 alone: a case of goods, one number an item."""
    return with_check_digit(f"{line.stem}{line.serial % 10**10:010d}"), day.lot


def _sscc(line: _Line, day: _Day, model: int) -> tuple[str, str]:
    """A pallet's SSCC: extension digit, company prefix, nine digits of serial, check digit.

    The extension digit, left of the company prefix, has no meaning of its own and is the serial's tenth.
    """
    serial = f"{line.serial % 10**10:010d}"
    return with_check_digit(serial[0] + line.stem + serial[1:]), day.lot


_PUMPS: Final = _Enterprise("88.118.32001", "https://erp72.example-maker.com/item/v2/")
_VALVES: Final = _Enterprise("88.118.32017", "https://id.valves.example/p/")
_MACHINES: Final = _Enterprise("88.118.0042", "https://www.machines.example/trace?code=")
_HOUSEHOLD: Final = _Enterprise("88.118.32060230017", "https://id.household.example/")
_CABLES: Final = _Enterprise("88.118.8", "http://trace.cables.example:8080/q/")
_LOGISTICS: Final = _Enterprise("88.118.32560", "https://pallet.logistics.example/sscc/")


_LINES: Final = (
    (_PUMPS, 24, "P", _plain, "液压泵 Hydraulic pump", "A456-4 A456-6 A10VSO28 A10VSO45"),
    (_PUMPS, 14, "B", _lot, "深沟球轴承 Deep groove ball bearing", "6204-2RS 6205-2RS 6206-ZZ 6308-ZZ"),
    (_PUMPS, 3, "液压缸.", _dotted, "液压缸", "HSG63 HSG80 HSG100 HSG125"),
    (_VALVES, 12, "V", _plain, "先导式溢流阀", "DB10-1-50 DB20-1-50 DBW10A-1 DBW20A-1"),
    (_VALVES, 9, "C", _lot, "Directional valve, solenoid operated", "4WE6D62 4WE6E62 4WE10D33 4WE10J33"),
    (_VALVES, 2, "二车间/D", _lot, "单向阀", "S10A1 S15A1 S20A1 S25A1"),
    (_MACHINES, 12, "PUMP.", _dotted, "Centrifugal pump", "IS50-32 IS65-40 IS80-50 IS100-65"),
    (_MACHINES, 8, "MOTOR.", _dotted, "三相异步电动机", "YE4-90L-4 YE4-100L1-4 YE4-132S-4 YE4-160M-4"),
    (_MACHINES, 6, "GEAR.", _dotted, "减速机 Gear reducer", "R37-11.5 R57-24.6 K47-35.2 K77-58.8"),
    (_HOUSEHOLD, 10, "01/06901987", _sgtin, "空调压缩机 AC compressor", "KSM89D KSN98D KTM240D KTF310D"),
    (_HOUSEHOLD, 6, "01/06921654", _sgtin, "Washing machine motor", "XD-120 XD-150 BLDC-300 BLDC-420"),
    (_HOUSEHOLD, 2, "169", _bare_gtin, "六角螺栓 Hexagon bolt", "M8×30 M10×40 M12×60 M16×80"),
    (_CABLES, 10, "JXDY", _run_together, "交联聚乙烯电力电缆", "YJV-3×120 YJV-4×95 YJV22-3×185 YJLV-4×70"),
    (_CABLES, 5, "JXBH", _run_together, "Control cable", "KVV-7×1.5 KVV-10×1.5 KVVP-4×2.5 KVVRP-12×1"),
    (_LOGISTICS, 5, "6935718", _sscc, "托盘 Pallet", "1200×1000 1200×800 1100×1100 1140×1140"),
)
"""Enterprise, share, stem, numbering, product and models of each line; the shares add up to 128."""


def rows(count: int, seed: int) -> Iterator[Row]:
    """``count`` realistic rows with identifiers that are legal, in normal form and unique among them.

    They are in order of production, so neither sorted nor random: each line's numbers ascend, lines mix.
    A data set covers the same two years whatever its size; a larger one is a busier factory.
    """
    _check_count(count, MAX_ROWS)
    return _produce(count, Random(seed).random)


def _produce(count: int, random: Callable[[], float]) -> Iterator[Row]:
    lines = [_Line(*traits) for traits in _LINES]
    for line in lines:
        line.serial = int(random() * 1_000_000_000)  # factories did not start with this data set
    by_share = [line for line in lines for _ in range(line.share)]
    for number in range(_DAYS):
        day = _begin_day(_FIRST_DAY + timedelta(number), lines)
        for _ in range(count * number // _DAYS, count * (number + 1) // _DAYS):
            word = int(random() * 9_007_199_254_740_992)  # 53 bits, all that a float of random() has
            line = by_share[word & 127]
            yield _make(line, day, word >> 7)


def _begin_day(today: date, lines: list[_Line]) -> _Day:
    """Set the lines' counters for ``today``."""
    for line in lines:
        line.in_day = 0
        if today.day == 1:
            line.in_month = 0
    year, compact = today.isoformat()[:4], today.isoformat().replace("-", "")
    return _Day(today.isoformat(), compact, compact[2:6], f"{year}{today.timetuple().tm_yday:04d}")


def _make(line: _Line, day: _Day, bits: int) -> Row:
    """Let ``line`` make one piece; random ``bits`` choose the model and whether a piece before it failed."""
    model = bits & 3
    step = 1 if bits & 0xFC else 2  # one piece in 64 is rejected after numbering, which leaves a gap
    line.serial += step
    line.in_month += step
    line.in_day += step
    suffix, lot = line.number(line, day, model)
    prefix, page = line.enterprise
    url = page + (suffix if suffix.isascii() else quote(suffix))
    return Row(f"{prefix}/{suffix}", url, line.product, line.models[model], lot, day.iso)


_UNIFORM_PREFIX: Final = "88.118.32001/P"
_UNIFORM_PAGE: Final = "https://erp72.example-maker.com/item/v2/P"
_UNIFORM_TEXT: Final = "Hydraulic pump A456-4 lot 20250086 line 15"
_UNIFORM_BASE: Final = 10**13
"""Added before formatting, so that ``str`` gives the leading zeros: twice as fast as ``%013d``."""


def uniform_identifier(number: int, prefix: str = "88.118.32001") -> str:
    """The uniform identifier with this number, 0 to 10**13 - 1: ``88.118.32001/P`` and 13 digits."""
    return f"{prefix}/P{number:013d}"


def uniform_row(number: int) -> UniformRow:
    """The record with this number: identifier, URL value, TEXT value."""
    return UniformRow(uniform_identifier(number), f"{_UNIFORM_PAGE}{number:013d}", _UNIFORM_TEXT)


def uniform_rows(count: int, seed: int) -> Iterator[UniformRow]:
    """The uniform records 0 to ``count`` - 1, each once, in a random order that ``seed`` chooses."""
    return map(uniform_row, shuffled(count, seed))


def shuffled(count: int, seed: int) -> Iterator[int]:
    """The numbers 0 to ``count`` - 1, each once, in a random order, in constant memory."""
    _check_count(count, _UNIFORM_BASE)
    return _shuffle(count, Random(seed).random)


def _shuffle(count: int, random: Callable[[], float]) -> Iterator[int]:
    # Each step is a bijection on the numbers of `bits` bits: adding, multiplying by an odd number, and
    # `x ^= x >> shift`. What falls outside range(count), at most half, is left out. An affine map alone
    # would be shorter, but it goes round in equal strides, and keys that come in equal strides meet a
    # B-tree's pages, and the processor's caches, far more evenly than a real load does. The seed enters by
    # the offsets only: an unlucky multiplier, near a half or a third of the size, would show in the order.
    bits = max(1, (count - 1).bit_length())
    size, mask, shift = 1 << bits, (1 << bits) - 1, (bits + 1) // 2
    one, two, three = (int(size * part) | 1 for part in (0.6180339887, 0.7548776662, 0.5698402910))
    start, middle, end = (int(random() * size) for _ in range(3))
    for number in range(size):
        number = (number + start) * one & mask
        number = ((number ^ number >> shift) + middle) * two & mask
        number = ((number ^ number >> shift) + end) * three & mask
        number ^= number >> shift
        if number < count:
            yield number


def _check_count(count: int, limit: int) -> None:
    if not 0 <= count <= limit:
        raise ValueError(f"count is {count:,}; it must be from 0 to {limit:,}")


def write_csv(path: Path, rows: Iterable[Sequence[str]], header: Sequence[str], encoding: str = "utf-8") -> None:
    """Write comma-separated values with a header, quoted where needed, lines ending in ``\\n``."""
    with open(path, "w", _BLOCK_BYTES, encoding, newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(chain([header], rows))


def write_uniform_csv(path: Path, count: int, seed: int, encoding: str = "utf-8") -> None:
    """What :func:`write_csv` makes of :func:`uniform_rows`, byte for byte, at several times its speed."""
    numbers = shuffled(count, seed)
    with open(path, "w", _BLOCK_BYTES, encoding, newline="") as file:
        file.write(",".join(UNIFORM_HEADER) + "\n")
        while block := list(islice(numbers, _BLOCK_ROWS)):
            file.write(
                "".join(
                    [  # nothing in these values needs quotes
                        f"{_UNIFORM_PREFIX}{(digits := str(number + _UNIFORM_BASE)[1:])},{_UNIFORM_PAGE}{digits},"
                        f"{_UNIFORM_TEXT}\n"
                        for number in block
                    ]
                )
            )


def write_ndjson(path: Path, rows: Iterable[Sequence[str]], header: Sequence[str]) -> None:
    """Write one JSON object a line, in UTF-8, with the header's names as keys."""
    encode = msgspec.json.encode
    with open(path, "wb", _BLOCK_BYTES) as file:
        file.writelines(encode(dict(zip(header, row, strict=True))) + b"\n" for row in rows)


def write_xlsx(path: Path, rows: Iterable[Sequence[str]], header: Sequence[str]) -> None:
    """Write a workbook of one sheet; more rows than a sheet holds are a ``ValueError``.

    The file holds the time of writing, so equal data give equal cells here and not equal bytes.
    """
    from openpyxl import Workbook  # here, because it is slow to load

    book = Workbook(write_only=True)  # streams rows to disk instead of holding the cells
    sheet = book.create_sheet("products")
    for number, row in enumerate(chain([header], rows)):
        if number == MAX_SHEET_ROWS:
            sheet.close()
            raise ValueError(f"a worksheet holds {MAX_SHEET_ROWS - 1:,} rows and a header, not more")
        sheet.append(row)
    book.save(path)


_EXAMPLES: Final = """examples:
  python -m bench.dataset --count 50000 products.csv
  python -m bench.dataset --count 50000 --header zh --encoding gb18030 products.csv
  python -m bench.dataset --count 2000 --seed 7 --format xlsx products.xlsx
  python -m bench.dataset --count 10000000 --uniform uniform.csv
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a data set to a file and report the speed on standard error; the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    _check_options(parser, options)
    begin = time.perf_counter()
    try:
        _write(options)
    except OSError as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
    seconds = time.perf_counter() - begin
    print(
        f"{options.out}: {options.count:,} rows, {options.out.stat().st_size:,} bytes in {seconds:.1f} s "
        f"({options.count / seconds:,.0f} rows/s)",
        file=sys.stderr,
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.dataset",
        description="Write product data for imports and measurements.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="file to write; an existing one is replaced")
    parser.add_argument("--count", type=int, required=True, metavar="N", help="number of rows")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="same seed, same rows (default 1)")
    parser.add_argument(
        "--uniform", action="store_true", help="records that all look alike, in random order, for measurements"
    )
    parser.add_argument("--format", choices=("csv", "ndjson", "xlsx"), default="csv", help="default csv")
    parser.add_argument("--encoding", choices=ENCODINGS, default="utf-8", help="of CSV (default utf-8)")
    parser.add_argument("--header", choices=tuple(HEADERS), default="en", help="column names (default en)")
    return parser


def _check_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with a usage error where options contradict each other or the format."""
    limit = MAX_SHEET_ROWS - 1 if options.format == "xlsx" else MAX_ROWS
    if not 0 <= options.count <= limit:
        parser.error(f"--count must be from 0 to {limit:,}")
    if options.format != "csv" and options.encoding != "utf-8":
        parser.error(f"--encoding is for CSV; {options.format} is always UTF-8")
    if options.uniform and options.header != "en":
        parser.error("--header zh is for the realistic variant; leave out --uniform")


def _write(options: argparse.Namespace) -> None:
    path, count, seed, header = options.out, options.count, options.seed, HEADERS[options.header]
    data: Iterator[Sequence[str]] = rows(count, seed)
    if options.uniform:
        data, header = uniform_rows(count, seed), UNIFORM_HEADER
    if options.format == "xlsx":
        write_xlsx(path, data, header)
    elif options.format == "ndjson":
        write_ndjson(path, data, header)
    elif options.uniform:
        write_uniform_csv(path, count, seed, options.encoding)
    else:
        write_csv(path, data, header, options.encoding)


if __name__ == "__main__":
    sys.exit(main())
