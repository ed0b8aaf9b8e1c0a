"""What the process has done already from which commands are forked: everything imported, every option looked at."""

from __future__ import annotations

import typer.main

from biaoshi.cli import app

commands = typer.main.get_group(app)
for name in commands.list_commands(None):
    commands.get_command(None, name)
