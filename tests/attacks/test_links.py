"""Files that are replaced by links after a key has named them: links anywhere in the path are not followed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, text

from producer.sources.permitted import Permitted
from starlight_vocabulary.words import ErrorCode, Priority
from storage.failures import retry_job
from storage.settings import Settings
from storage.submission import submit_job
from storage.verdict_search import VerdictFilter, find_verdicts
from tests.attacks.conftest import ServedApi
from tests.kit.pictures import encode_pattern
from tests.kit.rows import pick_ids
from tests.kit.worker_process import run_worker_process
from worker.process import WorkerProcess

REFUSED = (ErrorCode.NOT_FOUND, ErrorCode.NOT_READABLE)


def make_folder(folder: Path) -> Path:
    """Make a folder that contains an image some folders deeper."""
    deep = folder / "outer" / "inner"
    deep.mkdir(parents=True)
    (deep / "image.png").write_bytes(encode_pattern("PNG"))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder that references of the API may lie in."""
    return make_folder(tmp_path / "root")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A folder beside it with the same contents."""
    return make_folder(tmp_path / "secret")


@pytest.fixture
def process(engine: Engine, configured: Settings) -> Iterator[WorkerProcess]:
    with run_worker_process(engine, configured) as process:
        yield process


def scan_all(engine: Engine, process: WorkerProcess) -> list[str]:
    """Scan the waiting chunks; return the outcomes of the images of all jobs, newest first."""
    for chunk in pick_ids(engine, Priority.BULK, 16):
        process.scan_chunk(chunk)
    return [verdict.error_code or verdict.outcome for verdict in find_verdicts(engine, VerdictFilter(), 16)]


def swap(path: Path, target: Path) -> None:
    """Replace a file or folder by a link."""
    path.rename(path.with_name("before"))
    path.symlink_to(target)


def put_link_for_the_file(root: Path, secret: Path) -> None:
    swap(root / "outer" / "inner" / "image.png", secret / "outer" / "inner" / "image.png")


def put_link_for_its_folder(root: Path, secret: Path) -> None:
    swap(root / "outer" / "inner", secret / "outer" / "inner")


def put_link_for_the_folder_above(root: Path, secret: Path) -> None:
    swap(root / "outer", secret / "outer")


def put_link_for_the_root(root: Path, secret: Path) -> None:
    swap(root, secret)


def put_link_through_proc(root: Path, secret: Path) -> None:
    swap(root / "outer", Path(f"/proc/self/root{secret}/outer"))


def put_relative_link(root: Path, secret: Path) -> None:
    swap(root / "outer" / "inner", Path("../../secret/outer/inner"))


@pytest.mark.parametrize(
    "attack",
    [
        put_link_for_the_file,
        put_link_for_its_folder,
        put_link_for_the_folder_above,
        put_link_for_the_root,
        put_link_through_proc,
        put_relative_link,
    ],
)
def test_a_link_that_comes_after_the_reference_leads_nowhere(
    engine: Engine, process: WorkerProcess, root: Path, secret: Path, attack: Callable[[Path, Path], None]
) -> None:
    reference = (root / "outer" / "inner" / "image.png").as_uri()
    references = [Permitted([root], lambda _: False).check(reference)]
    assert references == [reference]
    submit_job(engine, references, submitter="mallory", follow_links=False)
    assert scan_all(engine, process) == ["clean"]
    job_id = submit_job(engine, references, submitter="mallory", follow_links=False).job_id

    attack(root, secret)

    assert scan_all(engine, process)[0] in REFUSED
    retry_job(engine, job_id)
    assert scan_all(engine, process)[0] in REFUSED


def test_a_link_of_an_operator_is_followed_as_before(engine: Engine, process: WorkerProcess, root: Path) -> None:
    (root / "link").symlink_to("outer")
    submit_job(engine, [(root / "link" / "inner" / "image.png").as_uri()], submitter="operator")

    assert scan_all(engine, process) == ["clean"]


def test_a_link_within_the_root_is_resolved_when_it_is_submitted(
    engine: Engine, process: WorkerProcess, root: Path
) -> None:
    (root / "link").symlink_to("outer")
    references = [Permitted([root], lambda _: False).check((root / "link" / "inner" / "image.png").as_uri())]
    submit_job(engine, references, submitter="ann", follow_links=False)

    assert scan_all(engine, process) == ["clean"]


def test_jobs_of_keys_follow_no_links(served: ServedApi) -> None:
    sent = httpx.post(
        f"http://127.0.0.1:{served.port}/v1/jobs",
        json={"references": ["https://example.com/1.png"]},
        headers={"Authorization": f"Bearer {served.key}"},
    )

    assert sent.status_code == 202
    with served.engine.connect() as connection:
        assert list(connection.execute(text("SELECT follow_links FROM jobs")).scalars()) == [False]


def test_folders_on_the_way_do_not_stay_open(engine: Engine, process: WorkerProcess, root: Path, secret: Path) -> None:
    reference = (root / "outer" / "inner" / "image.png").as_uri()
    submit_job(engine, 64 * [reference], submitter="ann", chunk_size=64, follow_links=False)
    scan_all(engine, process)

    assert not [folder for folder in list_open_paths() if folder.startswith(str(root.parent))]
    put_link_for_its_folder(root, secret)
    submit_job(engine, 64 * [reference], submitter="ann", chunk_size=64, follow_links=False)
    scan_all(engine, process)
    assert not [folder for folder in list_open_paths() if folder.startswith(str(root.parent))]


def list_open_paths() -> list[str]:
    """Return the paths of this process's open descriptors."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(descriptor.readlink()))
        except FileNotFoundError:
            # It was closed meanwhile.
            continue
    return found
