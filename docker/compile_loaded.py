"""`compile_loaded.py TARGET FOLDER`: compile what the programs in FOLDER load, their own modules and all others.

The bytecode is written below TARGET, to where Python looks for it. It fails if a module of ours cannot be loaded for
another reason than a package that this image does not have, such as torch.
"""

import ast
import importlib
import py_compile
import sys
from collections.abc import Iterator
from importlib.util import cache_from_source, find_spec
from pathlib import Path

# What libraries load by themselves once they work; besides, Pillow loads all formats for one that is not common.
LATER = (
    "celery.app.amqp", "celery.app.control", "celery.bin.celery", "celery.concurrency.thread",
    "kombu.pidbox", "uvicorn.lifespan.on",
)  # fmt: skip


def list_names(folder: Path) -> Iterator[str]:
    """Yield the names of all modules below a folder, and of those that they import, also within functions."""
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Import):
                yield from (each.name for each in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module
        if file.stem != "__main__" and "migrations" not in file.parts:
            yield ".".join(file.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")


def load(name: str) -> None:
    """Load a module; one that needs a package that is not installed is left out."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or find_spec(error.name.partition(".")[0]) is not None:
            raise
        print(f"not loaded: {name}, for want of {error.name}")


def compile_file(file: str, target: Path) -> None:
    """Compile a file, whose bytecode is valid whatever the time of the file's change."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compiled = target / Path(cache_from_source(file)).relative_to("/")
    py_compile.compile(file, str(compiled), doraise=True, invalidation_mode=mode)


def main(target: Path, folder: Path) -> None:
    """Load everything and compile it."""
    sys.path.insert(0, str(folder))
    for name in dict.fromkeys((*list_names(folder), *LATER)):
        load(name)
    importlib.import_module("PIL.Image").init()
    loaded = {str(getattr(module, "__file__", "")) for module in list(sys.modules.values())}
    own = {str(file) for file in folder.rglob("*.py")}
    for file in sorted(loaded | own):
        # torch makes modules up that have the name of a file and no file.
        if file.endswith(".py") and Path(file).is_absolute() and file != __file__:
            compile_file(file, target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]).absolute())
