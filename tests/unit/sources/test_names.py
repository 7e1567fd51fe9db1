"""Names of files, patterns, lists and URIs are expanded to references."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

from producer.sources.errors import SourceError
from producer.sources.expansion import Sources, format_reference, refer_to_file
from starlight_vocabulary.escaping import escape
from starlight_vocabulary.words import ErrorCode
from tests.kit.loading import BytesLoader
from tests.kit.names import SECRET, expand, expect_refusal, refer_to, write_files, zip_files

ODD_NAMES = [
    b"plain.png",
    b"with space.png",
    "Grüße 世界 🌍.png".encode(),
    b"\xff\xfe\x80.png",
    b"two\nlines\r\n.png",
    b"\x1b[31mred\x07\x7f.png",
    "right\u202eto left \u2028.png".encode(),
    b"a%20b%.png",
    b"a#b?c&d=e;f.png",
    b"file:x.png",
    b"~user.png",
    b"-rf",
    b"[brackets]{braces}*?.png",
    b"'\"\\`$(x).png",
    b"...",
    b" ",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_file_name_leads_back_to_its_bytes(
    folder: Path, sources: Sources, loader: BytesLoader, name: bytes
) -> None:
    path = os.fsencode(folder) + b"/" + name
    Path(os.fsdecode(path)).write_bytes(SECRET)

    found = expand(sources, os.fsdecode(name))
    listed = expand(sources, "-", stdin=name, separator=b"\0")
    below = expand(sources, str(folder))

    assert found == listed == below == [refer_to_file(path)]
    assert loader.load(found[0]) == SECRET


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_file_name_is_a_reference_in_plain_ascii_and_is_shown_without_control_characters(name: bytes) -> None:
    uri = refer_to_file(b"/folder/" + name)

    assert uri.isascii()
    assert uri.isprintable()
    assert " " not in uri
    assert escape(format_reference(uri)).isprintable()
    escape(format_reference(uri)).encode()


@pytest.mark.parametrize("name", [name for name in ODD_NAMES if b"\xff" not in name])
def test_a_file_is_shown_as_it_stands_in_the_file_system(name: bytes) -> None:
    assert format_reference(refer_to_file(b"/folder/" + name)) == f"/folder/{name.decode()}"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("file:///a%20b", "/a b"),
        ("file:///a.zip#folder/%C3%BC", "/a.zip#folder/ü"),
        ("file:///a%23b", "/a#b"),
        ("blob://0123/a.zip/folder/%C3%BC", "a.zip/folder/ü"),
        ("blob://0123", "blob://0123"),
        ("s3://bucket/key%20", "s3://bucket/key%20"),
        ("https://host/a?b#c", "https://host/a?b#c"),
        ("no uri", "no uri"),
        ("", ""),
    ],
)
def test_references_are_shown_as_people_know_them(uri: str, shown: str) -> None:
    assert format_reference(uri) == shown


def test_a_reference_that_is_no_uri_is_shown_as_it_is() -> None:
    assert format_reference("http://[") == "http://["


def test_relative_paths_become_absolute(folder: Path, sources: Sources) -> None:
    expected = write_files(folder, "a.png", "sub/b.png")

    assert expand(sources, "a.png", "./sub/../sub/b.png") == expected


def test_a_folder_stands_for_everything_below_it_in_the_order_of_names(folder: Path, sources: Sources) -> None:
    write_files(folder, "b/2.png", "a.png", "b/10.png", "c", "b/deep/er/x.txt", "B")
    (folder / "empty").mkdir()

    assert expand(sources, ".") == refer_to(folder, "B", "a.png", "b/10.png", "b/2.png", "b/deep/er/x.txt", "c")


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_arguments_keep_their_order(folder: Path, sources: Sources, order: tuple[str, str]) -> None:
    write_files(folder, "a", "b")

    assert expand(sources, *order) == refer_to(folder, *order)


def test_an_argument_that_names_nothing_is_an_error_for_the_person(folder: Path, sources: Sources) -> None:
    with pytest.raises(SourceError, match=r"'missing\.png'"):
        expand(sources, "missing.png")
    with pytest.raises(SourceError, match=r"nothing matches '\*\.png'"):
        expand(sources, "*.png")
    with pytest.raises(SourceError, match=r"'\\udcff'"):
        expand(sources, os.fsdecode(b"\xff"))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["a.png", "b.png"]),
        ("?.txt", ["c.txt"]),
        ("[ab].png", ["a.png", "b.png"]),
        ("sub/*", ["sub/d.png", "sub/deep/e.png"]),
        ("**/*.png", ["a.png", "b.png", "sub/d.png", "sub/deep/e.png"]),
        ("*/deep/*.png", ["sub/deep/e.png"]),
    ],
)
def test_patterns_that_the_shell_left_alone_are_expanded(
    folder: Path, sources: Sources, pattern: str, expected: list[str]
) -> None:
    write_files(folder, "a.png", "b.png", "c.txt", "sub/d.png", "sub/deep/e.png")

    assert expand(sources, pattern) == refer_to(folder, *expected)


@pytest.mark.parametrize("pattern", ["**", "./**", "sub/**"])
def test_a_pattern_for_everything_gives_each_file_once(folder: Path, sources: Sources, pattern: str) -> None:
    expected = write_files(folder, "sub/d.png", "sub/deep/e.png")

    assert sorted(expand(sources, pattern)) == expected


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(folder: Path, sources: Sources) -> None:
    write_files(folder, "a.png", "[a].png", "*.png")

    assert expand(sources, "[a].png", "*.png") == refer_to(folder, "[a].png", "*.png")


@pytest.mark.parametrize(
    ("stdin", "separator"),
    [
        (b"a\nb c\n", b"\n"),
        (b"a\nb c", b"\n"),
        (b"a\r\nb c\r\n", b"\n"),
        (b"\n\na\n\n\nb c\n\n", b"\n"),
        (b"a\0b c\0", b"\0"),
        (b"a\0b c", b"\0"),
        (b"\0\0a\0\0b c\0\0", b"\0"),
    ],
)
def test_names_are_read_from_standard_input(folder: Path, sources: Sources, stdin: bytes, separator: bytes) -> None:
    expected = write_files(folder, "a", "b c")

    assert expand(sources, "-", stdin=stdin, separator=separator) == expected


def test_a_list_of_names_ended_by_nul_may_have_newlines_in_them(folder: Path, sources: Sources) -> None:
    expected = write_files(folder, "two\nlines\n", "a\r")

    assert expand(sources, "-", stdin=b"two\nlines\n\0a\r\0", separator=b"\0") == expected


@pytest.mark.parametrize("separator", [b"\n", b"\0"])
def test_a_long_list_is_read_in_pieces_without_a_seam(folder: Path, sources: Sources, separator: bytes) -> None:
    names = [b"%06d" % number + b"n" * (number % 50) for number in range(5000)]

    found = expand(sources, "-", stdin=separator.join(names), separator=separator)

    assert found == [refer_to_file(name) for name in names]


def test_names_in_a_list_that_lead_nowhere_are_references_all_the_same(
    folder: Path, sources: Sources, loader: BytesLoader
) -> None:
    found = expand(sources, "-", stdin=b"missing.png\n*.png\nwith\0nul\n" + b"n" * 5000)

    assert [expect_refusal(loader, uri) for uri in found] == [ErrorCode.NOT_FOUND] * 3 + [ErrorCode.NOT_READABLE]


def test_a_list_may_name_folders_and_archives(folder: Path, sources: Sources, loader: BytesLoader) -> None:
    expected = write_files(folder, "sub/a.png")
    zip_files(folder / "b.zip", ["c.png"])

    first, second = expand(sources, "-", stdin=b"sub\nb.zip\n")

    assert [first] == expected
    assert format_reference(second) == "b.zip/c.png"


@pytest.mark.parametrize(
    ("argument", "reference"),
    [
        ("s3://bucket/a key", "s3://bucket/a%20key"),
        ("https://host:80/a?b=c&d#e", "https://host:80/a?b=c&d#e"),
        ("file:///already%20encoded", "file:///already%20encoded"),
        ("https://host/ü\n", "https://host/%C3%BC%0A"),
    ],
)
def test_uris_are_references_already(folder: Path, sources: Sources, argument: str, reference: str) -> None:
    assert expand(sources, argument) == [reference]
    assert expand(sources, "-", stdin=argument.encode(), separator=b"\0") == [reference]


@pytest.mark.parametrize("argument", ["http://[", "//[", "//a\u2100b", os.fsdecode(b"http://host/\xff")])
def test_an_argument_that_looks_like_a_broken_uri_is_no_crash(folder: Path, sources: Sources, argument: str) -> None:
    with suppress(SourceError):
        expand(sources, argument)
