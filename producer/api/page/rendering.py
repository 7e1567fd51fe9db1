"""Rendering pages: templates, filters that escape text, and headers."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import Response

from starlight_vocabulary.escaping import escape as show_escapes
from starlight_vocabulary.words import Scope
from storage.version import VERSION

PREFIX: Final = "/page"
SIGN_IN: Final = f"{PREFIX}/sign-in"
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    # With `no-referrer`, browsers would send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
# Shown in place of an unknown figure.
UNKNOWN: Final = "\N{EN DASH}"
# Bytes per line of a hex view.
HEX_LINE: Final = 16


def is_page(path: str) -> bool:
    """Whether a path belongs to the page, which requires a session instead of a key."""
    return path == "/" or path.startswith(f"{PREFIX}/")


def show_text(text: str | None) -> Markup:
    """Return untrusted text as HTML; characters that are not printable, such as controls, become marked escapes."""
    return Markup("").join(_mark_runs(text or ""))


def show_lines(text: str | None) -> Markup:
    """Return untrusted text as `show_text` does, with newlines kept; carriage returns become escapes."""
    return Markup("\n").join(show_text(line) for line in (text or "").split("\n"))


def _mark_runs(text: str) -> Iterator[Markup]:
    for is_printable, run in groupby(text, str.isprintable):
        shown = "".join(run)
        yield escape(shown) if is_printable else Markup('<span class="escape">{}</span>').format(show_escapes(shown))


def show_hex(data: str | bytes | None, marked: int = 0) -> Markup:
    """Return a hex view of bytes, or of the UTF-8 of a text, in lines of offset, hex and ASCII.

    The first `marked` bytes are highlighted.
    """
    whole = data if isinstance(data, bytes) else (data or "").encode("utf-8", "surrogatepass")
    starts = range(0, len(whole), HEX_LINE)
    return Markup("\n").join(_show_hex_line(whole[at : at + HEX_LINE], at, marked - at) for at in starts)


def _show_hex_line(piece: bytes, at: int, marked: int) -> Markup:
    inside = min(len(piece), max(0, marked))
    digits = piece[:inside].hex(" "), piece[inside:].hex(" ")
    gap = " " if all(digits) else ""
    filling = " " * (3 * HEX_LINE - 1 - len(gap.join(digits)))
    letters = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in piece)
    shown = [_mark(digits[0]), gap, digits[1], filling, "  ", _mark(letters[:inside]), letters[inside:]]
    return Markup("{:06x}  ").format(at) + Markup("").join(shown)


def _mark(text: str) -> Markup | str:
    return Markup("<mark>{}</mark>").format(text) if text else ""


def find_name(uri: str) -> str:
    """Return the display name of an image: the file name of a blob, else the reference."""
    scheme, _, rest = uri.partition("://")
    return unquote(rest.partition("/")[2]) or uri if scheme == "blob" else uri


def show_duration(seconds: float | None) -> str:
    """Return seconds in the two largest units that are not 0, or a dash for None."""
    if seconds is None:
        return UNKNOWN
    whole = round(seconds)
    units = (("d", whole // 86400), ("h", whole // 3600 % 24), ("min", whole // 60 % 60), ("s", whole % 60))
    counted = [f"{count} {unit}" for unit, count in units if count]
    return " ".join(counted[:2]) or "0 s"


def show_time(time: datetime | None) -> Markup:
    """Return a time in UTC, to the second."""
    if time is None:
        return Markup("{}").format(UNKNOWN)
    time = time.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(time.isoformat(), f"{time:%Y-%m-%d %H:%M:%S}")


def show_count(count: float) -> str:
    """Return a number with its thousands separated."""
    return f"{count:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


TEMPLATES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {
    "text": show_text,
    # For attributes, where no elements are allowed.
    "plain": show_escapes,
    "lines": show_lines,
    "hex": show_hex,
    "name_of": find_name,
    "duration": show_duration,
    "time": show_time,
    "count": show_count,
    "query": urlencode,
}
TEMPLATES.globals |= {"page": PREFIX, "version": VERSION, "Scope": Scope}


def render(request: Request, template: str, *, status: int = 200, **values: object) -> HTMLResponse:
    """Return a page from this template, for the key that is signed in."""
    key = getattr(request.state, "key", None)
    html = TEMPLATES.get_template(template).render(key=key, path=request.url.path, **values)
    return HTMLResponse(html, status, HEADERS)


def redirect(path: str) -> RedirectResponse:
    """Return a redirect (303) to this path, after a form was processed."""
    return RedirectResponse(path, 303, HEADERS)


def render_problem(
    request: Request, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None, **more: object
) -> Response:
    """Return a page for a refused request, or a redirect to the sign-in page if nobody is signed in."""
    if status == 401 and request.method == "GET" and request.url.path != SIGN_IN:
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return redirect(SIGN_IN + (f"?{urlencode({'next': here})}" if here != "/" else ""))
    problem = {"status": status, "title": title, "detail": detail, "request_id": request.state.request_id}
    answer = render(request, "problem.html", status=status, problem=problem, errors=more.get("errors"))
    answer.headers.update({name: value for name, value in (headers or {}).items() if name != "WWW-Authenticate"})
    return answer
