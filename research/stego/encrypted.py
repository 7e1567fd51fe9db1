"""Encrypted files by published structure: OpenSSL's enc, OpenPGP (RFC 9580), age; the ciphertext is random."""

import base64
import textwrap

import numpy as np

Rng = np.random.Generator


def make_openssl(rng: Rng, size: int) -> bytes:
    """Make a file of `openssl enc`: `Salted__`, a salt, whole blocks; sometimes as Base64."""
    data = b"Salted__" + rng.bytes(8) + rng.bytes(16 * (size // 16 + 1))
    return _wrapped(base64.b64encode(data), 64) if rng.random() < 0.25 else data


def make_pgp(rng: Rng, size: int) -> bytes:
    """Make an OpenPGP message, encrypted to a key or with a password, as packets or with ASCII armour."""
    body = rng.bytes(size + 22)
    if rng.random() < 0.5:
        key = b"\x03" + rng.bytes(8) + b"\x01"
        bits = int(rng.choice([1024, 2048, 3072, 4096]))
        key += bits.to_bytes(2, "big") + rng.bytes(bits // 8)
        session = b"\x85" + len(key).to_bytes(2, "big") + key if len(key) > 255 else b"\x84" + bytes([len(key)]) + key
    else:
        session = bytes.fromhex(("8c0d04090302", "8c0d04070302", "8c0d04090308", "c30d04090302")[rng.integers(4)])
        session += rng.bytes(8) + bytes([int(rng.choice([0x60, 0xEE, 0xFF, 0xF2]))])
    data = session + b"\xd2" + _new_length(rng, len(body) + 1) + b"\x01" + body
    if rng.random() < 0.35:
        note = (b"", b"Version: GnuPG v2\n", b"Comment: https://gnupg.org\n")[rng.integers(3)]
        text = _wrapped(base64.b64encode(data), 64) + b"=" + base64.b64encode(rng.bytes(3)) + b"\n"
        return b"-----BEGIN PGP MESSAGE-----\n" + note + b"\n" + text + b"-----END PGP MESSAGE-----\n"
    return data


def make_age(rng: Rng, size: int) -> bytes:
    """Make a file of age: header stanzas, a MAC, then the payload; sometimes with armour."""
    stanza = b"-> X25519 " + _short(rng, 32) if rng.random() < 0.6 else b"-> scrypt " + _short(rng, 16) + b" 18"
    head = b"age-encryption.org/v1\n" + stanza + b"\n" + _short(rng, 32) + b"\n--- " + _short(rng, 32) + b"\n"
    data = head + rng.bytes(size + 32)
    if rng.random() < 0.25:
        text = _wrapped(base64.b64encode(data), 64)
        return b"-----BEGIN AGE ENCRYPTED FILE-----\n" + text + b"-----END AGE ENCRYPTED FILE-----\n"
    return data


def _short(rng: Rng, size: int) -> bytes:
    return base64.b64encode(rng.bytes(size)).rstrip(b"=")


def _wrapped(text: bytes, width: int) -> bytes:
    return "\n".join(textwrap.wrap(text.decode(), width)).encode() + b"\n"


def _new_length(rng: Rng, size: int) -> bytes:
    if size < 192:
        return bytes([size])
    if size < 8384:
        return bytes([((size - 192) >> 8) + 192, (size - 192) & 255])
    return b"\xff" + size.to_bytes(4, "big") if rng.random() < 0.7 else b"\xed"
