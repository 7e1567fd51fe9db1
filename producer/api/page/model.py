"""The model: figures of its card, judgements of its verdicts, and the distribution of its probabilities."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from producer.api.access import Reading, visible_submitter
from producer.api.page.model_figures import list_figures
from producer.api.page.rendering import PREFIX, render
from producer.api.problems import ProblemError
from producer.api.service import Service, Shared
from producer.default_model import is_of_card, mark_default
from starlight_vocabulary.words import METHODS, Method
from storage.canaries import CanaryCount, CanaryResult, count_answers
from storage.drift import BINS, DAYS, DaySample, sample_probabilities
from storage.judgements import Agreement, count_agreement
from storage.models import ListedModel, get_model_in_use, list_models
from worker.v4.card import DEFAULT_MODEL, ModelCard, ModelError, read_card

# Older samples are taken again; they cover days, so they change slowly.
FRESH_S: Final = 60.0
TENTHS: Final = 10

router = APIRouter(prefix=PREFIX, include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Sample:
    """Probabilities by day and results of canaries, for all models."""

    days: Sequence[DaySample] = ()
    canaries: Sequence[CanaryCount] = ()


class Samples:
    """Caches the sample of the installation for this process."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._sample = Sample()
        self._taken_at = -FRESH_S

    def read(self) -> Sample:
        """Return the sample; concurrent callers share one query."""
        with self._lock:
            if time.monotonic() - self._taken_at > FRESH_S:
                engine = self._service.engine
                self._sample = Sample(sample_probabilities(engine), count_answers(engine))
                self._taken_at = time.monotonic()
            return self._sample


async def get_samples(request: Request) -> Samples:
    """Return the cached samples of this process."""
    samples: Samples = request.app.state.samples
    return samples


@dataclass(frozen=True, slots=True)
class DriftDay:
    """A column of the diagram: a day, the number of images sampled, their mean, and the share in each bin (0 to 1)."""

    day: date
    images: int
    mean: float | None
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ReliabilityPoint:
    """The judged images in one tenth of the probabilities: V4's mean probability, and the share that is stego."""

    images: int
    mean: float
    share: float


@dataclass(frozen=True, slots=True)
class JudgedKind:
    """Counts of judgements of verdicts with one outcome and method."""

    name: str
    true: int
    false: int
    unsure: int


@dataclass(frozen=True, slots=True)
class CanaryRow:
    """Canaries with one hidden method: how many have a verdict, were found as this method, and read completely."""

    hidden: Method | None
    images: int
    found: int
    whole: int


@router.get("/model")
def show_model(
    request: Request,
    key: Reading,
    service: Shared,
    samples: Annotated[Samples, Depends(get_samples)],
    chosen: Annotated[int | None, Query(alias="id", ge=1, le=2**31 - 1)] = None,
) -> Response:
    """Show the model in use, or the chosen one."""
    models, shipped = list_models_with_shipped(service)
    wanted = [model for model in models if (model.in_use if chosen is None else model.id == chosen)]
    if chosen is not None and not wanted:
        raise ProblemError(404, f"there is no model {chosen}")
    model = wanted[0] if wanted else None
    sample = samples.read()
    agreement = count_agreement(service.engine, model.id, visible_submitter(key)) if model else []
    return render(
        request,
        "model.html",
        models=models,
        model=model,
        card=shipped if model is None else None,
        figures=list_figures(find_figures(model, shipped)),
        measured_on=read_measured_on(find_figures(model, shipped)),
        reliability=find_reliability(agreement),
        judged=sum_kinds(agreement),
        drift=arrange_drift(sample.days, model.id) if model else [],
        canaries=sum_canaries(sample.canaries, model) if model else [],
        unanswered=sum(count.images for count in sample.canaries if count.model is None),
        bins=BINS,
    )


def list_models_with_shipped(service: Service) -> tuple[list[ListedModel], ModelCard | None]:
    """Return all models, the one in use first, and the card of the shipped model, None if it cannot be read."""
    used = get_model_in_use(service.engine)
    try:
        shipped = read_card(service.settings.model_dir or DEFAULT_MODEL)
    except ModelError:
        shipped = None
    models = list_models(service.engine, service.settings.lease_s)
    if shipped and not (used and used.model_id):
        models = mark_default(models, shipped)
    return sorted(models, key=lambda model: not model.in_use), shipped


def find_figures(model: ListedModel | None, shipped: ModelCard | None) -> dict[str, Any]:
    """Return the figures of a model's card; those of the shipped model are read from the shipped card."""
    if model is None or (shipped and not model.figures and is_of_card(model, shipped)):
        return shipped.figures if shipped else {}
    return model.figures


def read_measured_on(figures: dict[str, Any]) -> dict[str, str]:
    """Return what the figures of a card were measured on."""
    measured = figures.get("measured_on")
    return {str(name): str(value) for name, value in measured.items()} if isinstance(measured, dict) else {}


def find_reliability(agreement: Sequence[Agreement]) -> list[ReliabilityPoint]:
    """Return a point for each tenth of the probabilities with images judged true or false."""
    points = []
    for tenth in range(TENTHS):
        found = [each for each in agreement if each.tenth == tenth and each.judged]
        if images := sum(each.judged for each in found):
            mean = sum(each.total for each in found) / images
            points.append(ReliabilityPoint(images, mean, sum(each.stego for each in found) / images))
    return points


def sum_kinds(agreement: Sequence[Agreement]) -> list[JudgedKind]:
    """Return the counts of judgements by outcome and method."""
    kinds: dict[str, list[Agreement]] = {}
    for each in agreement:
        kinds.setdefault(f"{each.outcome}, {each.method}" if each.method else str(each.outcome), []).append(each)
    return [JudgedKind(name, *_sum_words(found)) for name, found in kinds.items()]


def _sum_words(found: Sequence[Agreement]) -> tuple[int, int, int]:
    return sum(each.true for each in found), sum(each.false for each in found), sum(each.unsure for each in found)


def sum_canaries(counts: Sequence[CanaryCount], model: ListedModel) -> list[CanaryRow]:
    """Return the results of this model's canaries, the clean ones first."""
    label = f"{model.label}@sha256:{model.sha256}"
    own = [count for count in counts if count.model == label]
    rows = []
    for hidden in (None, *METHODS):
        results: Counter[CanaryResult] = Counter()
        for count in own:
            if count.hidden == hidden:
                results[count.result] += count.images
        whole = results[CanaryResult.RIGHT] if hidden else 0
        found = whole + results[CanaryResult.UNREAD] if hidden else results[CanaryResult.WRONG]
        if images := results.total():
            rows.append(CanaryRow(hidden, images, found, whole))
    return rows


def arrange_drift(samples: Sequence[DaySample], model_id: int) -> list[DriftDay]:
    """Return a column for each day up to the last with verdicts, oldest first; empty if the model has none."""
    own = {sample.day: sample for sample in samples if sample.model_id == model_id}
    if not own:
        return []
    last = max(sample.day for sample in samples)
    days = [last - timedelta(days=back) for back in reversed(range(DAYS))]
    return [_arrange_day(day, own.get(day)) for day in days]


def _arrange_day(day: date, sample: DaySample | None) -> DriftDay:
    if sample is None:
        return DriftDay(day, 0, None, (0.0,) * BINS)
    return DriftDay(day, sample.images, sample.mean, tuple(count / sample.images for count in sample.bins))
