"""Texts are read completely, whatever tools write before, after and around them; any other bytes are described."""

import bz2
import gzip
import lzma
import random
import struct
import tarfile
import zipfile
import zlib
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlight_vocabulary.payload import Member, Payload, PayloadKind
from tests.kit.carriers import LIMIT, REMAINDERS, Samples, fill, read
from tests.kit.payloads import list_headers, spell
from tests.kit.pictures import encode_pattern
from worker.v4.extraction import BytesCarrier
from worker.v4.member_lists import MAX_MEMBERS, NAME_CHARACTERS
from worker.v4.payloads import read_payload_of

TEXT = "Meet me at the bridge at noon, bring the papers. Ünïcode 世界 🌍 as well!".encode()
LONG = b"\n".join(TEXT for _ in range(300))
HEADERS = [name for name, _ in list_headers(LONG)]
FORMS = {
    "as it is": (TEXT, TEXT), "long": (LONG, LONG), "Base64": (spell(TEXT), TEXT), "zlib": (zlib.compress(TEXT), TEXT),
    "gzip": (gzip.compress(TEXT), TEXT), "zlib in Base64": (spell(zlib.compress(TEXT)), TEXT),
}  # fmt: skip


def read_whole(data: bytes, limit: int = LIMIT) -> Payload:
    return read_payload_of(BytesCarrier(data), limit).payload


@pytest.mark.parametrize("remainder", REMAINDERS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", HEADERS)
def test_a_text_behind_a_header_is_read_whole(name: str, form: str, remainder: str) -> None:
    body, text = FORMS[form]
    headers = dict(list_headers(body))
    if name not in headers:
        pytest.skip("the length does not fit into the header")

    found = read(headers[name], remainder)

    assert (found.payload.kind, found.payload.text) == (PayloadKind.TEXT, text.decode())
    assert (found.payload.size, found.payload.closed_by, found.payload.truncated) == (len(body), "the length", False)
    assert found.payload.header
    assert found.payload.offset == headers[name].index(body)
    assert found.body == text


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn")), min_size=12, max_size=400),
    st.sampled_from([name for name in HEADERS if "digest" not in name]),
    st.integers(0, 1000),
)
def test_any_text_behind_any_header_is_read_whole(text: str, name: str, seed: int) -> None:
    # A text that is only a file name may be treated as one.
    text = f"It says: {text}"
    hidden = dict(list_headers(text.encode())).get(name)
    if hidden is not None:
        assert read(hidden, "zeros", seed).payload.text == text


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (b"\x00", "a zero byte"), (b"\x04", "end of transmission (04)"), (b"\xff\xfe", "end mark fffe"),
        (b"###", "end mark '###'"), (b"$t3g0", "end mark '$t3g0'"), (b"<EOF>", "end mark '<EOF>'"),
        (b"===END===", "end mark '===END==='"), (b"[END OF MESSAGE]", "end mark '[END OF MESSAGE]'"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("remainder", ["zeros", "ones"])
def test_what_closes_a_text_is_named_and_no_part_of_it(end: bytes, words: str, remainder: str) -> None:
    payload = read(TEXT + end, remainder).payload

    assert (payload.text, payload.closed_by, payload.header, payload.offset) == (TEXT.decode(), words, None, 0)


@pytest.mark.parametrize("seed", range(20))
def test_where_nothing_closes_a_text_the_longest_run_is_read(seed: int) -> None:
    payload = read(TEXT, "noise", seed).payload

    assert payload.text is not None
    assert payload.text.startswith(TEXT.decode()[:-2])
    assert len(payload.text) < len(TEXT.decode()) + 12


def test_the_length_of_a_script_is_that_of_its_text_in_bits() -> None:
    script = b"#!/bin/sh\necho there and back\n"
    length = (8 * len(script)).to_bytes(4, "little")

    payload = read_payload_of(Samples(b"SECR" + length + script + b"I\x92\xff" * 200), LIMIT).payload

    assert (payload.kind, payload.offset, payload.size) == (PayloadKind.SCRIPT, 8, len(script))


def test_where_nothing_closes_a_script_it_ends_with_its_last_line() -> None:
    script = b"#!/bin/sh\nset -e\nfor name in $(ls); do echo $name; done\necho done and gone\n"

    payload = read_payload_of(Samples(script + b"I\x92\xff" * 9), LIMIT).payload

    assert (payload.kind, payload.size) == (PayloadKind.SCRIPT, len(script))


@pytest.mark.parametrize("version", [1, 2])
def test_the_header_of_open_stego_is_read(version: int) -> None:
    cipher = bytes(8) if version == 2 else b""
    header = b"OPENSTEGO" + bytes([version]) + len(TEXT).to_bytes(4, "little") + b"\x01\x0d" + b"NN" + cipher

    payload = read(header + b"passwords.txt" + TEXT).payload

    assert (payload.text, payload.closed_by) == (TEXT.decode(), "the length")
    assert payload.header
    assert "passwords.txt" in payload.header


def test_noise_between_a_text_and_a_plain_area_does_not_hide_a_length() -> None:
    """As stegpy writes a file: the noise may be a letter, and the first two bytes of the plain area are."""
    header = b"stegv3" + len(TEXT).to_bytes(4, "big") + b"\x0asecret.txt"

    payload = read_payload_of(Samples(header + TEXT + b"X" + b"$I\x92" * 20), LIMIT).payload

    assert (payload.text, payload.closed_by) == (TEXT.decode(), "the length")


@pytest.mark.parametrize("length", ["{:d}:", "{:x}:", "{:d}|", "{:x} ", "{:x};", "{:08d},"])
@pytest.mark.parametrize("behind", [b"\xff", b"p\x00", b")'\x00"])
def test_a_length_that_is_spelled_is_no_part_of_a_text(length: str, behind: bytes) -> None:
    text = b"Did some one come tomorrow, by midnight?"

    payload = read_payload_of(Samples(length.format(len(text)).encode() + text + behind + b"\xfe" * 99), LIMIT).payload

    assert (payload.text, payload.size) == (text.decode(), len(text))


def test_text_behind_bytes_that_nobody_knows_is_found() -> None:
    payload = read(b"\x93\xfe\x01\x8a" + TEXT + b"\x00").payload

    assert (payload.text, payload.offset, payload.header) == (TEXT.decode(), 4, "4 bytes 93fe018a")


@pytest.mark.parametrize(
    "text", [b"12:30 is when we meet", b"7: a lucky number", b"AB or not AB", b"1:1", "x^\u0378".encode()]
)
def test_text_that_begins_like_a_header_stays_whole(text: bytes) -> None:
    for remainder in REMAINDERS:
        assert read(text + b"\x00", remainder).body == text


def test_a_long_text_is_cut_at_the_limit_and_marked() -> None:
    text = "ä" * 100_000
    for hidden in (text.encode() + b"\x00", struct.pack(">I", 200_000) + text.encode(), zlib.compress(text.encode())):
        found = read_payload_of(fill(hidden), 1001)

        assert (found.payload.text, found.payload.truncated, found.payload.limit) == ("ä" * 500, True, 1001)


@pytest.mark.parametrize("size", [4095, 4096, 4097, 9000])
def test_text_that_ends_a_file_is_read_beyond_the_first_bytes(size: int) -> None:
    text = (TEXT.decode() * 200).encode()[:size].decode(errors="ignore")

    payload = read_whole(text.encode())

    assert (payload.text, payload.closed_by) == (text, "the end of the file")


def test_a_text_of_just_the_limit_is_not_cut() -> None:
    for hidden in (TEXT + b"\x00", struct.pack(">I", len(TEXT)) + TEXT, zlib.compress(TEXT), spell(TEXT) + b"\x00"):
        payload = read_payload_of(fill(hidden), len(TEXT)).payload

        assert (payload.text, payload.truncated) == (TEXT.decode(), False)


def pack_zip(*names: str) -> bytes:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, name in enumerate(names):
            archive.writestr(name, b"x" * number * 100)
    return stream.getvalue()


def pack_tar(*names: str) -> bytes:
    stream = BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for number, name in enumerate(names):
            member = tarfile.TarInfo(name)
            member.size = number * 100
            archive.addfile(member, BytesIO(b"x" * member.size))
    return stream.getvalue()


ARCHIVES = {PayloadKind.ZIP: pack_zip, PayloadKind.TAR: pack_tar}


@pytest.mark.parametrize("kind", ARCHIVES)
@pytest.mark.parametrize("place", ["behind the image", "in pixels", "behind a length", "in Base64"])
def test_members_of_archives_are_listed(kind: PayloadKind, place: str) -> None:
    data = ARCHIVES[kind]("a.txt", "folder/ü.bin")
    hidden = {"behind a length": struct.pack("<I", len(data)) + data, "in Base64": spell(data) + b"\x00"}.get(
        place, data
    )

    payload = read_whole(hidden) if place == "behind the image" else read(hidden).payload

    assert payload.kind is kind
    assert payload.listing == [Member("a.txt", 0), Member("folder/ü.bin", 100)]
    assert not payload.truncated
    assert "folder/ü.bin (100 bytes)" in (payload.to_message() or "")
    if place == "behind a length":
        assert payload.size == len(data)


@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_listing_is_bounded(kind: PayloadKind) -> None:
    payload = read_whole(ARCHIVES[kind](*(f"{number:03}{'n' * 1000}" for number in range(MAX_MEMBERS + 1))))

    assert payload.listing is not None
    assert (len(payload.listing), payload.truncated) == (MAX_MEMBERS, True)
    assert {len(member.name) for member in payload.listing} == {NAME_CHARACTERS}


def test_an_archive_that_is_cut_off_is_listed_as_far_as_it_goes() -> None:
    payload = read_whole(pack_zip("a", "b", "c")[:-60])

    assert payload.listing is not None
    assert payload.listing[0] == Member("a", 0)


FILES = {
    PayloadKind.SEVEN_ZIP: b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(24),
    PayloadKind.RAR: b"Rar!\x1a\x07\x01\x00" + bytes(9),
    PayloadKind.GZIP: gzip.compress(bytes(100)), PayloadKind.BZIP2: bz2.compress(bytes(100)),
    PayloadKind.XZ: lzma.compress(bytes(100)), PayloadKind.ZSTD: b"\x28\xb5\x2f\xfd\x24" + bytes(20),
    PayloadKind.ZLIB: zlib.compress(bytes(range(256))), PayloadKind.PDF: b"%PDF-1.7\n\xff\xfe\n%%EOF\n",
    PayloadKind.PNG: encode_pattern("PNG"), PayloadKind.JPEG: encode_pattern("JPEG"),
    PayloadKind.GIF: encode_pattern("GIF", "P"), PayloadKind.WEBP: encode_pattern("WEBP"),
    PayloadKind.ELF: b"\x7fELF\x02\x01\x01" + bytes(60), PayloadKind.SCRIPT: b"#!/bin/sh\necho hello\n",
    PayloadKind.EXE: b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\x00\x00" + bytes(30),
    PayloadKind.OPENSSL: b"Salted__" + random.Random(1).randbytes(40),
    PayloadKind.PGP: b"-----BEGIN PGP MESSAGE-----\n\nhQEMA\n-----END PGP MESSAGE-----\n",
    PayloadKind.AGE: b"age-encryption.org/v1\n-> X25519 abc\n" + bytes(range(128, 200)),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_files_are_known_by_their_first_bytes(kind: PayloadKind) -> None:
    data = FILES[kind]

    for hidden in (data, struct.pack(">I", len(data)) + data, data + b"\x00"):
        payload = read_whole(hidden)
        assert payload.kind is kind
        assert payload.to_message()
    assert read(struct.pack(">I", len(data)) + data).payload.size == len(data)


def test_ciphertext_behind_a_length_is_sized_and_guessed_at() -> None:
    payload = read(struct.pack(">I", 512) + random.Random(1).randbytes(512)).payload

    assert (payload.kind, payload.size, payload.offset) == (PayloadKind.CIPHERTEXT, 512, 4)
    assert payload.entropy is not None
    assert payload.entropy > 7.4
    assert "block cipher" in (payload.detail or "")
    assert (payload.to_message() or "").startswith("512 bytes, entropy 7.")


def test_noise_is_hardly_ever_taken_for_text_or_a_file() -> None:
    kinds = [read(b"", "noise", seed).payload.kind for seed in range(300)]

    assert sum(kind not in (PayloadKind.DATA, PayloadKind.CIPHERTEXT) for kind in kinds) <= 9


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_any_bytes_are_read_and_never_shown_beyond_the_limit(data: st.DataObject) -> None:
    starts = st.sampled_from(
        [b"", b"AI42", b"PK\x03\x04", b"PK\x01\x02", b"\x78\x9c", b"\x1f\x8b\x08\x00", b"12:", *FILES.values()]
    )
    files = st.sampled_from([pack_zip("a", "b"), pack_tar("a", "b"), *FILES.values(), TEXT, spell(TEXT)])
    spoilt = bytearray(data.draw(starts) + data.draw(st.one_of(st.binary(max_size=2000), files)))
    for _ in range(data.draw(st.integers(0, 4)) if spoilt else 0):
        spoilt[data.draw(st.integers(0, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    limit = data.draw(st.integers(1, 300))

    for carrier in (Samples(bytes(spoilt)), BytesCarrier(bytes(spoilt))):
        found = read_payload_of(carrier, limit)

        assert len((found.payload.text or "").encode()) <= limit
        assert len(found.body) <= limit
        assert found.payload.size is None or 0 <= found.payload.size <= len(spoilt)
        assert 0 <= found.payload.offset <= len(spoilt)


def test_a_bomb_is_unpacked_no_further_than_is_shown() -> None:
    payload = read_whole(zlib.compress(b"a" * 2**28, 9), 1000)

    assert (payload.text, payload.truncated) == ("a" * 1000, True)
