"""Where data goes, told apart from every other place; what is made from it: a pipeline's name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import dlt
from dlt.common.configuration.exceptions import ConfigurationException
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


def location_of(config: DestinationClientConfiguration, destination: str) -> Location:
    """Where the data of `destination` is, from its configuration alone: nothing is connected to."""
    place = _data_location(config) or destination
    file = None
    if config.destination_type == "duckdb" and not place.startswith(":"):
        # dlt resolves a relative path too, but not before there is a pipeline
        file = Path(dlt.current.run_context().local_dir, place).resolve()
        place = str(file)
    query = getattr(config.credentials, "query", None) or ""
    shown = place if file else f"{destination} at {place}"
    return Location(destination, f"{place} {query}", file, shown)


def pipeline_name(location: Location, dataset: str) -> str:
    """The pipeline of a location and dataset, and so its working folder."""
    digest = hashlib.sha256(f"{location.identity} {dataset}".encode()).hexdigest()[:12]
    return f"intercom_calls_{location.destination}_{digest}"


def _data_location(config: DestinationClientConfiguration) -> str | None:
    try:
        return config.data_location()
    except ConfigurationException:  # said better where the whole configuration is resolved
        return None
