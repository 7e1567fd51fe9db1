"""Who is signed in to the page: the session's cookie, and which site a form may come from."""

from typing import Final
from urllib.parse import urlsplit

from fastapi import Request
from starlette.responses import Response

from producer.api.page.rendering import PREFIX, SIGN_IN
from storage.sessions import SessionLimits
from storage.settings import Settings

# Where the browser came by TLS, the prefix keeps other hosts of the domain from setting the cookie.
SECURE_COOKIE: Final = "__Host-starlight"
PLAIN_COOKIE: Final = "starlight"
SAFE_METHODS: Final = ("GET", "HEAD")


def is_open_page(path: str) -> bool:
    """Whether a path of the page can be asked for without a session."""
    return path == SIGN_IN or path.startswith(f"{PREFIX}/assets/")


def limit_sessions(settings: Settings) -> SessionLimits:
    """Return how long sessions may last."""
    return SessionLimits(settings.session_lifetime, settings.session_idle)


def read_token(request: Request) -> str | None:
    """Return the token of the session's cookie, or None."""
    return request.cookies.get(SECURE_COOKIE) or request.cookies.get(PLAIN_COOKIE)


def came_by_tls(request: Request) -> bool:
    """Whether the browser says that it sent this form by TLS, which may have ended at a proxy."""
    return request.headers.get("origin", "").startswith("https://")


def set_token(request: Request, response: Response, token: str) -> None:
    """Have the browser keep the token until it is closed, away from scripts and other sites."""
    secure = came_by_tls(request)
    name = SECURE_COOKIE if secure else PLAIN_COOKIE
    response.set_cookie(name, token, path="/", secure=secure, httponly=True, samesite="strict")


def forget_token(response: Response) -> None:
    """Have the browser forget the token."""
    response.delete_cookie(PLAIN_COOKIE, path="/", httponly=True, samesite="strict")
    response.delete_cookie(SECURE_COOKIE, path="/", secure=True, httponly=True, samesite="strict")


def comes_from_here(request: Request) -> bool:
    """Whether a request comes from a page of ours: what changes something may come from nowhere else.

    Browsers say the origin with every form. They name no site where the address is not one that they trust.
    """
    if request.method in SAFE_METHODS:
        return True
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    origin = urlsplit(request.headers.get("origin", ""))
    return origin.scheme in ("http", "https") and origin.netloc == request.headers.get("host")
