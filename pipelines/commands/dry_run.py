"""`load --dry-run`: what a load would do. Takes no lock and writes nothing."""

from __future__ import annotations

import logging
import math
from typing import Any

from sources.intercom.fetch import will_sweep
from sources.intercom.ids.read import IdList
from sources.intercom.plan import Plan
from sources.intercom.settings import Settings

from ..destinations.dataset import Dataset
from ..errors import ExitCode
from ..run.request import LoadRequest
from ..summary import counted

logger = logging.getLogger("intercom_calls")

# Intercom's limit for a private app
REQUESTS_A_MINUTE = 10_000


def dry_run(request: LoadRequest, ids: IdList, settings: Settings) -> dict[str, Any]:
    """Log the plan, and return what `--json` prints. Sends no request to the API.

    It reads the destination without a pipeline, as `status` does: dlt would empty the half-made working folder of a
    load that is running.

    Raises:
        DestinationFailed, UsageError
    """
    plan = Plan(ids.ids, request.refresh, settings.settle_hours)
    dataset = Dataset(request.destination, request.dataset, settings.lock_wait_seconds)
    if not dataset.location.is_new:
        dataset.ask(plan.ask_client)
    plan.close()
    to_fetch = plan.to_fetch if request.limit is None else min(plan.to_fetch, request.limit)
    minutes = to_fetch / (REQUESTS_A_MINUTE * request.share)
    sweep = will_sweep(request.strategy, to_fetch)
    planned = {
        "requested": plan.requested,
        "duplicates": ids.duplicates,
        "blank": ids.blank,
        "skipped": ids.skipped,
        "already_loaded": plan.already_loaded,
        "to_fetch": to_fetch,
        "requests": to_fetch,
        "minutes": round(to_fetch / REQUESTS_A_MINUTE, 4),
        "sweep": sweep,
        "destination": request.destination,
        "dataset": request.dataset,
    }
    logger.info(
        "%s: %s already loaded, %s known as missing, %s to fetch: %s by id, %s at the full rate%s",
        counted(plan.requested, "id"),
        f"{plan.already_loaded:,}",
        f"{plan.missing:,}",
        f"{to_fetch:,}",
        counted(to_fetch, "request"),
        f"{math.ceil(minutes * 60):,} s" if minutes < 2 else f"{minutes:,.0f} min",
        "; pages of calls are tried first" if sweep else "",
        extra={"fields": {"event": "end", "exit_code": ExitCode.DONE, **planned}},
    )
    return planned
