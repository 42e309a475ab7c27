"""Installs dependency groups of pyproject.toml, and the package's own dependencies, into the running environment.

pip learned `--group` late; a fresh Debian's pip does not know it yet.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys


def load_pyproject() -> dict:
    text = pathlib.Path(__file__).parent.parent.joinpath("pyproject.toml").read_text()
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        from pip._vendor import tomli as tomllib
    return tomllib.loads(text)


def members(groups: dict, name: str) -> list[str]:
    found: list[str] = []
    for item in groups[name]:
        found += members(groups, item["include-group"]) if isinstance(item, dict) else [item]
    return found


def main() -> None:
    project = load_pyproject()
    wanted = list(project["project"]["dependencies"])
    for name in sys.argv[1:]:
        wanted += members(project["dependency-groups"], name)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *wanted], check=True)


if __name__ == "__main__":
    main()
