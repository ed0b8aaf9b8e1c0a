"""The one command. Each package brings its own commands, which are loaded when they are called: a command that asks one
question need not load what runs a node."""

from __future__ import annotations

import importlib
import io
import sys
from typing import Any, Final

import typer
import typer.core
import typer.main

from config.keyfiles import BadKeyFile
from config.load import BadConfiguration
from config.places import NoNodeRuns, language
from protocol.errors import BiaoshiError
from protocol.status import Exit

MODULES: Final = {
    "biaoshi.node_cli": ("init", "serve", "status", "renew", "key"),
    "resolver.cli": ("resolve", "verify", "history", "list"),
    "registry.cli": ("register", "update", "delete", "import", "export"),
    "registry.series.cli": ("suspend", "resume"),
    "registry.minting.cli": ("mint", "rule"),
    "registry.templates.cli": ("template", "search"),
    "registry.audit.cli": ("audit",),
    "biaoshi.delegation.cli": ("delegate",),
    "biaoshi.custody.cli": ("custody", "vouch", "restore"),
    "biaoshi.rolling.cli": ("zone-key", "anchor"),
    "biaoshi.topology.cli": ("topology",),
}
"""Where each command is, in the order in which help lists them. Such a module has ``add_commands(app)``."""

_MODULE_OF: Final = {command: module for module, commands in MODULES.items() for command in commands}


class Commands(typer.core.TyperGroup):
    """All commands, each loaded at its first use."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_MODULE_OF)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        module = _MODULE_OF.get(cmd_name)
        if module is None:
            return None
        if cmd_name not in self.commands:
            part = typer.Typer(callback=_together)
            importlib.import_module(module).add_commands(part)
            self.commands.update(typer.main.get_group(part).commands)
        return self.commands[cmd_name]


def _together() -> None:
    """Biaoshi 标识: a node of an industrial-internet identifier system. 工业互联网标识解析节点。"""


app = typer.Typer(
    cls=Commands,
    callback=_together,
    epilog="Begin with: biaoshi init secondary --prefix 88.118 --dir node  |  "
    "biaoshi serve --config node/biaoshi.toml. Exit codes: docs/operations.md.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Entry point: errors of ours become one sentence and an exit code, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show everything still shows the rest
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # the identifier's own rule says where it is not UTF-8
    try:
        app()
    except BiaoshiError as error:
        _end(error.message(language()), error.status.exit)
    except (BadConfiguration, BadKeyFile, NoNodeRuns) as error:
        _end(error.message(language()), Exit.SETTINGS)
    except KeyboardInterrupt:
        _end("", 130)


def _end(sentence: str, code: int) -> None:
    if sentence:
        print(f"biaoshi: {sentence}", file=sys.stderr)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
