"""[api]: what may be set, and that everything wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.api import is_loopback
from config.load import ROLES, load_settings, template
from config.places import NoNodeRuns, api_url
from tests.config.writing import LEAST, problems, write

ON = "[api]\nenabled = true\n"


@pytest.mark.parametrize("role", [one for one in ROLES if one not in ("recursive", "custody")])
def test_each_role_with_a_registry_has_the_section_and_it_is_off(tmp_path: Path, role: str) -> None:
    settings = load_settings(write(tmp_path, template(role)))
    assert not settings.api.enabled
    assert not settings.api.secure
    assert "\n[api]\n" in template(role)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.88.1.1", "::1", "localhost"])
def test_plain_http_is_for_this_machine(tmp_path: Path, host: str) -> None:
    assert is_loopback(host)
    assert load_settings(write(tmp_path, f'{LEAST}{ON}host = "{host}"\n')).api.host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "node.example.cn", "128.0.0.1"])
def test_for_others_it_takes_a_certificate_or_a_word(tmp_path: Path, host: str) -> None:
    text = f'{LEAST}{ON}host = "{host}"\n'
    found = problems(tmp_path, text)
    assert set(found) == {"api.host"}
    for language in ("en", "zh"):
        assert "insecure = true" in found["api.host"].sentence(language)
        assert "biaoshi api certificate" in found["api.host"].sentence(language)
    assert load_settings(write(tmp_path, text + "insecure = true\n")).api.insecure
    assert load_settings(write(tmp_path, text + 'certificate = "a.crt"\nsecret = "a.pem"\n')).api.secure
    assert not load_settings(write(tmp_path, text.replace("true", "false"))).api.enabled


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ('certificate = "a.crt"\n', "api.secret"),
        ('secret = "a.pem"\n', "api.certificate"),
        ('host = "a b\\u0000"\ninsecure = true\n', "api.host"),
        ("port = 26410\n", "api.port"),
        ("port = 26411\n", "api.port"),
        ("port = 65536\n", "api.port"),
        ('enabled = "yes"\n', "api.enabled"),
        ("tls = true\n", "api.tls"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, option: str) -> None:
    on = "[api]\n" if "enabled" in text else ON
    assert set(problems(tmp_path, LEAST + on + text)) == {option}


def test_a_node_without_a_registry_has_none(tmp_path: Path) -> None:
    text = template("recursive") + "\n" + ON
    assert set(problems(tmp_path, text)) == {"api"}


def test_where_the_api_of_a_node_is(tmp_path: Path) -> None:
    assert api_url(None, None) == "http://127.0.0.1:26412"
    assert api_url("https://x:1", tmp_path) == "https://x:1"
    (tmp_path / "run.json").write_text('{"api": "https://127.0.0.1:7"}', "utf-8")
    assert api_url(None, tmp_path) == "https://127.0.0.1:7"
    for text in ("{}", "[]", "nonsense"):
        (tmp_path / "run.json").write_text(text, "utf-8")
        with pytest.raises(NoNodeRuns) as caught:
            api_url(None, tmp_path)
        assert "--api" in caught.value.message()
        assert "--api" in caught.value.message("zh")
