"""Webhooks: how a receiver can tell that they are ours."""

from fastapi import APIRouter

from service.api.dependencies import ServicesDependency, TenantDependency
from service.api.errors import declare_problems
from service.errors import NotFoundError
from service.schemas import WebhookSecretSchema
from service.webhooks import format_secret, secret_of

router = APIRouter(tags=["jobs"])


@router.get("/webhook-secret", responses=declare_problems(401, 404, 503))
def show_webhook_secret(services: ServicesDependency, tenant: TenantDependency) -> WebhookSecretSchema:
    """The secret that signs the tenant's webhooks; 404 where the service sends none."""
    if services.settings.webhook_secret is None:
        raise NotFoundError("this service sends no webhooks; its operator sets PHOTOSITE_WEBHOOK_SECRET")
    return WebhookSecretSchema(secret=format_secret(secret_of(services.settings, tenant)))
