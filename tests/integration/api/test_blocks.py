"""`/scan/block` where nothing has to be scanned: what is told of texts, and what is written beside the block."""

import json
from dataclasses import replace
from pathlib import Path

from producer.blocks import BlockFolder, open_block
from tests.kit.api import Api
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


def read(block: BlockFolder, name: str, kind: str) -> str:
    return block.read_text({"file_name": name, "content_type": kind, "content": ""})
