"""What the process has done already from which commands are forked: everything imported, every option looked at."""

from __future__ import annotations

import typer.main

from biaoshi.cli import app

typer.main.get_command(app)
