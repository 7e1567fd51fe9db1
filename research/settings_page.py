"""Writes docs/settings.md from the fields of the settings: `python -m research.settings_page > docs/settings.md`."""

import json
from collections.abc import Iterator

from storage.settings import Settings

HEAD = """\
# Settings

Every setting is an environment variable. What the environment does not set is taken from `settings.env` in the data
folder, which `starlight worker --tune` writes, else from the default. Names that end in `_S` are seconds, in `_MS`
milliseconds. A value that cannot be used ends the command with the name of its variable. Each process reads its
settings once, when it starts.

`scripts/fix` makes this page of the fields in `storage/settings.py`: change it there.
"""
TAIL = """
Other variables: `STARLIGHT_SERVER` and `STARLIGHT_KEY` name the API that
[the command asks](api.md#from-the-command-line); containers have [some of their own](deploy.md#settings); buckets,
as references and for blobs, use the credentials and endpoints of the environment (`AWS_…`, `GOOGLE_…`, `AZURE_…`);
[traces](traces.md#settings) use OpenTelemetry's variables (`OTEL_…`).
"""
# Title of each group, by its first setting; the others follow it in the code.
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
# Defaults that are worked out where the program runs.
WORKED_OUT = {
    "data_dir": "`$XDG_DATA_HOME/starlight`, else `~/.local/share/starlight`; for root `/var/lib/starlight`",
    "submitter": "the login name",
    "cores": "all that the process may use; under `starlight up` its share of them",
    "decode_processes": "`STARLIGHT_CORES`",
    "torch_threads": "half of `STARLIGHT_CORES`, at least 1",
    "chunks_in_flight": "`STARLIGHT_DECODE_PROCESSES` and 2 more, at least 4",
}
UNITS = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10}


def page() -> str:
    """Return the whole page; raises KeyError for a default that is worked out and not described."""
    return HEAD + "".join(_rows()) + TAIL


def _rows() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        if name in GROUPS:
            yield f"\n## {GROUPS[name]}\n\n| variable | default | meaning |\n|---|---|---|\n"
        default = _default(name, field.default) if field.default_factory is None else WORKED_OUT[name]
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
