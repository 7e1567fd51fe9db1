"""`starlight dispatcher` and `starlight worker` as separate processes."""

import subprocess
from pathlib import Path

from tests.kit.command import STARLIGHT, TIMEOUT_S, make_environment, run_starlight
from tests.kit.pictures import draw_grained, encode


def test_dispatcher_and_worker_started_alone_on_embedded_servers_scan_a_job(data_dir: Path, tmp_path: Path) -> None:
    settings = {"data_dir": data_dir}
    (tmp_path / "clean.png").write_bytes(encode(draw_grained()))
    job_id = run_starlight("submit", tmp_path, settings=settings).stdout.strip()

    processes = [
        subprocess.Popen([*STARLIGHT, name], env=make_environment(settings), stderr=subprocess.DEVNULL)
        for name in ("dispatcher", "worker")
    ]

    watched = run_starlight("job", job_id, "--watch", settings=settings)
    assert "1 image: 1 clean" in watched.stdout
    for process in processes:
        process.terminate()
        assert process.wait(TIMEOUT_S) == 130


def test_a_worker_without_a_model_ends(tmp_path: Path, database_url: str, redis_url: str) -> None:
    settings = {
        "database_url": database_url,
        "redis_url": redis_url,
        "model_dir": tmp_path,
        "device": "cpu0",
    }
    command = [STARLIGHT[0], "-m", "worker", "cpu0"]

    run = subprocess.run(
        command, env=make_environment(settings), capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )

    assert run.returncode == 70
    assert "ModelError" in run.stderr
