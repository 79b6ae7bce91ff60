"""All routes of this daemon, in the order in which the reference page and the OpenAPI document have them."""

from __future__ import annotations

from typing import Final

from lwm2md.http import (
    audit,
    backups,
    credentials,
    deviations,
    deviceprofiles,
    devices,
    draining,
    events,
    history,
    models,
    observations,
    openapi,
    operations,
    plugins,
    profiles,
    refused,
    reload,
    resources,
    status,
    templates,
    traces,
)
from lwm2md.http.routes import Route

ROUTES: Final[tuple[Route, ...]] = (
    *status.ROUTES[:1],
    *devices.ROUTES,
    *operations.ROUTES,
    *resources.ROUTES,
    *observations.ROUTES,
    *templates.ROUTES,
    *history.ROUTES,
    *events.ROUTES,
    *traces.ROUTES,
    *models.ROUTES,
    *plugins.ROUTES,
    *reload.ROUTES,
    *draining.ROUTES,
    *backups.ROUTES,
    *profiles.ROUTES,
    *deviceprofiles.ROUTES,
    *deviations.ROUTES,
    *credentials.ROUTES,
    *refused.ROUTES,
    *audit.ROUTES,
    *status.ROUTES[1:],
    *openapi.ROUTES,
)
