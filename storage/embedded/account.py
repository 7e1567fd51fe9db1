"""The account of a PostgreSQL that root starts: a number of its own for each data folder, without a name."""

import grp
import os
import pwd
import secrets
from contextlib import suppress
from pathlib import Path

# Left free by convention: between the numbers of home folders and those of services that systemd starts.
NUMBERS = range(60706, 61184)


def claim_number(folder: Path) -> int:
    """Return the user and group id whose processes alone may enter this folder of root's; it is chosen once.

    The folder's group says which it is.
    """
    number = folder.stat().st_gid
    if number not in NUMBERS:
        number = secrets.choice([each for each in NUMBERS if not _is_taken(each)])
        os.chown(folder, 0, number)
    folder.chmod(0o710)
    return number


def _is_taken(number: int) -> bool:
    with suppress(KeyError):
        pwd.getpwuid(number)
        return True
    with suppress(KeyError):
        grp.getgrgid(number)
        return True
    return False


def hand_over(path: Path, user: int, group: int) -> None:
    """Give a file, or a folder with everything in it, to this user and group; links are not followed."""
    os.chown(path, user, group, follow_symlinks=False)
    for _, folders, files, descriptor in os.fwalk(path):
        for name in (*folders, *files):
            os.chown(name, user, group, dir_fd=descriptor, follow_symlinks=False)


def find_closed(folder: Path) -> Path | None:
    """Return the outermost folder on the way to this one that an account without a name may not enter."""
    return next((each for each in reversed(folder.resolve().parents) if not each.stat().st_mode & 0o001), None)
