"""Where a source's settings come from: its own section, or its arguments; and where its token goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox import Sandbox
from tests.conftest import Project
from tests.support.leaks import TOKEN, leaks
from tests.support.library import run_script

OTHER_TOKEN = "dG9rOmFub3RoZXJfd29ya3NwYWNl"

PRELUDE = """
import json, os
import dlt
from sources.intercom import ConfigurationError, intercom

def load(source):
    mine = dlt.pipeline("settings", destination=dlt.destinations.duckdb("mine.duckdb"), dataset_name=source.name)
    mine.run(source)
    with mine.sql_client() as client:
        return [row[0] for row in client.execute_sql("SELECT id FROM calls ORDER BY id")]

def refused(action):
    try:
        action()
    except Exception as error:
        return [type(error).__name__, str(error)]
    return ["not refused", ""]
"""


@pytest.fixture
def other() -> Iterator[Sandbox]:
    """Another workspace, on a host of its own."""
    with Sandbox(token=OTHER_TOKEN) as sandbox:
        yield sandbox


def run(project: Project, script: str, **env: str) -> Any:
    return run_script(project, PRELUDE + script, secret=OTHER_TOKEN, **env)


def write(project: Project, name: str, text: str) -> None:
    (project.folder / ".dlt").mkdir(exist_ok=True)
    (project.folder / ".dlt" / name).write_text(text)


def test_a_named_source_takes_all_of_its_settings_from_its_own_section(
    own: Project, api: Sandbox, other: Sandbox
) -> None:
    other.configure(calls=0, bodies={"eu": {"type": "call", "id": "eu"}})
    write(own, "config.toml", f'[sources.intercom_eu]\nbase_url = "{other.url}"\napi_version = "2.15"\n')
    write(own, "secrets.toml", f'[sources.intercom_eu]\naccess_token = "{OTHER_TOKEN}"\n')
    found = run(
        own,
        """
eu = intercom.clone(name="intercom_eu", section="intercom_eu")
print(json.dumps([load(eu(ids=["eu"])), load(intercom(ids=["1000001"]))]))
""",
    )
    assert found == [["eu"], ["1000001"]]
    assert (other.stats()["requests"], api.stats()["requests"]) == (1, 1)
    assert other.stats()["versions"] == {"2.15": 1}
    assert leaks(own.folder / "dlt", []) == []
    assert not any(OTHER_TOKEN.encode() in path.read_bytes() for path in own.folder.rglob("dlt/**/*") if path.is_file())


def test_arguments_override_settings(own: Project, other: Sandbox, api: Sandbox) -> None:
    other.configure(calls=0, bodies={"eu": {"type": "call", "id": "eu"}})
    found = run(
        own,
        f"""
given = dict(access_token={OTHER_TOKEN!r}, base_url={other.url!r}, api_version="2.16")
injected = dict(access_token=dlt.secrets.value, base_url=dlt.config.value, region=dlt.config.value)
print(json.dumps([load(intercom(ids=["eu"], **given)), load(intercom(ids=["1000001"], **injected)),
    refused(lambda: intercom(ids=["1"], region="mars", base_url=None)),
    refused(lambda: intercom(ids=["1"], share=1.5)),
    refused(lambda: intercom(ids=["1"], base_url="http://example.com"))]))
""",
    )
    assert found[:2] == [["eu"], ["1000001", "eu"]]
    assert [kind for kind, _ in found[2:]] == ["ConfigurationError"] * 3
    assert other.stats()["versions"] == {"2.16": 1}


def test_no_token_goes_to_the_host_of_another_section(own: Project, api: Sandbox, other: Sandbox) -> None:
    """A source that is only named inherits from `[sources.intercom]`: its token and that one's host do not mix."""
    for name in list(own.env):
        if name.startswith("SOURCES__"):
            del own.env[name]
    write(own, "config.toml", f'[sources.intercom]\nbase_url = "{api.url}"\n')
    named = "[sources.intercom.intercom_eu]\n"
    write(own, "secrets.toml", f'[sources.intercom]\naccess_token = "{TOKEN}"\n{named}access_token = "{OTHER_TOKEN}"\n')
    script = """
named = intercom.clone(name="intercom_eu")
apart = intercom.clone(name="intercom_au", section="intercom_au")
found = [refused(lambda: named(ids=["1"])), refused(lambda: apart(ids=["1"]))]
print(json.dumps([*found, load(intercom(ids=["1000001"]))]))
"""
    mixed, missing, loaded = run(own, script)
    assert mixed[0] == "ConfigurationError"
    assert "access_token is in [sources.intercom.intercom_eu] and base_url is in [sources.intercom]" in mixed[1]
    assert missing[0] == "ConfigFieldMissingException"  # dlt's own, which lists where it looked
    assert "SOURCES__INTERCOM_AU__ACCESS_TOKEN" in missing[1]
    assert loaded == ["1000001"]
    write(own, "config.toml", f'[sources.intercom]\nbase_url = "{api.url}"\n{named}base_url = "{other.url}"\n')
    assert run(own, script.replace('["1"]', '["1000001"]'))[0] == ["not refused", ""]


def test_a_setting_without_effect_is_refused_when_the_source_is_made(own: Project, api: Sandbox) -> None:
    """In the source's own section, too: a number would not be masked."""
    script = """
asked = {"SOURCES__INTERCOM__PRIVACY__DROP": intercom, "SOURCES__INTERCOM_EU__PRIVACY__MASK": None,
         "SOURCES__INTERCOM__HISTORY": intercom}
told = []
for variable, source in asked.items():
    os.environ[variable] = "true"
    told.append(refused(lambda: (source or intercom.clone(name="intercom_eu", section="intercom_eu"))(ids=["1"])))
    del os.environ[variable]
print(json.dumps(told))
"""
    own.env["SOURCES__INTERCOM_EU__ACCESS_TOKEN"] = TOKEN
    for (kind, message), word in zip(run(own, script), ("PRIVACY", "PRIVACY", "history"), strict=True):
        assert kind == "ConfigurationError"
        assert word in message
    assert api.stats()["requests"] == 0
