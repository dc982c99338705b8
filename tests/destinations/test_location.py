"""Where data goes: two places have two locations, one place has one however it is written, and no secret is shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

import dlt
import pytest
from dlt.common.configuration.specs import AwsCredentials, GcpServiceAccountCredentials
from dlt.common.destination import Destination
from dlt.destinations.impl.databricks.configuration import DatabricksCredentials
from dlt.destinations.impl.ducklake.configuration import DuckLakeCredentials
from dlt.destinations.impl.fabric.configuration import FabricCredentials
from dlt.destinations.impl.lance.configuration import DirectoryCatalogCredentials
from dlt.destinations.impl.lancedb.configuration import LanceDBCredentials
from dlt.destinations.impl.weaviate.configuration import WeaviateCredentials

from pipelines.destinations.location import Location, location_of, pipeline_name
from sandbox import Sandbox
from tests.conftest import Postgres, Project
from tests.support.processes import kill_with_a_package_waiting, write_ids

SECRET = "s3cretpw"
D = dlt.destinations


def aws() -> AwsCredentials:
    return AwsCredentials(aws_access_key_id="AKIA", aws_secret_access_key=SECRET, region_name="eu-west-1")


def databricks(catalog: str, path: str) -> DatabricksCredentials:
    return DatabricksCredentials(catalog=catalog, server_hostname="adb.host", http_path=path, access_token=SECRET)


def fabric(database: str, account: str) -> FabricCredentials:
    credentials = FabricCredentials(azure_tenant_id="t", azure_client_id=account, azure_client_secret=SECRET)
    credentials.host, credentials.database = "fabric.host", database
    return credentials


ODBC = "driver=ODBC+Driver+18+for+SQL+Server"
# Each by the place and by what must make no difference: two of either are tried. Not one of them needs its driver here.
FACTORIES: dict[str, Callable[[str, str], Destination[Any, Any]]] = {
    "athena": lambda place, way: D.athena(f"s3://results-{place}", aws(), athena_work_group=way),
    "athena, catalogs": lambda place, way: D.athena("s3://results", aws(), aws_data_catalog=place),
    "bigquery": lambda place, way: D.bigquery(
        GcpServiceAccountCredentials(project_id=place, private_key=SECRET, client_email=f"{way}@host"), location="EU"
    ),
    "clickhouse": lambda place, way: D.clickhouse(f"clickhouse://{way}:{SECRET}@host:9440/{place}?connect_timeout=9"),
    "databricks": lambda place, way: D.databricks(databricks(place, f"/sql/{way}")),
    "dremio": lambda place, way: D.dremio(f"grpc://{way}:{SECRET}@host:32010/{place}"),
    "duckdb": lambda place, way: D.duckdb(f"{place}.duckdb"),
    "ducklake, a file": lambda place, way: D.ducklake(
        DuckLakeCredentials("lake", catalog=f"sqlite:///{place}.sqlite", storage=f"files-{way}")
    ),
    "ducklake, a server": lambda place, way: D.ducklake(
        DuckLakeCredentials("lake", catalog=f"postgresql://{way}:{SECRET}@host/{place}", storage="files")
    ),
    "fabric": lambda place, way: D.fabric(cast("Any", fabric(place, way))),
    "filesystem": lambda place, way: D.filesystem(f"s3://bucket/{place}", aws(), client_kwargs={"way": way}),
    "filesystem, here": lambda place, way: D.filesystem(f"bucket/{place}"),
    "lance": lambda place, way: D.lance(credentials=DirectoryCatalogCredentials(bucket_url=f"s3://bucket/{place}")),
    "lancedb": lambda place, way: D.lancedb(lance_uri=f"{place}.lancedb", credentials=LanceDBCredentials(api_key=way)),
    "motherduck": lambda place, way: D.motherduck(f"md:{place}?motherduck_token={way}{SECRET}"),
    "mssql": lambda place, way: D.mssql(f"mssql://{way}:{SECRET}@host/{place}?{ODBC}"),
    "postgres": lambda place, way: D.postgres(f"postgresql://{way}:{SECRET}@host/{place}?application_name={way}"),
    "postgres, a socket": lambda place, way: D.postgres(f"postgresql://{way}:{SECRET}@x/calls?host=/run/{place}"),
    "qdrant": lambda place, way: D.qdrant(qd_location=f"http://{place}:6333", options=None),
    "redshift": lambda place, way: D.redshift(f"redshift://{way}:{SECRET}@host/{place}?sslmode={way}"),
    "snowflake": lambda place, way: D.snowflake(f"snowflake://{way}:{SECRET}@account/{place}?warehouse={way}&role=r"),
    "sqlalchemy, MySQL": lambda place, way: D.sqlalchemy(f"mysql+pymysql://{way}:{SECRET}@host/{place}?charset=utf8"),
    "sqlalchemy, SQLite": lambda place, way: D.sqlalchemy(f"sqlite:///{place}.db"),
    "synapse": lambda place, way: D.synapse(f"synapse://{way}:{SECRET}@host/{place}?{ODBC}"),
    "weaviate": lambda place, way: D.weaviate(WeaviateCredentials(url=f"https://{place}.host", api_key=way + SECRET)),
}


def located(factory: Destination[Any, Any]) -> Location:
    return location_of(factory.configuration(factory.spec(), accept_partial=True), factory.destination_name)


@pytest.mark.parametrize("kind", FACTORIES)
def test_only_two_places_of_a_destination_are_different_locations(kind: str) -> None:
    dev, prod, same = (located(FACTORIES[kind](*each)) for each in (("dev", "ann"), ("prod", "ann"), ("dev", "bob")))
    assert pipeline_name(dev, "intercom") != pipeline_name(prod, "intercom")
    assert pipeline_name(dev, "intercom") == pipeline_name(same, "intercom")
    assert pipeline_name(dev, "intercom") != pipeline_name(dev, "other")
    assert "dev" in dev.shown
    assert not re.search("ann|bob|AKIA|secret|s3cr", dev.place + dev.shown)


def test_every_destination_of_dlt_is_here() -> None:
    """But for those that store nothing."""
    named = {kind.partition(",")[0] for kind in FACTORIES}
    assert named == set(D.__all__) - {"destination", "dummy"}
    assert located(D.dummy()).place == "dummy"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:1/s3cret@host:5432/calls",
        "postgresql://ann:1?s3cret@host:5432/calls",
        "postgresql://ann:1/s3c?r@host/calls?sslmode=require",
    ],
)
def test_a_password_that_cuts_its_url_is_not_shown(url: str) -> None:
    assert not re.search("s3c|:1", located(D.postgres(url)).shown)


def test_a_default_port_is_the_port_and_a_host_has_no_case() -> None:
    urls = ("postgresql://a:b@HOST/calls", "postgresql://c:d@host:5432/calls")
    assert len({pipeline_name(located(D.postgres(url)), "intercom") for url in urls}) == 1


def test_a_waiting_package_is_finished_after_driver_options_are_added(
    project: Project, api: Sandbox, postgres: Postgres
) -> None:
    api.configure(missing_share=0)
    load = ("--destination", "postgres", "--ids", write_ids(project, 1_000_001, 30))
    folders = project.folder / ".dlt/data/pipelines"
    assert project.load(*load, "--limit", "0").exit_code == 0
    (name,) = [path.name for path in folders.iterdir() if path.is_dir()]

    kill_with_a_package_waiting(project, postgres, load)
    env = {"DESTINATION__POSTGRES__CREDENTIALS": f"{postgres.url}&application_name=nightly"}
    done = project.load(*load, env=env)
    assert done.exit_code == 0, done.stderr
    assert done.summary["already_loaded"] > 0
    assert [path.name for path in folders.iterdir() if path.is_dir()] == [name]
