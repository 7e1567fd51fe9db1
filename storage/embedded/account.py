"""The account for a PostgreSQL that root starts: a separate user id per data folder, without a name."""

import grp
import os
import pwd
import secrets
from contextlib import suppress
from pathlib import Path

# Unused by convention: between the ids of home folders and of systemd's dynamic users.
NUMBERS = range(60706, 61184)


def claim_number(folder: Path) -> int:
    """Return the user and group id that may enter this folder of root's; chosen once.

    The folder's group stores it.
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
    """Give a file, or a folder with everything in it, to this user and group; does not follow links."""
    os.chown(path, user, group, follow_symlinks=False)
    for _, folders, files, descriptor in os.fwalk(path):
        for name in (*folders, *files):
            os.chown(name, user, group, dir_fd=descriptor, follow_symlinks=False)


def find_closed(folder: Path) -> Path | None:
    """Return the outermost parent folder that an account without a name may not enter."""
    return next((each for each in reversed(folder.resolve().parents) if not each.stat().st_mode & 0o001), None)
