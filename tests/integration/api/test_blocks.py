"""`/scan/block` without a worker: texts in the response, the results file beside the block, and callbacks."""

import json
from dataclasses import replace
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import Engine, text

from producer.blocks import BlockFolder, open_block
from tests.kit.api import Api, read_problem
from tests.kit.receiver import SECRET
from tests.kit.stargate import TIMESTAMP, write_block

TEXTS = {"wish.txt": "Please paint the fence.", "mint.txt": '{"p":"brc-20"}'}


def connect_to_blocks(api: Api, root: Path, *, writes: bool) -> Api:
    changed = {"blocks_root": root, "blocks_write_results": writes}
    return Api(replace(api.service, settings=api.service.settings.model_copy(update=changed)))


def test_results_are_written_beside_the_block_where_that_is_set(api: Api, tmp_path: Path) -> None:
    write_block(tmp_path / "840000_00ab", {}, TEXTS)
    for number, writes in enumerate((False, True)):
        with connect_to_blocks(api, tmp_path, writes=writes).connect_as(f"stargate-{number}") as client:
            answer = client.post("/scan/block", json={"block_height": 840000}).json()

        assert (answer["timestamp"], answer["total_inscriptions"], answer["images_scanned"]) == (TIMESTAMP, 2, 0)
        assert {each["file_name"]: each["content"] for each in answer["inscriptions"]} == TEXTS
        results = tmp_path / "840000_00ab" / "starlight.json"
        assert results.exists() is writes
    assert json.loads(results.read_text()) == answer
    assert [path.name for path in results.parent.iterdir() if path.name.startswith(".")] == []


def test_a_folder_that_cannot_be_written_to_costs_nobody_his_answer(api: Api, tmp_path: Path) -> None:
    write_block(tmp_path / "840001_00ab", {}, TEXTS)
    (tmp_path / "840001_00ab" / "starlight.json").mkdir()

    with connect_to_blocks(api, tmp_path, writes=True).connect_as("stargate") as client:
        answer = client.post("/scan/block", json={"block_height": 840001})

    assert answer.status_code == 200


def test_texts_are_read_from_their_files_and_from_nowhere_else(tmp_path: Path) -> None:
    write_block(tmp_path / "840002_00ab", {}, TEXTS)
    (tmp_path / "840002_00ab" / "images" / "link.txt").symlink_to("/etc/passwd")
    block = open_block(tmp_path, 840002)

    assert read(block, "wish.txt", "text/plain") == TEXTS["wish.txt"]
    assert read(block, "wish.txt", "image/png") == ""
    assert read(block, "link.txt", "text/plain") == ""
    assert read(block, "../block.json", "text/plain") == ""
    assert read(block, "../../../../../../etc/passwd", "text/plain") == ""


def test_stargate_is_told_of_the_images_of_a_block_where_that_is_set(api: Api, engine: Engine, tmp_path: Path) -> None:
    write_block(tmp_path / "840003_00ab", {"one.png": b"1"})
    changed = {
        "blocks_root": tmp_path,
        "stargate_callback_url": "https://stargate.example/api/stego/callback",
        "webhook_secret": SecretStr(SECRET),
        "interactive_wait_s": 0.05,
    }
    telling = Api(replace(api.service, settings=api.service.settings.model_copy(update=changed)))

    with telling.connect_as("stargate") as client:
        # There is no worker.
        read_problem(client.post("/scan/block", json={"block_height": 840003}), 504)
        named = {
            "references": ["https://example.com/a.png"],
            "webhook": "https://b.example/",
            "webhook_kind": "stargate",
        }
        assert client.post("/v1/jobs", json=named).status_code == 202
        read_problem(client.post("/v1/jobs", json={**named, "webhook_kind": "other"}), 422)

    with engine.connect() as connection:
        stored = connection.execute(text("SELECT url, kind FROM webhooks ORDER BY job_id")).all()
    assert stored == [(changed["stargate_callback_url"], "stargate"), ("https://b.example/", "stargate")]


def read(block: BlockFolder, name: str, kind: str) -> str:
    return block.read_text({"file_name": name, "content_type": kind, "content": ""})
