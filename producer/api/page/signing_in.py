"""Signing in to the page with an API key, and signing out."""

import logging
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from producer.api.access import authenticate_key
from producer.api.page.rendering import SIGN_IN, is_page, redirect, render
from producer.api.page.visiting import forget_token, limit_sessions, read_token, set_token
from producer.api.problems import ProblemError
from producer.api.service import Shared
from storage.keys import ApiKey
from storage.sessions import end_session, end_sessions, open_session

WRONG = "This is not a valid key. `starlight keys create NAME` creates one, and shows it once."

log = logging.getLogger(__name__)
router = APIRouter(include_in_schema=False)


def check_next(path: str) -> str:
    """Return the path to continue at if it belongs to the page, else the start page."""
    is_ours = is_page(path.partition("?")[0]) and path.isprintable() and "\\" not in path
    return path if is_ours and not path.startswith("//") else "/"


@router.get(SIGN_IN)
def ask_for_key(request: Request, next: str = "/") -> Response:  # noqa: A002 - the name in the address
    """Show the sign-in form."""
    return render(request, "sign_in.html", next=check_next(next), wrong=None)


@router.post(SIGN_IN)
def sign_in(
    request: Request,
    service: Shared,
    key: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "/",  # noqa: A002 - the name of the field
) -> Response:
    """Open a session for this key."""
    try:
        found = authenticate_key(service, key)
    except ProblemError as error:
        if error.status != 401:
            raise
        return render(request, "sign_in.html", status=401, next=check_next(next), wrong=WRONG)
    if token := read_token(request):
        end_session(service.engine, token)
    log.info("sign-in to the page with key %s", found.prefix)
    answer = redirect(check_next(next))
    set_token(request, answer, open_session(service.engine, found, limit_sessions(service.settings)))
    return answer


@router.post("/page/sign-out")
def sign_out(request: Request, service: Shared, everywhere: Annotated[bool, Form()] = False) -> Response:
    """End this session, or all sessions of its key."""
    key: ApiKey = request.state.key
    if everywhere:
        end_sessions(service.engine, key)
    elif token := read_token(request):
        end_session(service.engine, token)
    answer = redirect(SIGN_IN)
    forget_token(answer)
    # So that the browser does not show cached pages any more.
    answer.headers["Clear-Site-Data"] = '"cache"'
    return answer
