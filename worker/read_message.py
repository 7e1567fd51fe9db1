"""`python -m worker.read_message METHOD`: read what a method would have hidden in the image on standard input, as JSON.

A process of its own: an image that breaks the decoder, or is a bomb, ends nothing else.
"""

import json
import resource
import sys
from dataclasses import asdict, dataclass

from starlight_vocabulary.words import BIT_ORDERS, METHODS
from storage.settings import read_settings
from worker.scanning.budget import Budget
from worker.scanning.decoding import Decoder
from worker.scanning.image_error import ImageError
from worker.v4.extraction import decode_text, describe_payload, read_payload_bytes

CPU_SECONDS = 20
ADDRESS_SPACE_BYTES = 4 * 2**30
# Orders in which the bits of a method may stand; of several, the one that gives text is taken, or else the first.
ORDERS = dict.fromkeys(("palette", "lsb.rgb"), BIT_ORDERS[:2])


# Of this program, for who asked: standard error says why nothing could be read.
REFUSED = 3


@dataclass(frozen=True, slots=True)
class ReadMessage:
    """What was read: the text, or a description of bytes that are none, and how many bytes it took."""

    message: str
    payload_bytes: int
    is_text: bool


def read_message(data: bytes, method: str) -> ReadMessage:
    """Read the payload of a method; raises ImageError where the bytes are no image."""
    configured = read_settings()
    decoder = Decoder(configured.max_image_pixels, Budget(configured.decode_budget_bytes))
    with decoder.decode(data) as image:
        payloads = [
            read_payload_bytes(image, data, method, order, configured.max_message_bytes)
            for order in ORDERS.get(method, BIT_ORDERS[:1])
        ]
    payload = next((each for each in payloads if decode_text(each)), payloads[0])
    text = decode_text(payload) if payload else None
    return ReadMessage(text or (describe_payload(payload) if payload else ""), len(payload), text is not None)


def main(method: str) -> int:
    """Print what was read; return 3, with the reason on standard error, where there is none."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    assert method in METHODS, f"{method!r} is none of {METHODS}"
    try:
        read = read_message(sys.stdin.buffer.read(), method)
    except ImageError as error:
        print(f"{error.code}: {error.detail}", file=sys.stderr)
        return REFUSED
    print(json.dumps(asdict(read)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
