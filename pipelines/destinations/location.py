"""The location of data: one for each database, project, catalog or folder, however it is configured.

The pipeline's name, its working folder and the lock are made from it. So it has what tells two places apart (host,
port, database, project, catalog, bucket and path), and nothing that may change for the same place: no driver options,
no user, no password.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import dlt
from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.configuration.specs import ConnectionStringCredentials
from dlt.common.destination.client import DestinationClientConfiguration

# Each destination's configuration and credentials have other attributes; a missing value is None.
Config = Any


@dataclass(frozen=True)
class Location:
    """Where the data of a destination is.

    Attributes:
        destination: the destination's name.
        place: tells it apart from every other place of that destination.
        file: the DuckDB file, where that is the destination.
        shown: the location for people to read; holds no password.
        is_postgres: whether it is a PostgreSQL database.
    """

    destination: str
    place: str
    file: Path | None
    shown: str
    is_postgres: bool

    @property
    def is_new(self) -> bool:
        """Whether the DuckDB file does not exist yet; connecting to it would make an empty one."""
        return self.file is not None and not self.file.exists()


def location_of(config: DestinationClientConfiguration, destination: str) -> Location:
    """The location of a destination's data, from its configuration; makes no connection."""
    kind = config.destination_type
    if kind in _DATABASE_SERVERS:
        place = _database(config.credentials, _DATABASE_SERVERS[kind]) or destination
    else:
        place = _PLACES.get(kind, _as_dlt_says)(config) or destination
    file = None
    if kind == "duckdb" and not place.startswith((":", "md:")):
        # dlt resolves a relative path only when there is a pipeline
        file = Path(dlt.current.run_context().local_dir, place).resolve()
        place = str(file)
    shown = place if file else f"{destination} at {place}"
    if _is_misread(config.credentials):
        shown = f"{destination} (its URL is misread and not shown: percent-encode the password)"
    return Location(destination, place, file, shown, kind == "postgres")


def pipeline_name(location: Location, dataset: str) -> str:
    """The pipeline of a location and dataset, and so its working folder."""
    digest = hashlib.sha256(f"{location.place}  {dataset}".encode()).hexdigest()
    return f"intercom_calls_{location.destination}_{digest[:12]}"


def _is_misread(credentials: object) -> bool:
    """Whether part of a password may be read as the database or an option: a `/` or `?` in it splits the URL there."""
    if not isinstance(credentials, ConnectionStringCredentials):
        return False
    options = (str(word) for pair in (credentials.query or {}).items() for word in pair)
    return any("@" in text for text in (credentials.database or "", *options))


def _motherduck(config: Config) -> str | None:
    # only the token tells accounts apart, and it is secret
    return config.credentials and f"md:{config.credentials.database}"


def _ducklake(config: Config) -> str | None:
    """A lake is its catalog; a catalog on a server has one lake for each metadata schema."""
    credentials = config.credentials
    catalog = credentials and credentials.catalog
    if not catalog:
        return None
    kind = (catalog.drivername or "").partition("+")[0].replace("postgresql", "postgres")
    if kind in ("duckdb", "sqlite"):
        return f"{kind}:{_absolute(catalog.database)}"
    schema = credentials.metadata_schema or credentials.ducklake_name or ""
    return f"{kind}://{_server(catalog, _PORTS.get(kind)) or ''}/{catalog.database or ''}#{schema}"


def _databricks(config: Config) -> str | None:
    credentials = config.credentials
    host = credentials and credentials.server_hostname
    return f"{host.lower()}/{credentials.catalog}" if host else None


def _bigquery(config: Config) -> str | None:
    project: str | None = config.project_id or (config.credentials and config.credentials.project_id)
    return project


def _athena(config: Config) -> str | None:
    """The catalog of a region. Bucket names are unique, so the bucket of the results tells two accounts apart."""
    region = (config.credentials and config.credentials.region_name) or ""
    catalog = (config.aws_data_catalog or "AwsDataCatalog").lower()
    return f"{region}/{catalog} ({(config.query_result_bucket or '').rstrip('/')})"


def _sqlalchemy(config: Config) -> str | None:
    credentials = config.credentials
    if not credentials or not credentials.drivername:
        return None
    backend = credentials.drivername.partition("+")[0]
    query = credentials.query or {}
    if backend in ("sqlite", "duckdb"):
        database = credentials.database
        return f"{backend}:{_absolute(database)}" if database and not database.startswith(":") else _as_dlt_says(config)
    odbc = {
        name.strip().lower(): value.strip()
        for name, _, value in (part.partition("=") for part in str(query.get("odbc_connect", "")).split(";"))
    }
    server = _server(credentials, _PORTS.get(backend)) or odbc.get("server") or query.get("unix_socket") or ""
    return f"{backend}://{server}/{credentials.database or odbc.get('database') or ''}"


def _as_dlt_says(config: Config) -> str | None:
    """Dlt's own location: what one query engine can reach."""
    try:
        location: str | None = config.data_location()
    except (ConfigurationException, AttributeError, TypeError):  # reported when the whole configuration is resolved
        return None
    return _without_user(location) if location and "://" in location else location


def _database(credentials: Config, port: int | None) -> str | None:
    """A database of a server: `host:port/database`."""
    server = credentials and _server(credentials, port)
    if not server:
        return None
    return f"{server}/{_options(credentials).get('dbname') or credentials.database or ''}"


def _server(credentials: Config, default_port: int | None) -> str | None:
    # a PostgreSQL URL may name the server in its options, as sockets need it
    query = _options(credentials)
    host = query.get("host") or query.get("hostaddr") or credentials.host
    port = query.get("port") or credentials.port or default_port
    if not host:
        return None
    host = host if host.startswith("/") else host.lower()
    return f"{host}:{port}" if port else str(host)


def _options(credentials: Config) -> dict[str, Any]:
    return getattr(credentials, "query", None) or {}


def _bucket(url: str | None, credentials: Config) -> str | None:
    """A folder on this machine or in a bucket; with the bucket's owner if bucket names are not unique."""
    if not url:
        return None
    scheme, _, _ = url.partition("://")
    if scheme == url or scheme == "file":
        return _absolute(url if scheme == url else unquote(urlsplit(url).path))
    owner = getattr(credentials, "endpoint_url", None) or getattr(credentials, "azure_storage_account_name", None)
    # in Azure's URLs the part before the @ is the container
    place = (url if scheme.startswith(("az", "abfs", "adl")) else _without_user(url)).partition("?")[0].rstrip("/")
    return f"{place} ({_without_user(owner)})" if owner else place


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2].lower(), query="", fragment="").geturl().rstrip("/")


def _absolute(path: str | None) -> str:
    return str(Path(dlt.current.run_context().local_dir, path or "").resolve())


_PORTS = {"postgres": 5432, "postgresql": 5432, "mysql": 3306, "mariadb": 3306, "mssql": 1433, "oracle": 1521}
# Servers whose place is `host:port/database`, with their default port.
_DATABASE_SERVERS = {
    "clickhouse": 9440,
    "dremio": 32010,
    "fabric": 1433,
    "mssql": 1433,
    "postgres": 5432,
    "redshift": 5439,
    "snowflake": None,
    "synapse": 1433,
}
_PLACES: dict[str, Callable[[Config], str | None]] = {
    "athena": _athena,
    "bigquery": _bigquery,
    "databricks": _databricks,
    "ducklake": _ducklake,
    "filesystem": lambda config: _bucket(config.bucket_url, config.credentials),
    "motherduck": _motherduck,
    "sqlalchemy": _sqlalchemy,
}
