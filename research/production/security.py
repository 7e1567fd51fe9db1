"""Checks access: requests without a valid key, and references to files and addresses that customers must not reach."""

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
    """Send requests without a key and with an invalid one."""
    wrong = {"Authorization": "Bearer " + "0" * 40}
    with deployment.open(with_key=False) as client:
        for method, path in LOCKED:
            for what, headers in (("without a key", {}), ("with a wrong key", wrong)):
                status = client.request(method, path, headers=headers).status_code
                check.expect(status in (401, 403), f"{method} {path} {what}: answered {status}")
    check.figures = {"requests": 2 * len(LOCKED)}


def check_references(check: Check, deployment: Deployment) -> None:
    """Submit forbidden references: each must be refused or end as an error."""
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
    """Check the headers of pages, and what errors reveal."""
    with deployment.open(with_key=False) as client:
        page = client.get("/")
        policy = page.headers.get("content-security-policy", "")
        check.expect(
            "default-src 'none'" in policy or "default-src 'self'" in policy, "the page has no Content-Security-Policy"
        )
        check.expect("unsafe-inline" not in policy, "the page's policy allows inline scripts")
        check.expect(page.headers.get("x-content-type-options") == "nosniff", "browsers may sniff content types")
        check.expect("frame-ancestors 'none'" in policy, "other pages may embed the page in a frame")
        missing = client.get("/v1/jobs/%00%ff", headers=deployment.headers)
        check.expect(missing.status_code < 500, f"an invalid path is answered with {missing.status_code}")
        check.expect("Traceback" not in missing.text, "an error contains a traceback")
        check.figures = {"server": page.headers.get("server"), "content-security-policy": policy}


def check_transport(check: Check, deployment: Deployment) -> None:
    """Check that the traffic is encrypted."""
    address = urlsplit(deployment.url)
    if address.hostname in LOCAL:
        raise NotCheckedError("the deployment is on this machine")
    check.expect(address.scheme == "https", "keys and images are sent unencrypted")
    if address.scheme == "https":
        httpx.get(deployment.url + "/health")
