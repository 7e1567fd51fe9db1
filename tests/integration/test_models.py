"""Added models, the model in use, and workers that switch to it."""

import dataclasses
import json
import threading
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import Engine

from producer.cli.commands import models as commands
from producer.cli.doctor.check_results import Condition
from producer.cli.doctor.installation import check_models
from storage.blobs import Blobs
from storage.models import (
    SHIPPED,
    ModelChoiceError,
    add_model,
    get_model_in_use,
    list_models,
    register_model,
    roll_back,
    use_model,
)
from storage.settings import Settings
from storage.workers import report_worker
from tests.kit.threads import PATIENCE_S
from worker.model_watch import ModelLoader, ModelWatch
from worker.v4.card import DEFAULT_MODEL, ModelError, read_card
from worker.v4.detector import Detector

CARD = dataclasses.asdict(read_card(DEFAULT_MODEL))


def card(version: str, **changes: object) -> dict[str, object]:
    return {**CARD, "version": version, **changes}


def in_use(engine: Engine) -> str | None:
    use = get_model_in_use(engine)
    return use.card["version"] if use and use.card else None


def test_a_rollback_goes_to_what_was_used_before(engine: Engine) -> None:
    with pytest.raises(ModelChoiceError, match="there is no previous model"):
        roll_back(engine, "ann")
    for version in ("2", "3"):
        add_model(engine, card(version))
    used = f"starlight-v4-2 (threshold {CARD['threshold']:.4f})"
    assert use_model(engine, "starlight-v4-2", "ann") == used
    use_model(engine, "starlight-v4", "ann")
    assert in_use(engine) == "3"

    assert roll_back(engine, "ann") == used
    assert in_use(engine) == "2"
    use_model(engine, SHIPPED, "ann")
    assert in_use(engine) is None
    assert roll_back(engine, "ann") == used


def test_the_first_use_is_rolled_back_to_the_shipped_model(engine: Engine) -> None:
    add_model(engine, card("2"))
    use_model(engine, CARD["sha256"][:8], "ann")

    assert "ships with the code" in roll_back(engine, "ann")

    assert in_use(engine) is None


def test_only_models_that_were_added_can_be_used(engine: Engine) -> None:
    register_model(engine, name="seen", version="1", sha256="0" * 64, threshold=0.5)

    with pytest.raises(ModelChoiceError, match="no added model is called 'seen-1'"):
        use_model(engine, "seen-1", "ann")


def test_a_name_and_version_belong_to_one_file(engine: Engine) -> None:
    first, is_new = add_model(engine, card("2"))
    assert is_new
    assert add_model(engine, card("2")) == (first, False)

    with pytest.raises(ModelChoiceError, match="another model is called starlight-v4-2"):
        add_model(engine, card("2", sha256="0" * 64))

    # For verdicts, the same weights with another threshold are another model.
    assert add_model(engine, card("2", threshold=0.75))[1]
    assert [model.added for model in list_models(engine, 60)] == [True, True]


def test_models_that_differ_in_their_thresholds_are_chosen_by_these(engine: Engine) -> None:
    for threshold in (0.75, 0.25):
        add_model(engine, card("2", threshold=threshold))

    assert use_model(engine, "starlight-v4-2", "ann") == "starlight-v4-2 (threshold 0.2500)"
    assert use_model(engine, "starlight-v4-2", "ann", 0.75) == "starlight-v4-2 (threshold 0.7500)"
    use = get_model_in_use(engine)
    assert use is not None
    assert use.card is not None
    assert use.card["threshold"] == 0.75
    with pytest.raises(ModelChoiceError, match=r"no added model 'starlight-v4-2' has the threshold 0\.5000"):
        use_model(engine, "starlight-v4-2", "ann", 0.5)
    with pytest.raises(ModelChoiceError, match="one threshold only"):
        use_model(engine, SHIPPED, "ann", 0.5)


@pytest.mark.parametrize("changes", [{"name": "a model"}, {"name": "a\x1b[31m"}, {"name": "a/b"}, {"version": "2\n"}])
def test_a_name_that_nobody_can_type_is_refused(engine: Engine, changes: dict[str, str]) -> None:
    with pytest.raises(ModelChoiceError, match=f"the {next(iter(changes))} .* may have only letters, digits"):
        add_model(engine, {**CARD, **changes})


def test_of_models_with_the_same_weights_one_is_in_use(
    engine: Engine, configured: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for each in (card("9"), card(str(CARD["version"]), threshold=0.25), CARD):
        add_model(engine, each)
    current = SimpleNamespace(engine=engine, settings=configured)
    monkeypatch.setattr(commands, "open_installation", lambda: nullcontext(current))

    commands.show_models(as_json=True)

    listed = map(json.loads, capsys.readouterr().out.splitlines())
    (used,) = [each for each in listed if each["in_use"]]
    assert (used["version"], used["threshold"]) == (CARD["version"], pytest.approx(CARD["threshold"]))


def test_workers_with_another_threshold_score_with_another_model(engine: Engine) -> None:
    lower, usual = (add_model(engine, card("2", threshold=threshold))[0] for threshold in (0.25, 0.75))
    use_model(engine, "starlight-v4-2", "ann", 0.75)

    def check() -> tuple[Condition, str]:
        result = check_models(engine, 60)
        return result.condition, result.seen

    report_worker(engine, "cpu0@here", "cpu0", lower)
    condition, seen = check()
    assert condition is Condition.WRONG
    assert seen.index("threshold 0.2500") < seen.index("not with the model in use") < seen.index("threshold 0.7500")
    report_worker(engine, "cpu1@here", "cpu1", usual)
    assert check()[0] is Condition.WARNING
    report_worker(engine, "cpu0@here", "cpu0", usual)
    digest = str(CARD["sha256"])[:12]
    assert check() == (Condition.WELL, f"starlight-v4-2 ({digest}…, threshold 0.7500)")


def added(engine: Engine, configured: Settings, version: str) -> None:
    """Add the shipped weights as another version, and use it."""
    Blobs(configured.blobs()).put((DEFAULT_MODEL / str(CARD["weights"])).read_bytes())
    add_model(engine, card(version))
    use_model(engine, f"starlight-v4-{version}", "ann")


def test_a_worker_is_handed_the_model_that_is_used_next(engine: Engine, configured: Settings) -> None:
    models = ModelLoader(engine, configured, "cpu")
    seen = models.find_newest_use()
    assert models.load(seen).model.version == CARD["version"]
    replaced = threading.Event()
    versions: list[str] = []

    def replace(detector: Detector) -> None:
        versions.append(detector.model.version)
        replaced.set()

    watch = ModelWatch(models, seen, replace, interval_s=0.01)
    watch.start()
    added(engine, configured, "2")
    assert replaced.wait(PATIENCE_S)
    watch.stop()
    assert versions == ["2"]


def test_a_damaged_blob_is_refused(engine: Engine, configured: Settings) -> None:
    added(engine, configured, "2")
    models = ModelLoader(engine, configured, "cpu")
    (blob,) = (path for path in (configured.data_dir / "blobs").rglob("*") if path.is_file())

    blob.write_bytes(b"damaged")
    with pytest.raises(ModelError, match="SHA-256 is"):
        models.load(models.find_newest_use())

    blob.unlink()
    with pytest.raises(ModelError, match="add the model again"):
        models.load(models.find_newest_use())


def test_a_worker_with_a_model_folder_keeps_to_it(engine: Engine, configured: Settings, tmp_path: Path) -> None:
    added(engine, configured, "2")
    pinned = ModelLoader(engine, configured.model_copy(update={"model_dir": DEFAULT_MODEL}), "cpu")

    assert pinned.find_newest_use() is None
    assert pinned.load(None).model.version == CARD["version"]
