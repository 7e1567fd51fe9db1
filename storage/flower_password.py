"""Flower's login: from the settings, or else a password generated once in the data folder."""

import secrets
from pathlib import Path

from storage.data_folder import check_ownership, make_data_folder, write_whole
from storage.settings import Settings

NAME = "starlight"


def find_password_file(settings: Settings) -> Path | None:
    """Return the file of the generated password, None if the settings contain a login."""
    return None if settings.flower_basic_auth else settings.data_dir / "flower_password"


def read_flower_credentials(settings: Settings) -> str:
    """Return `name:password`; generates the password if there is none. Raises DataFolderError, OSError."""
    path = find_password_file(settings)
    if path is None:
        assert settings.flower_basic_auth is not None, "they have one"
        return settings.flower_basic_auth.get_secret_value()
    make_data_folder(settings.data_dir)
    if not path.exists():
        write_whole(path, secrets.token_urlsafe(24))
    check_ownership(path)
    return f"{NAME}:{path.read_text()}"
