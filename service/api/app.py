"""The application factory: `service.api.app:create_app`.

In the flow: uvicorn → middleware → **app** → routes. The process imports no torch and no raw decoder: it checks a raw's
directories, keeps it, and leaves its pixels to the workers.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles

import training
from service.api.checks import check_parameters
from service.api.courtesy import CourtesyMiddleware
from service.api.dependencies import Services, make_services
from service.api.documentation import documentation_page
from service.api.errors import add_error_handlers
from service.api.middleware import (
    HeadMiddleware,
    LoadMiddleware,
    MetricsMiddleware,
    ProblemMiddleware,
    SecurityHeadersMiddleware,
    TusMiddleware,
)
from service.api.openapi import Api
from service.api.proxy import ProxyPathMiddleware
from service.api.request_ids import RequestIdMiddleware
from service.api.routes import (
    archives,
    batches,
    captures,
    datasets,
    denoise,
    health,
    jobs,
    long_jobs,
    metrics,
    models,
    previews,
    sessions,
    tus,
    webhooks,
)
from service.api.tracing import TraceMiddleware
from service.deliveries import DeliveryStore
from service.errors import BrokerUnavailableError
from service.outbound import GuardedTransport
from service.settings import Settings, load_settings
from service.sweeper import sweep
from service.webhook_sender import WebhookSender
from service.webhooks import secret_of
from training.errors import PhotositeError

WEB_FOLDER = Path(__file__).parent.parent / "web"
COMPRESSED_BYTES = 500
"""Smaller files of the page are sent as they are."""
ABANDONED_AFTER_S = 72 * 3600
"""Longer than any job works, where nothing else tells whether it still does."""

LEASE_RENEWALS = 2
"""Every worker that lives has found Redis again when its leases were due so often."""

logger = logging.getLogger(__name__)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the application.

    Args:
        settings: Its settings; none: from the environment.

    Returns:
        The application. It is made without a Redis, too; the probes then say that it is not ready.
    """
    settings = settings or load_settings()
    services = make_services(settings)
    app = Api(
        needs_keys=settings.require_keys,
        title="Photosite",
        summary="Denoises camera raw files before demosaicing: a raw goes in, the same raw comes out, the noise gone.",
        version=training.__version__,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        dependencies=[Depends(check_parameters)],
        lifespan=_lifespan,
        middleware=[
            Middleware(ProxyPathMiddleware, root_path=settings.root_path),
            Middleware(RequestIdMiddleware),
            Middleware(TraceMiddleware),
            Middleware(MetricsMiddleware, metrics=services.metrics),
            Middleware(SecurityHeadersMiddleware),
            Middleware(LoadMiddleware, at_most=settings.max_concurrent_requests),
            Middleware(CourtesyMiddleware, courtesy=services.courtesy),
            Middleware(TusMiddleware),
            Middleware(ProblemMiddleware),
            Middleware(HeadMiddleware),
        ],
    )
    app.state.services = services
    add_error_handlers(app)
    for group in (
        denoise,
        tus,
        archives,
        long_jobs,
        jobs,
        previews,
        batches,
        captures,
        models,
        datasets,
        webhooks,
        sessions,
        health,
    ):
        app.include_router(group.router)
    if not settings.api_metrics_port:  # else they are on a port of their own, which clients need not reach
        app.include_router(metrics.router)
    app.add_api_route("/", partial(_show_page, page_below(settings.root_path)), include_in_schema=False)
    app.add_api_route("/docs", _show_documentation, include_in_schema=False)
    app.mount("/web", GZipMiddleware(PageFiles(directory=WEB_FOLDER), minimum_size=COMPRESSED_BYTES), name="web")
    return app


class PageFiles(StaticFiles):
    """The page's files: a browser asks each time whether it has the newest, since their names do not change."""

    def file_response(self, *arguments: Any, **options: Any) -> Response:
        """A file, or 304."""
        response = super().file_response(*arguments, **options)
        response.headers["Cache-Control"] = "no-cache"
        return response


def page_below(root_path: str) -> str:
    """The page; its addresses begin with the path below which a proxy shows it."""
    return (WEB_FOLDER / "index.html").read_text(encoding="utf-8").replace('="/', f'="{root_path}/')


async def _show_page(page: str) -> HTMLResponse:
    return HTMLResponse(page, headers={"Cache-Control": "no-cache"})


async def _show_documentation(request: Request) -> HTMLResponse:
    return HTMLResponse(documentation_page(request.app.openapi(), str(request.base_url)))


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    beside = [asyncio.create_task(_sweep_for_ever(services)), asyncio.create_task(_make_sender(services).run())]
    yield
    for task in beside:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    services.jobs.close()


def _make_sender(services: Services) -> WebhookSender:
    return WebhookSender(
        DeliveryStore(services.jobs),
        partial(secret_of, services.settings),
        GuardedTransport(allow_private=services.settings.webhook_allow_private),
        observe=lambda outcome: services.metrics.webhooks.labels(outcome).inc(),
    )


async def _wait_until_leases_are_renewed(services: Services) -> None:
    """Wait until Redis is back, and a little longer.

    No lease can be renewed without it: those that lapsed meanwhile need not be a dead worker's.
    """
    while True:
        await asyncio.sleep(services.settings.sweep_interval_s)
        with suppress(BrokerUnavailableError):
            await run_in_threadpool(services.jobs.check)
            break
    await asyncio.sleep(LEASE_RENEWALS * services.settings.lease_renewal_s)


async def _sweep_for_ever(services: Services) -> None:
    """Look after jobs whose worker died, and uploads whose process did."""
    while True:
        try:
            await run_in_threadpool(services.blobs.remove_unlocked, services.settings.blob_grace_s)
            await run_in_threadpool(services.blobs.remove_abandoned, ABANDONED_AFTER_S)
            await run_in_threadpool(services.uploads.remove_expired)
            await run_in_threadpool(
                sweep, services.jobs, services.queue, services.blobs, services.metrics.observe_lapse
            )
        except BrokerUnavailableError as error:
            logger.warning("sweep: %s %s", error.message, error.detail)
            await _wait_until_leases_are_renewed(services)
        except PhotositeError as error:
            logger.warning("sweep: %s %s", error.message, error.detail)
        except Exception:  # without the sweep jobs would be lost: whatever happened, the next one comes
            logger.exception("sweep: unexpected error")
        await asyncio.sleep(services.settings.sweep_interval_s)
