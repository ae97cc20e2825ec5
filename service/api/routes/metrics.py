"""What Prometheus reads."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from service.api.dependencies import ServicesDependency

router = APIRouter(tags=["health"])


@router.get(
    "/metrics", response_class=Response, responses={200: {"description": "Metrics", "content": {"text/plain": {}}}}
)
def show_metrics(services: ServicesDependency) -> Response:
    """Metrics in Prometheus' text format."""
    return Response(services.metrics.render(), media_type=CONTENT_TYPE_LATEST)
