"""What nobody may do: without a key, with a wrong one, by names of files and addresses that are not for customers."""

from typing import Final
from urllib.parse import urlsplit

import httpx

from research.production.checklist import Check, NotCheckedError
from research.production.deployment import Deployment
from starlight_client import RefusedError, Starlight
from starlight_vocabulary.words import Outcome

LOCKED: Final = (
    ("GET", "/v1/jobs"), ("GET", "/v1/verdicts"), ("GET", "/v1/stats"), ("POST", "/v1/jobs"), ("POST", "/scan/image"),
    ("POST", "/extract"), ("POST", "/scan/block"), ("GET", "/v1/operations"), ("POST", "/v1/requeue"),
)  # fmt: skip
FORBIDDEN: Final = (
    "file:///etc/passwd", "https://169.254.169.254/latest/meta-data/", "https://127.0.0.1/", "https://[::1]/a.png",
    "https://localhost/a.png", "gopher://127.0.0.1:6379/_INFO",
)  # fmt: skip
LOCAL: Final = ("127.0.0.1", "::1", "localhost")


def check_keys(check: Check, deployment: Deployment) -> None:
    """Ask for everything without a key, and with one that nobody made."""
    wrong = {"Authorization": "Bearer " + "0" * 40}
    with deployment.open(with_key=False) as client:
        for method, path in LOCKED:
            for what, headers in (("without a key", {}), ("with a wrong key", wrong)):
                status = client.request(method, path, headers=headers).status_code
                check.expect(status in (401, 403), f"{method} {path} {what}: answered {status}")
    check.figures = {"requests": 2 * len(LOCKED)}


def check_references(check: Check, deployment: Deployment) -> None:
    """Submit names of things that are not for customers: refused, or each an error."""
    refused = 0
    with Starlight(deployment.url, deployment.key) as starlight:
        for reference in FORBIDDEN:
            try:
                job = starlight.submit([reference])
            except RefusedError:
                refused += 1
                continue
            starlight.wait(job.id)
            outcomes = [verdict.outcome for verdict in starlight.verdicts(job.id)]
            check.expect(outcomes == [Outcome.ERROR], f"{reference}: {', '.join(outcomes)}")
    check.figures = {"references": len(FORBIDDEN), "refused": refused}


def check_answers(check: Check, deployment: Deployment) -> None:
    """Look at the headers of pages, and at what an error tells."""
    with deployment.open(with_key=False) as client:
        page = client.get("/")
        policy = page.headers.get("content-security-policy", "")
        check.expect(
            "default-src 'none'" in policy or "default-src 'self'" in policy, "the page has no policy for contents"
        )
        check.expect("unsafe-inline" not in policy, "the page's policy lets scripts in that stand in it")
        check.expect(page.headers.get("x-content-type-options") == "nosniff", "types of contents may be guessed")
        check.expect("frame-ancestors 'none'" in policy, "other pages may show the page within them")
        missing = client.get("/v1/jobs/%00%ff", headers=deployment.headers)
        check.expect(missing.status_code < 500, f"an odd path is answered with {missing.status_code}")
        check.expect("Traceback" not in missing.text, "an error shows the program's inside")
        check.figures = {"server": page.headers.get("server"), "content-security-policy": policy}


def check_transport(check: Check, deployment: Deployment) -> None:
    """Whether strangers can read what is sent."""
    address = urlsplit(deployment.url)
    if address.hostname in LOCAL:
        raise NotCheckedError("the deployment is on this machine")
    check.expect(address.scheme == "https", "keys and images travel unencrypted")
    if address.scheme == "https":
        httpx.get(deployment.url + "/health")
