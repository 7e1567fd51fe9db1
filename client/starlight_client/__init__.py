"""A client of the Starlight API: `Starlight`, and `AsyncStarlight` with the same methods for programs on asyncio.

>>> from starlight_client import JobOptions, Outcome, Starlight
>>> with Starlight("http://127.0.0.1:8080", key) as starlight:
...     job = starlight.submit(["s3://evidence/1.png", "https://forum.example/2.jpg"], JobOptions(name="june"))
...     job = starlight.wait(job.id, progress=lambda job: print(job.finished, "of", job.total))
...     for verdict in starlight.verdicts(job.id, outcome=Outcome.STEGO):
...         print(verdict.uri, verdict.extracted_message)
"""

from starlight_client.analysis import ComparisonSearch, ExportSearch, RescanSearch
from starlight_client.asynchronous import AsyncStarlight
from starlight_client.errors import RefusedError, UnreadableAnswerError
from starlight_client.flows import ImageSearch, VerdictSearch
from starlight_client.synchronous import Starlight
from starlight_vocabulary.answers import (
    Cancellation,
    JobReport,
    LiveWorker,
    Provenance,
    Statistics,
    VerdictReport,
    Verification,
)
from starlight_vocabulary.comparison import Comparison, DifferingFile, PairCount
from starlight_vocabulary.exports import ExportedPart, ExportReport, ExportState
from starlight_vocabulary.formats import ExportFormat
from starlight_vocabulary.inspection import Finding, ImageInspection
from starlight_vocabulary.job import JobOptions, JobSources
from starlight_vocabulary.operations import Action, Operation, PauseReport, PauseSubject, RequeueRequest
from starlight_vocabulary.rescan import Rescan
from starlight_vocabulary.verdict import Verdict
from starlight_vocabulary.words import BitOrder, ErrorCode, JobState, ListingState, Method, Outcome, Priority

__all__ = [
    "Action",
    "AsyncStarlight",
    "BitOrder",
    "Cancellation",
    "Comparison",
    "ComparisonSearch",
    "DifferingFile",
    "ErrorCode",
    "ExportFormat",
    "ExportReport",
    "ExportSearch",
    "ExportState",
    "ExportedPart",
    "Finding",
    "ImageInspection",
    "ImageSearch",
    "JobOptions",
    "JobReport",
    "JobSources",
    "JobState",
    "ListingState",
    "LiveWorker",
    "Method",
    "Operation",
    "Outcome",
    "PairCount",
    "PauseReport",
    "PauseSubject",
    "Priority",
    "Provenance",
    "RefusedError",
    "RequeueRequest",
    "Rescan",
    "RescanSearch",
    "Starlight",
    "Statistics",
    "UnreadableAnswerError",
    "Verdict",
    "VerdictReport",
    "VerdictSearch",
    "Verification",
]
