"""What the routes need, made once per application and handed to them.

In the flow: create_app → **Services** → routes.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple, cast

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool

from service.admission import Admission
from service.api.courtesy import Courtesy
from service.api.guesses import Guesses
from service.api.scopes import check_scopes
from service.api.sessions import COOKIE, check_same_origin
from service.api.streams import Streams
from service.captures import CaptureStore
from service.erasure import Estate
from service.errors import AuthenticationError
from service.job_records import LOCAL_TENANT
from service.jobs import JobStore
from service.models import own_models, visible_models
from service.monitoring import ApiMetrics
from service.pictures import PictureStore
from service.queue import JobQueue
from service.redis_access import connect_redis
from service.resumable import ResumableUploads
from service.sessions import Sessions
from service.settings import Settings
from service.storage import BlobStore, make_blob_store
from service.tenants import SCOPES, Access, Tenants
from service.worker.celery_app import make_celery_app
from training.registry import Registry


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """The parts of the service that the API talks to; none of them is contacted before its first use."""

    settings: Settings
    jobs: JobStore
    tenants: Tenants
    sessions: Sessions
    admission: Admission
    captures: CaptureStore
    blobs: BlobStore
    uploads: ResumableUploads
    pictures: PictureStore
    queue: JobQueue
    metrics: ApiMetrics
    courtesy: Courtesy
    guesses: Guesses
    streams: Streams

    @property
    def estate(self) -> Estate:
        """Where what tenants own lies."""
        return Estate(
            settings=self.settings, tenants=self.tenants, jobs=self.jobs, uploads=self.uploads, blobs=self.blobs
        )

    def registry(self, tenant: str) -> Registry:
        """The models that a tenant sees: the package's, the operator's, and its own."""
        return visible_models(self.settings, tenant)

    def own_registry(self, tenant: str) -> Registry:
        """Those that were made for the tenant alone."""
        return own_models(self.settings, tenant)


def make_services(settings: Settings) -> Services:
    """Connect the parts by the settings."""
    jobs = JobStore(connect_redis(settings), settings)
    tenants = Tenants(jobs.redis)
    return Services(
        settings=settings,
        jobs=jobs,
        tenants=tenants,
        sessions=Sessions(jobs.redis, tenants),
        admission=Admission(jobs, settings),
        captures=CaptureStore(jobs),
        blobs=make_blob_store(settings, jobs.ledger.announce),
        uploads=ResumableUploads(settings.uploads_dir, jobs.ledger, settings.upload_expiry_s),
        pictures=PictureStore(jobs.redis),
        queue=JobQueue(make_celery_app(settings)),
        metrics=ApiMetrics(jobs, settings.worker_metrics_dir, settings.data_dir),
        courtesy=Courtesy(),
        guesses=Guesses(settings.max_wrong_keys_per_minute),
        streams=Streams(settings.max_event_streams_per_tenant),
    )


async def get_services(request: Request) -> Services:
    """Those of the application that answers this request."""
    return cast("Services", request.app.state.services)


# These are coroutines though they seldom wait: others would each be handed to a thread and back, which takes long while
# uploads keep this process busy.
ServicesDependency = Annotated[Services, Depends(get_services)]

_KEY = "A key made by `photosite keys create`; an operation names the scopes of which it must have one"

_bearer = HTTPBearer(auto_error=False, scheme_name="ApiKey", description=_KEY)


_cookie = APIKeyCookie(name=COOKIE, auto_error=False, scheme_name="Session", description="Begun by `POST /session`")


async def get_tenant(
    request: Request,
    services: ServicesDependency,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    token: Annotated[str | None, Depends(_cookie)],
) -> str:
    """Who is asking, by the key in `Authorization: Bearer KEY`, or else by the page's session.

    Raises:
        AuthenticationError: There is no key where one is needed, or it is not known.
        QuotaExceededError: Many wrong ones came from the same address.
        PermissionDeniedError: A browser asks for a change that no page of ours has asked it for; or the key is for
            other things.
    """
    if credentials is not None:
        access = await services.guesses.judge(request, credentials.credentials, services.tenants.authenticate)
    else:
        found = await run_in_threadpool(services.sessions.access_of, token) if token else None
        check_same_origin(request, proof=found is not None)
        if found is None and services.settings.require_keys:
            raise AuthenticationError("an API key is needed: send it as `Authorization: Bearer KEY`, or sign in")
        access = found or Access(LOCAL_TENANT, frozenset(SCOPES))
    check_scopes(access.scopes, request.method, request.scope["route"].path_format)
    return access.tenant


TenantDependency = Annotated[str, Depends(get_tenant)]


class Caller(NamedTuple):
    """Who asks, and the parts that may answer."""

    tenant: str
    services: Services


async def get_caller(tenant: TenantDependency, services: ServicesDependency) -> Caller:
    """Both in one, for routes with much else to ask for."""
    return Caller(tenant, services)


CallerDependency = Annotated[Caller, Depends(get_caller)]
