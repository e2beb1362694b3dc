"""``pyem app``: the page in the browser."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from pyem.cli import program
from pyem.cli.program import plainly

PAGE = Path(__file__).parent / "browser" / "page.py"


def server_options(port: int, megabytes: int, *, browser: bool) -> list[str]:
    """Options of the page's server: for this machine only, without telemetry, with a limit for uploads.

    Examples
    --------
    >>> "--server.address=localhost" in server_options(8501, 200, browser=False)
    True
    """
    told = {
        "server.address": "localhost",
        "browser.serverAddress": "localhost",
        "server.port": port,
        "server.headless": not browser,
        "server.maxUploadSize": megabytes,
        "server.fileWatcherType": "none",
        "server.enableXsrfProtection": True,
        "server.enableCORS": True,
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "global.developmentMode": False,
        "runner.magicEnabled": False,
        "theme.primaryColor": "#0b5394",
        # Captions are this colour at 60 %, which is dark enough to be read from black only.
        "theme.light.textColor": "#000000",
    }
    return [f"--{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in told.items()]


@program.app.command(epilog="[bold]Examples[/bold]\n\npyem app\n\npyem app data.csv --port 8600 --no-browser")
@plainly
def app(
    data: Annotated[Path | None, typer.Argument(metavar="[DATA]", help="Table to begin with.")] = None,
    *,
    port: Annotated[
        int, typer.Option(metavar="NUMBER", min=1024, max=65535, help="Port of the page on this machine.")
    ] = 8501,
    max_upload: Annotated[
        int, typer.Option(metavar="MEGABYTES", min=1, max=10_000, help="Larger files are refused by the page.")
    ] = 500,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
) -> None:
    """Open a page in the browser that does all this by clicking. Nothing leaves this machine."""
    if importlib.util.find_spec("streamlit") is None:
        raise ValueError(
            "the page needs Streamlit, which is not installed: pip install 'pyem-behavior[app]'; the command line and Python "
            "do the same without it"
        )
    environment = dict(os.environ)
    if data is not None:
        if not data.is_file():
            raise ValueError(f"there is no file {str(data)!r}; give a table with a row for each trial")
        environment["PYEM_APP_FILE"] = str(data.resolve())
    words = [sys.executable, "-m", "streamlit", "run", str(PAGE), *server_options(port, max_upload, browser=browser)]
    typer.echo(f"The page is at http://localhost:{port}; Ctrl-C ends it.")
    process = subprocess.Popen(words, env=environment)
    try:
        code = process.wait()
    finally:
        process.terminate()
        process.wait()
    if code:
        raise typer.Exit(code)
