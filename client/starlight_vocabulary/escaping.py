"""Makes untrusted text harmless for terminals, logs and spreadsheets, where it must be only data."""

from typing import Final

# The characters that start a formula in spreadsheets, also in full width, and the whitespace that spreadsheets skip.
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\N{FULLWIDTH EQUALS SIGN}", "\N{FULLWIDTH PLUS SIGN}",
    "\N{FULLWIDTH HYPHEN-MINUS}", "\N{FULLWIDTH COMMERCIAL AT}")  # fmt: skip


def escape(text: str) -> str:
    """Return the text on one line, with control characters, unusual spaces and lone surrogates as escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def escape_lines(text: str) -> str:
    """Return the text with each line escaped, and all but the first indented, so that none looks like our output."""
    return "\n    ".join(map(escape, text.split("\n")))


def disarm(text: str) -> str:
    """Return the text as a cell that no spreadsheet evaluates: possible formulas get an apostrophe in front."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
