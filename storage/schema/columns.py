"""What tables are made of: their metadata, required and optional columns, and columns of words."""

from enum import StrEnum
from functools import partial

from sqlalchemy import CheckConstraint, Column, MetaData
from sqlalchemy.dialects.postgresql import TIMESTAMP

# Explicit names of constraints, so that migrations can refer to them.
METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
TIME = TIMESTAMP(timezone=True)
required = partial(Column, nullable=False)
optional = partial(Column, nullable=True)


def one_of(column: str, words: type[StrEnum]) -> CheckConstraint:
    """Return the constraint that a column contains one of these words."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(word.value) for word in words)})", name=column)
