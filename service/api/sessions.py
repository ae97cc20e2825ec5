"""The session's cookie, and the proof that a request with one comes from our own page.

In the flow: browser → cookie → **same origin?** → session → tenant.

Source: RFC 6265bis, "Cookies: HTTP State Management Mechanism", SameSite; W3C "Fetch Metadata Request Headers", for
Sec-Fetch-Site; RFC 6454, section 7, for Origin.
"""

from typing import Literal, TypedDict
from urllib.parse import urlsplit

from fastapi import Request, Response

from service.errors import PermissionDeniedError
from service.sessions import LIFETIME_S

COOKIE = "photosite_session"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class CookieAttributes(TypedDict):
    """What a browser is told about the cookie beside its value."""

    path: str
    secure: bool
    httponly: bool
    samesite: Literal["strict"]


def set_cookie(response: Response, request: Request, token: str) -> None:
    """Hand a session to the browser: out of reach for scripts, and not sent from other sites."""
    response.set_cookie(COOKIE, token, max_age=LIFETIME_S, **_attributes(request))


def delete_cookie(response: Response, request: Request) -> None:
    """Take it back."""
    response.delete_cookie(COOKIE, **_attributes(request))


def _attributes(request: Request) -> CookieAttributes:
    """Sent to us alone: over https where we are asked so, and below a proxy's path only there."""
    return {
        "path": request.scope.get("root_path") or "/",
        "secure": request.url.scheme == "https",
        "httponly": True,
        "samesite": "strict",
    }


def check_same_origin(request: Request, *, proof: bool) -> None:
    """Refuse a change that another site's page has asked for in our user's browser.

    Browsers say by themselves where a request comes from, and pages cannot keep them from it.

    Args:
        request: What came; reading is always allowed, since the answer stays out of the other page's reach.
        proof: Whether to refuse also what does not say where it comes from: no browser sends that.

    Raises:
        PermissionDeniedError: It comes from elsewhere.
    """
    if request.method in SAFE_METHODS:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        same = site in {"same-origin", "none"}
    elif origin is not None:
        same = urlsplit(origin).netloc == request.headers.get("host", "")
    else:
        same = not proof
    if not same:
        raise PermissionDeniedError("the request comes from another site's page, or does not say from where")
