"""`collect_system.py TARGET FOLDER…`: copy what Python and the packages in these folders need of this Debian to TARGET.

That is Python without what only developers and installers use, tini, the shared libraries that these and the packages
load, certificate authorities, time zones, and what the C library and scanners of images read; neither a shell nor a
package manager.
"""

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

# In the standard library: tests, an editor, windows, installers, and what extensions are built with.
UNUSED = (
    "__pycache__", "distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages", "test", "tests",
    "tkinter", "turtle.py", "turtledemo", "config-*", "_tkinter.*", "_test*", "_ctypes_test*", "_xx*", "xx*", "*.a",
    # Yellow pages, which Python has no more from 3.13 on, and which need Kerberos.
    "nis.*",
    # In the data of time zones: the same again, and with leap seconds.
    "posix", "right",
)  # fmt: skip
FILES = (
    "/etc/debian_version", "/etc/group", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/nsswitch.conf", "/etc/passwd",
    "/etc/protocols", "/etc/services", "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/openssl.cnf", "/usr/bin/tini",
    "/usr/lib/locale/C.utf8", "/usr/lib/os-release", "/usr/share/zoneinfo",
)  # fmt: skip
LINKS = {
    "bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64", "sbin": "usr/sbin",
    "etc/os-release": "../usr/lib/os-release",
    # Where OpenSSL looks.
    "usr/lib/ssl/cert.pem": "/etc/ssl/certs/ca-certificates.crt", "usr/lib/ssl/openssl.cnf": "/etc/ssl/openssl.cnf",
}  # fmt: skip

DPKG_QUERY = "/usr/bin/dpkg-query"


def place(path: Path, target: Path) -> None:
    """Copy a file or a folder to its path below the target; a file also through links, under the link's name."""
    copy = target / (path.parent.resolve() / path.name).relative_to("/")
    if path.is_dir():
        shutil.copytree(path, copy, symlinks=True, ignore=shutil.ignore_patterns(*UNUSED))
    else:
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)


def place_python(target: Path) -> None:
    """Copy the interpreter and its standard library, without symbols for debuggers."""
    interpreter = Path(sys.executable).resolve()
    place(interpreter, target)
    for name in ("python3", "python"):
        (target / "usr/local/bin" / name).symlink_to(interpreter.name)
    for library in Path(sys.base_prefix, "lib").glob("libpython*.so.*"):
        place(library, target)
    place(Path(sysconfig.get_path("stdlib")), target)
    subprocess.run(["/usr/bin/strip", "--strip-unneeded", *list_binaries(target / "usr/local")], check=True)


def list_binaries(folder: Path) -> list[Path]:
    """Return the programs and shared libraries below a folder."""
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and is_binary(path)]


def is_binary(file: Path) -> bool:
    """Return whether a file is a program or a shared library."""
    with file.open("rb") as opened:
        return opened.read(4) == b"\x7fELF"


def find_libraries(folders: Iterable[Path]) -> list[Path]:
    """Return the shared libraries of this Debian that programs and libraries below these folders load.

    It exits if one of them, or a version of one, is missing.
    """
    binaries = [binary for folder in folders for binary in list_binaries(folder)]
    ended = subprocess.run(["/usr/bin/ldd", *binaries], capture_output=True, text=True, check=False)
    printed = ended.stdout + ended.stderr
    if missing := sorted(set(re.findall(r".* not found.*", printed))):
        sys.exit("\n".join(("Libraries that packages load are missing:", *missing)))
    found = set(re.findall(r"(/\S+) \(0x", printed))
    return [Path(path) for path in sorted(found) if re.match("/(usr/)?lib(64)?/", path)]


def place_notices(files: Iterable[Path], target: Path) -> None:
    """Copy licences and dpkg's entries of the packages that these files are from; scanners look for them there."""
    names = {str(name) for file in files for name in (file, file.resolve(), *without_usr(file))}
    # Its exit status says that no package has some of the names; each file has one that a package has.
    owners = subprocess.run([DPKG_QUERY, "--search", *names], capture_output=True, text=True, check=False).stdout
    entries = target / "var/lib/dpkg/status.d"
    entries.mkdir(parents=True)
    for package in sorted(set(re.findall(r"^([a-z0-9.+-]+)[:,]", owners, re.MULTILINE))):
        status = subprocess.run([DPKG_QUERY, "--status", package], capture_output=True, text=True, check=True).stdout
        (entries / package).write_text(status)
        place(Path("/usr/share/doc", package, "copyright"), target)


def without_usr(file: Path) -> Iterable[Path]:
    """Return the path of a file from before /lib became a link to /usr/lib, which packages may still have."""
    real = file.resolve()
    return [Path("/") / real.relative_to("/usr")] if real.is_relative_to("/usr") else []


def main(target: Path, folders: Iterable[Path]) -> None:
    """Fill the target."""
    place_python(target)
    for file in map(Path, FILES):
        place(file, target)
    libraries = find_libraries([target, *folders])
    for library in libraries:
        place(library, target)
    for name, leads_to in LINKS.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).symlink_to(leads_to)
    place_notices([*libraries, *map(Path, FILES)], target)
    (target / "tmp").mkdir(mode=0o1777)
    (target / "tmp").chmod(0o1777)
    subprocess.run(["/sbin/ldconfig", "-r", target], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(folder) for folder in sys.argv[2:]])
