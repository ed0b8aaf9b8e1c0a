"""[statistics]: what may be set, and that everything wrong is named at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.load import MAX_INDUSTRIES, ROLES, BadConfiguration, load_settings, template
from protocol.reports import MAX_INDUSTRIES as IN_A_REPORT


def written(path: Path, role: str, more: str = "") -> Path:
    file = path / "biaoshi.toml"
    file.write_text(template(role).replace("\n[log]\n", f"\n{more}\n[log]\n"), "utf-8")
    return file


@pytest.mark.parametrize("role", [one for one in ROLES if one not in ("recursive", "custody")])
def test_each_role_has_the_section(tmp_path: Path, role: str) -> None:
    statistics = load_settings(written(tmp_path, role)).statistics
    assert (statistics.report_to, statistics.anchor, statistics.period) == ("", "anchor.toml", 3_600)
    assert statistics.industries == {}
    assert "[statistics.industries]" in template(role)


def test_industries(tmp_path: Path) -> None:
    file = written(tmp_path, "secondary", '[statistics.industries]\n"88.118.1" = "C34"\n"88.118.2" = "A"\n')
    assert load_settings(file).statistics.industries == {"88.118.1": "C34", "88.118.2": "A"}
    assert MAX_INDUSTRIES < IN_A_REPORT, "with the unknown one they fit a report"


def test_everything_wrong_is_named(tmp_path: Path) -> None:
    wrong = '[statistics.industries]\n"88.119.1" = "C34"\n"88.118.2" = "Z99"\n"88.118.3" = "C345"\n"88..3" = "B06"\n'
    with pytest.raises(BadConfiguration) as caught:
        load_settings(written(tmp_path, "secondary", wrong))
    assert [problem.option for problem in caught.value.problems] == [
        "statistics.industries.88.119.1", "statistics.industries.88.118.2", "statistics.industries.88.118.3",
        "statistics.industries.88..3",
    ]  # fmt: skip
    for language in ("en", "zh"):
        assert "GB/T 4754" in caught.value.message(language)


def test_too_many_industries(tmp_path: Path) -> None:
    codes = [f"{section}{division:02d}" for section in "AB" for division in range(70)]
    table = "".join(f'"88.118.{i}" = "{code}"\n' for i, code in enumerate(codes))
    with pytest.raises(BadConfiguration, match="more than 120 industries"):
        load_settings(written(tmp_path, "secondary", f"[statistics.industries]\n{table}"))


@pytest.mark.parametrize("period", ["0", "86401", '"1h"'])
def test_a_period_that_will_not_do(tmp_path: Path, period: str) -> None:
    file = written(tmp_path, "top")
    file.write_text(file.read_text("utf-8").replace("period = 3600 ", f"period = {period} "), "utf-8")
    with pytest.raises(BadConfiguration, match=r"statistics\.period"):
        load_settings(file)
