"""Installs tools from package registries into a folder, by the registries' own clients."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from research.real_tools.catalogue import Catalogue, Tool

_SECONDS: Final = 600
_MARK: Final = ".installed"
_NPM_OPTIONS: Final = ("--silent", "--ignore-scripts", "--no-audit", "--no-fund")


class NotInstalledError(RuntimeError):
    """A tool that could not be installed; the message says why."""


class Installer:
    """Installs below `folder`, which it creates. Everything is kept there for the next run.

    Tools from PyPI and npm get a folder each, without dependencies: those are the catalogue's libraries, installed
    once. Debian's packages are unpacked, not installed, so nothing outside `folder` changes.
    """

    def __init__(self, folder: Path, catalogue: Catalogue) -> None:
        self._folder = folder.absolute()
        self._libraries = catalogue.libraries
        folder.mkdir(parents=True, exist_ok=True)

    def install(self, tool: Tool) -> dict[str, str]:
        """Install a tool and return the environment variables it needs. Raises `NotInstalledError`."""
        place = self._folder / f"{tool.registry}-{tool.name}"
        match tool.registry:
            case "pypi":
                python = self._make_python()
                self._once(place, tool.packages, [
                    [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--target", ".", *tool.packages]
                ])  # fmt: skip
                return {"PATH": f"{python.parent}:{_system_path()}", "PYTHONPATH": str(place)}
            case "npm":
                packages = (*tool.packages, *self._libraries.get("npm", ()))
                # Without scripts, so that installing runs no code of the packages.
                self._once(place, packages, [["npm", "install", *_NPM_OPTIONS, "--prefix", ".", *packages]])
                modules = place / "node_modules"
                return {"PATH": f"{modules}/.bin:{_system_path()}", "NODE_PATH": str(modules)}
            case "debian":
                self._once(place, tool.packages, [["apt-get", "download", "--quiet=2", *tool.packages], _UNPACK])
                library = f"{platform.machine()}-linux-gnu"
                return {
                    "PATH": f"{place}/usr/bin:{_system_path()}",
                    "LD_LIBRARY_PATH": f"{place}/usr/lib/{library}",
                    "PERL5LIB": f"{place}/usr/share/perl5",
                }
        for program in tool.packages:
            if shutil.which(program, path=_system_path()) is None:
                raise NotInstalledError(f"no program {program} here")
        return {"PATH": _system_path()}

    def _make_python(self) -> Path:
        """Return an interpreter whose environment has the libraries of PyPI."""
        place = self._folder / "libraries"
        python = place / "bin" / "python"
        packages = self._libraries.get("pypi", ())
        self._once(place, packages, [
            [sys.executable, "-m", "venv", "."],
            [str(python), "-m", "pip", "install", "--quiet", "pip", *packages],
        ])  # fmt: skip
        return python

    def _once(self, place: Path, packages: Sequence[str], commands: Sequence[Sequence[str]]) -> None:
        """Run commands in a new folder, unless an earlier run has installed these packages there."""
        mark = place / _MARK
        if mark.exists() and mark.read_text(encoding="utf-8") == "\n".join(packages):
            return
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for command in commands:
            _run(command, place)
        mark.write_text("\n".join(packages), encoding="utf-8")


_UNPACK: Final = ("sh", "-c", "for package in *.deb; do dpkg-deb --extract $package . || exit 1; done")


def describe_packages(tool: Tool, folder: Path) -> list[str]:
    """Return the tool's packages with the versions that were installed in the installer's folder."""
    if tool.registry == "debian":
        place = folder / f"{tool.registry}-{tool.name}"
        names = sorted(path.name.rsplit("_", 1)[0] for path in place.glob("*.deb"))
        return [name.replace("_", "=").replace("%3a", ":") for name in names]
    return list(tool.packages)


def _system_path() -> str:
    """Return the search path without the project's own environment."""
    own = Path(sys.prefix)
    return ":".join(
        part for part in os.environ.get("PATH", os.defpath).split(":") if not Path(part).is_relative_to(own)
    )


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=_SECONDS, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise NotInstalledError(f"no program {command[0]} here") from None
    except subprocess.TimeoutExpired:
        raise NotInstalledError(f"{command[0]} took longer than {_SECONDS} s") from None
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise NotInstalledError(lines[-1] if lines else f"{command[0]} ended with {done.returncode}")
