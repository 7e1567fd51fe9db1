"""Reads stego verdicts directly from PostgreSQL, for programs that join them with their own tables.

    pip install 'psycopg[binary]'
    export STARLIGHT_DATABASE_URL=$(starlight db analyst my_program)
    python examples/read_verdicts.py 2026-06-01

Prints a line per stego image scanned since that time (UTC unless it has a zone), oldest first: time, job, reference,
method, probability, and the hidden message in quotes. docs/analysts.md describes the views, a stable interface.
"""

import os
import sys

import psycopg

FOUND = """
    SELECT scanned_at, coalesce(job_name, job_id::text), uri, stego_type, stego_probability, extracted_message
    FROM verdict
    WHERE outcome = 'stego' AND scanned_at >= %s::timestamptz
    ORDER BY scanned_at, job_id, ordinal
"""


def main(since: str, database_url: str) -> None:
    """Print the stego verdicts since then."""
    with psycopg.connect(database_url, options="-c timezone=UTC") as connection:
        connection.read_only = True
        # A named cursor stays on the server and sends rows as they are read: there may be millions.
        with connection.cursor("found") as rows:
            for scanned_at, job, uri, method, probability, message in rows.execute(FOUND, [since]):
                # Escaped, because a stranger wrote it.
                print(scanned_at.isoformat(), job, uri, method, f"{probability:.3f}", repr(message), sep="\t")


if __name__ == "__main__":
    try:
        main(sys.argv[1], os.environ["STARLIGHT_DATABASE_URL"])
    except LookupError:
        sys.exit("usage: STARLIGHT_DATABASE_URL=postgresql://… read_verdicts.py 2026-06-01")
    except psycopg.Error as error:
        sys.exit(f"PostgreSQL: {str(error).splitlines()[0]}")
