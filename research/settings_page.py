"""Writes docs/settings.md from the settings' fields: `python -m research.settings_page > docs/settings.md`."""

import json
from collections.abc import Iterator

from storage.settings import Settings

HEAD = """\
# Settings

Every setting is an environment variable. A variable that is not set is read from `settings.env` in the data folder,
which `starlight worker --tune` writes; otherwise the default applies. `_S` at the end of a name means seconds, `_MS`
milliseconds. A command with an invalid value exits and names the variable. Each process reads its settings once, when
it starts.

`scripts/fix` generates this page from the fields in `storage/settings.py`: edit those instead.
"""
TAIL = """
Other variables: `STARLIGHT_SERVER` and `STARLIGHT_KEY` set the API and the key
[of the command line](api.md#from-the-command-line); containers have [more settings](deploy.md#settings); buckets
use the credentials and endpoints of the environment (`AWS_…`, `GOOGLE_…`, `AZURE_…`) for references and blobs;
[traces](traces.md#settings) use OpenTelemetry's variables (`OTEL_…`).
"""
# Title of each group, by the setting that comes first in it.
GROUPS = {
    "database_url": "Servers and data",
    "chunk_size": "Chunks, leases and tries",
    "max_image_bytes": "Limits",
    "cores": "Threads",
    "fetch_threads": "Fetching",
    "chunks_in_flight": "Batches and reuse",
    "webhook_secret": "Webhooks",
    "model_dir": "Model",
    "api_host": "API",
    "flower_port": "Watching",
}
# Defaults that are computed at run time.
COMPUTED = {
    "data_dir": "`$XDG_DATA_HOME/starlight`, else `~/.local/share/starlight`; for root `/var/lib/starlight`",
    "submitter": "the login name",
    "cores": "all that the process may use; under `starlight up`, its share",
    "decode_processes": "`STARLIGHT_CORES`",
    "torch_threads": "half of `STARLIGHT_CORES`, at least 1",
    "chunks_in_flight": "`STARLIGHT_DECODE_PROCESSES` + 2, at least 4",
}
UNITS = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10}


def page() -> str:
    """Return the whole page; raises KeyError for a computed default without a description."""
    return HEAD + "".join(_rows()) + TAIL


def _rows() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        if name in GROUPS:
            yield f"\n## {GROUPS[name]}\n\n| variable | default | meaning |\n|---|---|---|\n"
        default = _default(name, field.default) if field.default_factory is None else COMPUTED[name]
        yield f"| `STARLIGHT_{name.upper()}` | {default} | {field.description} |\n"


def _default(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return f"`{json.dumps(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if name.endswith("_bytes") and isinstance(value, int):
        unit, size = next((unit, size) for unit, size in UNITS.items() if value % size == 0)
        return f"`{value}` ({value // size} {unit})"
    return f"`{value}`"


if __name__ == "__main__":
    print(page(), end="")
