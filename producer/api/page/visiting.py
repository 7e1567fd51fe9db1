"""Sessions of the page: the cookie, and the check that forms come from our own pages (CSRF)."""

from typing import Final
from urllib.parse import urlsplit

from fastapi import Request
from starlette.responses import Response

from producer.api.page.rendering import PREFIX, SIGN_IN
from storage.sessions import SessionLimits
from storage.settings import Settings

# For TLS: the prefix `__Host-` prevents other hosts of the domain from setting the cookie.
SECURE_COOKIE: Final = "__Host-starlight"
PLAIN_COOKIE: Final = "starlight"
SAFE_METHODS: Final = ("GET", "HEAD")


def is_open_page(path: str) -> bool:
    """Whether a path of the page can be requested without a session."""
    return path == SIGN_IN or path.startswith(f"{PREFIX}/assets/")


def limit_sessions(settings: Settings) -> SessionLimits:
    """Return the limits of a session's duration."""
    return SessionLimits(settings.session_lifetime, settings.session_idle)


def read_token(request: Request) -> str | None:
    """Return the token of the session's cookie, or None."""
    return request.cookies.get(SECURE_COOKIE) or request.cookies.get(PLAIN_COOKIE)


def is_sent_by_tls(request: Request) -> bool:
    """Whether the browser sent this form by TLS, also if a proxy terminated it."""
    return request.headers.get("origin", "").startswith("https://")


def set_token(request: Request, response: Response, token: str) -> None:
    """Set the session cookie: until the browser is closed, not readable by scripts, not sent by other sites."""
    secure = is_sent_by_tls(request)
    name = SECURE_COOKIE if secure else PLAIN_COOKIE
    response.set_cookie(name, token, path="/", secure=secure, httponly=True, samesite="strict")


def forget_token(response: Response) -> None:
    """Delete the session cookie."""
    response.delete_cookie(PLAIN_COOKIE, path="/", httponly=True, samesite="strict")
    response.delete_cookie(SECURE_COOKIE, path="/", secure=True, httponly=True, samesite="strict")


def is_same_origin(request: Request) -> bool:
    """Whether a request comes from our own pages; safe methods may come from anywhere.

    Browsers send `Origin` with every form. They send `Sec-Fetch-Site` only to addresses that they trust.
    """
    if request.method in SAFE_METHODS:
        return True
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    origin = urlsplit(request.headers.get("origin", ""))
    return origin.scheme in ("http", "https") and origin.netloc == request.headers.get("host")
