"""Submits images and prints each verdict as it lands.

    pip install ./client
    export STARLIGHT_SERVER=http://127.0.0.1:8080 STARLIGHT_KEY=starlight_…
    python examples/submit_and_follow.py samples/ https://forum.example/1.png

Local files and folders become one job, URLs another. Each verdict is a line: outcome, reference, method or error code,
and stego probability. Progress goes to standard error.
"""

import os
import sys

import httpx

from starlight_client import JobOptions, RefusedError, Starlight, UnreadableAnswerError, Verdict


def main(arguments: list[str]) -> None:
    """Submit the arguments, and follow the jobs to their end."""
    if not arguments:
        sys.exit("usage: submit_and_follow.py PATH-OR-ADDRESS...")
    addresses = [argument for argument in arguments if "://" in argument]
    paths = [argument for argument in arguments if "://" not in argument]
    options = JobOptions(name="example")
    with Starlight(os.environ["STARLIGHT_SERVER"], os.environ["STARLIGHT_KEY"]) as starlight:
        jobs = [starlight.upload(paths, options)] if paths else []
        jobs += [starlight.submit(addresses, options)] if addresses else []
        for job in jobs:
            for found in starlight.follow(job.id):
                if isinstance(found, Verdict):
                    why = found.stego_type or found.error_code or ""
                    print(found.outcome, found.uri, why, found.stego_probability, sep="\t")
                else:
                    print(f"{found.finished} of {found.total}, {found.state}", file=sys.stderr)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyError as error:
        sys.exit(f"set {error.args[0]} in the environment")
    except (OSError, RefusedError, UnreadableAnswerError, httpx.HTTPError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
