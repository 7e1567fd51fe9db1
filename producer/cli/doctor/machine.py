"""Checks of the machine: disks, the data folder, process limits, the GPU, and the model in its folder."""

import difflib
import hashlib
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from pydantic_settings import DotEnvSettingsSource

from producer.cli.doctor.check_results import CheckResult, unknown, warn, well, wrong
from storage.data_folder import DataFolderError, check_ownership
from storage.settings import Settings, find_settings_file
from worker.v4.card import DEFAULT_MODEL, ModelError, read_card

# Open files that a worker that fetches, or the API, may need.
DESCRIPTORS = 4096
PATIENCE_S = 20
# Variables that are no settings: options of commands, and the device that a worker is told by its parent.
OTHER_VARIABLES = frozenset(("STARLIGHT_SERVER", "STARLIGHT_KEY", "STARLIGHT_DEVICE"))
SECRET_MODE = 0o077


def check_machine(settings: Settings) -> Iterator[CheckResult]:
    """Yield the results of all checks that need no server."""
    yield check_folder(settings)
    yield check_variables({*os.environ, *read_names(find_settings_file())})
    yield from check_disks(settings)
    yield check_descriptors(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    yield check_gpu(shutil.which("nvidia-smi"), find_torch())
    yield check_model(settings.model_dir or DEFAULT_MODEL)


def check_folder(settings: Settings) -> CheckResult:
    """Check the permissions of the data folder and the secrets in it."""
    folder = settings.data_dir
    if not folder.exists():
        return well("data folder", f"{folder} does not exist yet; the first command that needs it creates it")
    secrets = (folder / "password", folder / "flower_password", find_settings_file())
    try:
        for path in (folder, *secrets):
            check_ownership(path)
    except DataFolderError as error:
        seen, _, mend = str(error).partition(": ")
        return wrong("data folder", seen, mend or "set STARLIGHT_DATA_DIR to a folder of your own")
    for path in secrets:
        if path.exists() and path.stat().st_mode & SECRET_MODE:
            return wrong(
                "data folder", f"other accounts may read {path}, which may contain a password", f"chmod 600 {path}"
            )
    if not os.access(folder, os.W_OK | os.X_OK):
        return warn("data folder", f"this account cannot write to {folder}", "run as its owner, or chown it")
    return well("data folder", f"only this account can write to {folder}")


def read_names(file: Path) -> Iterable[str]:
    """Return the names of the variables in a file of settings, in lower case; none if there is no such file."""
    return DotEnvSettingsSource(Settings, env_file=file).env_vars


def check_variables(names: Iterable[str]) -> CheckResult:
    """Check that variables that look like settings are settings: others are ignored, as a misspelt one would be."""
    settings = {f"STARLIGHT_{name.upper()}" for name in Settings.model_fields}
    given = {name.upper() for name in names if name.upper().startswith("STARLIGHT_")}
    strange = sorted(given - settings - OTHER_VARIABLES)
    if not strange:
        return well(
            "settings", f"{len(given & settings)} of {len(settings)} settings are set, the others have their defaults"
        )
    similar = [match for name in strange for match in difflib.get_close_matches(name, settings, 1, 0.8)]
    meant = f"did you mean {', '.join(similar)}? " if similar else ""
    return warn("settings", f"ignored, because there are no such settings: {', '.join(strange)}",
                f"{meant}Correct or unset them: docs/settings.md lists all settings")  # fmt: skip


def check_disks(settings: Settings) -> Iterator[CheckResult]:
    """Check the free space of the disks with the data folder, blobs and temporary files."""
    folders = {"data folder": settings.data_dir, "temporary files": Path(tempfile.gettempdir())}
    if settings.blobs().startswith("file://"):
        folders["blobs"] = Path(settings.blobs().removeprefix("file://"))
    for what, folder in folders.items():
        there = next(path for path in (folder, *folder.parents) if path.exists())
        total, _, free = shutil.disk_usage(there)
        seen = f"{free / 2**30:,.1f} GiB free for {what} in {there}"
        if what != "blobs" and total < settings.min_free_bytes:
            # Such as /tmp of a container, in memory: large files have a volume of their own.
            yield well("disk", f"{seen}, of {total / 2**30:,.1f} GiB in all: nothing large is stored there")
        elif free < settings.min_free_bytes:
            yield wrong("disk", seen, "delete with `starlight purge`, or enlarge the disk: below "
                        "STARLIGHT_MIN_FREE_BYTES nothing is accepted")  # fmt: skip
        elif free < 2 * settings.min_free_bytes:
            yield warn("disk", seen, "delete with `starlight purge`, or enlarge the disk, before nothing is accepted")
        else:
            yield well("disk", seen)


def check_descriptors(most: int) -> CheckResult:
    """Check how many files a process may have open."""
    seen = f"a process may have {'any number of' if most == resource.RLIM_INFINITY else most} files open"
    if most != resource.RLIM_INFINITY and most < DESCRIPTORS:
        return warn(
            "ulimits", seen, f"raise the hard limit to {DESCRIPTORS} or more: `ulimit -Hn`, or LimitNOFILE of the unit"
        )
    return well("ulimits", seen)


def find_torch() -> str | None:
    """Return the version of torch, None where it is not installed, as in containers that run no worker."""
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return None


def check_gpu(program: str | None, torch_version: str | None) -> CheckResult:
    """Check the GPUs, their driver, and whether the installed torch can use them."""
    if program is None:
        return well("GPU", "no NVIDIA driver is installed: workers use the processor")
    try:
        asked = subprocess.run(
            [program, "--query-gpu=name,driver_version,memory.used,memory.total", "--format=csv,noheader"],
            capture_output=True, text=True, check=False, timeout=PATIENCE_S,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return wrong("GPU", f"{program} does not answer: {error}", "restart the driver, or the machine")
    if asked.returncode != 0:
        reason = (asked.stdout + asked.stderr).strip().partition("\n")[0]
        return wrong("GPU", f"{program} fails: {reason}", "install the driver for this kernel, or restart the machine")
    gpus = "; ".join(line.strip() for line in asked.stdout.splitlines() if line.strip())
    if not gpus:
        return well("GPU", "the driver finds no GPU: workers use the processor")
    if torch_version is None:
        return well("GPU", f"{gpus}; torch is not installed, so no worker runs here")
    if torch_version.endswith("+cpu"):
        return warn("GPU", f"{gpus}; but torch {torch_version} is built without CUDA",
                    "install a CUDA build of torch: docs/deploy.md")  # fmt: skip
    return well("GPU", f"{gpus}; torch {torch_version}")


def check_model(folder: Path) -> CheckResult:
    """Check that the weights are those that the model card names."""
    try:
        card = read_card(folder)
        with (folder / card.weights).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except (ModelError, OSError) as error:
        return wrong("model", str(error), "reinstall Starlight, or set STARLIGHT_MODEL_DIR to a complete folder")
    if digest != card.sha256:
        return wrong("model", f"{folder / card.weights} has the SHA-256 {digest[:12]}… instead of its card's "
                     f"{card.sha256[:12]}…", "reinstall Starlight, or copy the folder again")  # fmt: skip
    return well("model", f"{card.label} in {folder} has the SHA-256 of its card")


def skip_servers(reason: str) -> Iterator[CheckResult]:
    """Yield a result for everything that cannot be checked without PostgreSQL."""
    for subject in ("schema", "clocks", "programs", "workers", "queues", "way of an image"):
        yield unknown(subject, f"not checked: {reason}")
