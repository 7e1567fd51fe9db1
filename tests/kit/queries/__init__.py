"""Statements that run all day: functions that run them, by name, and the indexes that their plans must use."""

from tests.kit.queries.chunks import CHUNK_QUERIES
from tests.kit.queries.jobs import JOB_QUERIES
from tests.kit.queries.verdicts import VERDICT_QUERIES
from tests.kit.queries.views import VIEW_QUERIES

QUERIES = CHUNK_QUERIES | JOB_QUERIES | VERDICT_QUERIES | VIEW_QUERIES
