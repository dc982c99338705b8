"""Where data goes, told apart from every other place; what is made from it: a pipeline's name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dlt
from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.destination import Destination
from dlt.common.destination.client import DestinationClientConfiguration


@dataclass(frozen=True)
class Location:
    """Where the data of a destination is.

    Attributes:
        destination: the destination's name.
        identity: text that no other location has.
        file: the DuckDB file, where that is the destination.
        shown: the location for people to read; holds no password.
    """

    destination: str
    identity: str
    file: Path | None
    shown: str


def location_of(factory: Destination[Any, Any]) -> Location:
    """Where `factory`'s data is, from its configuration alone: nothing is connected to.

    Raises:
        ConfigurationException
    """
    config = factory.configuration(factory.spec(), accept_partial=True)
    place = _data_location(config) or factory.destination_name
    file = None
    if factory.destination_type == "dlt.destinations.duckdb" and place != ":memory:":
        # dlt resolves a relative path too, but not before there is a pipeline
        file = Path(dlt.current.run_context().local_dir, place).resolve()
        place = str(file)
    query = getattr(config.credentials, "query", None) or ""
    shown = place if file else f"{factory.destination_name} at {place}"
    return Location(factory.destination_name, f"{place} {query}", file, shown)


def pipeline_name(location: Location, dataset: str) -> str:
    """The pipeline of a location and dataset, and so its working folder."""
    digest = hashlib.sha256(f"{location.identity} {dataset}".encode()).hexdigest()[:12]
    return f"intercom_calls_{location.destination}_{digest}"


def _data_location(config: DestinationClientConfiguration) -> str | None:
    try:
        return config.data_location()
    except ConfigurationException:  # said better where the whole configuration is resolved
        return None
