"""Headers of known programs, and matching digests, determine the payload exactly, whatever follows it."""

import hashlib
import random

import pytest

from tests.kit.carriers import LIMIT, REMAINDERS, Samples, read
from worker.v4.known_headers import find_digest_header, find_known_header
from worker.v4.payloads import read_payload_of

TEXT = "Meet me at the bridge at noon, bring the papers. Ünïcode 世界 🌍 as well!".encode()
SHORT = b"Who will not"
TIME = (1_795_900_000).to_bytes(8, "big")


def list_written(text: bytes) -> dict[str, bytes]:
    """Return the bytes that each program writes for a text."""
    size = len(text)
    return {
        "OpenStego": b"OPENSTEGO\x01" + size.to_bytes(4, "little") + b"\x01\x0aNNsecret.txt" + text,
        "steganographer": b"STEGS" + size.to_bytes(10, "little") + b"\x01\x00\x00" + text,
        "steganographer, file": b"STEGS" + size.to_bytes(10, "little") + b"\x01\x0a\x00secret.txt" + text,
        "zyc-stego": b"STG0\x00\x0a" + size.to_bytes(8, "big") + b"secret.txt" + text,
        "imagestego": (size + 8).to_bytes(4, "big") + TIME + text,
    }


@pytest.mark.parametrize("remainder", REMAINDERS)
@pytest.mark.parametrize("text", [TEXT, SHORT])
@pytest.mark.parametrize("program", list_written(TEXT))
def test_what_a_known_program_wrote_is_read_whole(program: str, text: bytes, remainder: str) -> None:
    written = list_written(text)[program]

    payload = read(written, remainder).payload

    assert (payload.text, payload.offset, payload.closed_by) == (text.decode(), len(written) - len(text), "the length")
    assert payload.header
    assert ("secret.txt" in payload.header) == (b"secret.txt" in written)


def test_a_length_beyond_the_carrier_is_no_header() -> None:
    written = list_written(TEXT)["zyc-stego"]

    assert find_known_header(written, 0, len(written))
    assert find_known_header(written, 0, len(written) - 1) is None


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
@pytest.mark.parametrize("form", ["digest", "length, digest", "digest, length", "length with the digest"])
def test_a_text_behind_its_digest_is_read_exactly(algorithm: str, form: str) -> None:
    """Also if the last bytes of the digest, or the first ones after the text, could be letters."""
    for seed in range(60):
        text = TEXT[: 12 + seed % 37]
        text = b"%d " % seed + text.decode(errors="ignore").encode()
        digest = hashlib.new(algorithm, text).digest()
        length = len(text).to_bytes(4, "big")
        written = {
            "digest": digest + text,
            "length, digest": length + digest + text,
            "digest, length": digest + length + text,
            "length with the digest": (len(text) + len(digest)).to_bytes(4, "little") + digest + text,
        }[form]

        payload = read(written, seed=seed).payload

        assert (payload.text, payload.offset) == (text.decode(), len(written) - len(text)), f"seed {seed}"


def test_noise_has_no_known_header() -> None:
    rng = random.Random(0)
    for _ in range(300):
        noise = rng.randbytes(4096)
        assert find_known_header(noise, 0, 30_000) is None
        assert find_digest_header(noise, 0) is None


def test_a_unit_separator_ends_a_text() -> None:
    """The tool stega-crypt writes this; the last letter is not treated as noise."""
    payload = read(b"what reveal meeting\x1f\x00").payload

    assert (payload.text, payload.closed_by) == ("what reveal meeting", "unit separator (1f)")


@pytest.mark.parametrize("coding", ["utf-32-le", "utf-32-be", "utf-16-le"])
def test_wide_characters_behind_a_length_in_digits_are_read(coding: str) -> None:
    """The tool stegano writes UTF-32 like this."""
    text = "The meeting is at noon"
    wide = text.encode(coding)

    payload = read_payload_of(Samples(f"{len(wide)}:".encode() + wide + b"\x9a\xf1\xff" * 40), LIMIT).payload

    assert (payload.text, payload.encoding) == (text, coding)
