"""Receives webhooks of ended jobs, and accepts only those signed by the scanner.

    pip install standardwebhooks
    export STARLIGHT_WEBHOOK_SECRET=whsec_…                  # the same as the scanner's
    python examples/receive_webhooks.py 9000                 # 0: any free port
    starlight submit samples/ --webhook http://127.0.0.1:9000/

Prints its URL, then a line per ended job: id, state and counts. A scanner calls non-public addresses only
if a setting allows it: STARLIGHT_FETCH_ALLOWED_NETWORKS='["127.0.0.0/8"]'.
"""

import os
import sys
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

from standardwebhooks import Webhook, WebhookVerificationError

MAX_BYTES = 2**20


class Receiver(BaseHTTPRequestHandler):
    """Answers signed messages with 204, so that they are not sent again, and others with 400."""

    webhook: ClassVar[Webhook]
    timeout = 10
    # If an answer is lost, the same message comes twice, with the same id.
    known: ClassVar[set[str]] = set()

    def do_POST(self) -> None:
        """Receive one message."""
        try:
            body = self.rfile.read(min(int(self.headers["Content-Length"] or 0), MAX_BYTES))
            job = self.webhook.verify(body, dict(self.headers))["data"]
        except (WebhookVerificationError, ValueError) as error:
            self.send_error(400, f"not signed by the scanner: {error}")
            return
        if self.headers["webhook-id"] not in self.known:
            self.known.add(self.headers["webhook-id"])
            counts = f"{job['clean']} clean, {job['stego']} stego, {job['error']} errors"
            print(job["id"], job["state"], counts, sep="\t", flush=True)
        self.send_response(204)
        self.end_headers()


if __name__ == "__main__":
    try:
        Receiver.webhook = Webhook(os.environ["STARLIGHT_WEBHOOK_SECRET"])
        server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver)
    except (LookupError, OSError, OverflowError, ValueError) as error:
        sys.exit(f"usage: STARLIGHT_WEBHOOK_SECRET=whsec_… receive_webhooks.py PORT ({type(error).__name__}: {error})")
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    with suppress(KeyboardInterrupt):
        server.serve_forever()
