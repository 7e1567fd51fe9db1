"""Text from outside, made harmless for terminals, logs and spreadsheets: it is data there, and steers nothing."""

from typing import Final

# What spreadsheets begin a formula with, in every width, also behind what they skip.
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\N{FULLWIDTH EQUALS SIGN}", "\N{FULLWIDTH PLUS SIGN}",
    "\N{FULLWIDTH HYPHEN-MINUS}", "\N{FULLWIDTH COMMERCIAL AT}")  # fmt: skip


def escape(text: str) -> str:
    """Return the text with control characters, odd spaces and broken surrogates as escapes, on one line."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def escape_lines(text: str) -> str:
    """Return the text with each of its lines escaped, and all but the first indented: none looks like one of ours."""
    return "\n    ".join(map(escape, text.split("\n")))


def disarm(text: str) -> str:
    """Return the text as a cell that no spreadsheet calculates with: where it could be, behind an apostrophe."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
