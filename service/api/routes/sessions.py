"""`/session`: the page signs in with a key, once, and says who is signed in."""

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from service.api.bodies import JsonRoute
from service.api.dependencies import Services, ServicesDependency
from service.api.errors import declare_headers, declare_problems
from service.api.sessions import COOKIE, check_same_origin, delete_cookie, set_cookie
from service.job_records import LOCAL_TENANT
from service.schemas import SessionRequest, SessionSchema

router = APIRouter(prefix="/session", tags=["session"], route_class=JsonRoute)


@router.get("", responses=declare_problems(503))
async def show_session(request: Request, response: Response, services: ServicesDependency) -> SessionSchema:
    """Who is signed in, and whether anybody need be; a session that is good lasts 12 hours more."""
    token = request.cookies.get(COOKIE, "")
    access = await run_in_threadpool(services.sessions.access_of, token)
    if access is not None:
        set_cookie(response, request, token)
    response.headers["Cache-Control"] = "no-store"
    return _describe(access.tenant if access else None, services)


@router.post(
    "",
    responses={
        200: {"description": "A session has begun", "headers": declare_headers(Set_Cookie="The session")},
        **declare_problems(401, 403, 408, 413, 415, 422, 429, 503),
    },
)
async def begin_session(
    body: SessionRequest, request: Request, response: Response, services: ServicesDependency
) -> SessionSchema:
    """Sign in with an API key: from here on a cookie stands for it, which no script can read."""
    check_same_origin(request, proof=False)
    token, tenant = await services.guesses.judge(request, body.key, services.sessions.begin)
    set_cookie(response, request, token)
    response.headers["Cache-Control"] = "no-store"
    return _describe(tenant, services)


@router.delete("", status_code=204, responses=declare_problems(403, 503))
async def end_session(request: Request, services: ServicesDependency) -> Response:
    """Sign out."""
    token = request.cookies.get(COOKIE)
    check_same_origin(request, proof=token is not None)
    if token is not None:
        await run_in_threadpool(services.sessions.end, token)
    response = Response(status_code=204)
    delete_cookie(response, request)
    return response


def _describe(tenant: str | None, services: Services) -> SessionSchema:
    required = services.settings.require_keys
    shown = tenant if tenant is not None or required else LOCAL_TENANT
    return SessionSchema(authenticated=tenant is not None, keys_required=required, tenant=shown)
