"""The command `check`: two requests to the API, one transaction on the destination that is rolled back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from dlt.destinations.sql_client import SqlClientBase
from rich.console import Console

from sources.intercom.api.answers import cause_of_403, read_error
from sources.intercom.api.client import Answer, BodyTooLarge, CallsApi, NoAnswer, UnknownName
from sources.intercom.call_requests import is_missing
from sources.intercom.errors import ApiUnreachable, ConfigurationError, TokenRefused
from sources.intercom.settings import Settings, resolve_settings
from sources.intercom.workspace import Asked, Workspace, read_workspace

from ..destinations.dataset import Dataset
from ..destinations.location import Location
from ..destinations.rights import require_usable
from ..errors import ExitCode, RunStopped, printable
from ..run.workspace import read_workspace as read_dataset_workspace

# Intercom's ids begin at 1: Intercom's own 404 proves that everything works.
NO_CALL = "0"
_VERDICTS = {None: ("?", "yellow"), ExitCode.DONE: ("ok", "green")}
_CHECK_TABLE = "_intercom_calls_check"


class Finding(NamedTuple):
    """One line of the report; `exit_code` is None if the subject could not be checked."""

    subject: str
    exit_code: ExitCode | None
    text: str


def run(destination: str, dataset: str) -> ExitCode:
    """Print the findings to stdout; the first one that is wrong gives the exit code.

    Raises:
        ConfigurationError: `[sources.intercom]` can't be read.
    """
    settings = resolve_settings()
    (api, token, version), asked = asyncio.run(_check_api(settings))
    found, of_dataset = _check_destination(destination, dataset, settings)
    findings = [api, token, _judge_workspace(asked, of_dataset, dataset), version, found]
    console = Console(highlight=False, markup=False)
    for finding in findings:
        verdict, style = _VERDICTS.get(finding.exit_code, ("wrong", "red"))
        console.print(f"{verdict:6}", style=style, end="")
        console.print(f"{finding.subject:12} {printable(finding.text)}", soft_wrap=True)
    return next((finding.exit_code for finding in findings if finding.exit_code), ExitCode.DONE)


async def _check_api(settings: Settings) -> tuple[list[Finding], Asked]:
    """Findings on API, token and API version, and the answer to `GET /me`."""
    where = settings.url + ("" if settings.base_url else f" (region {settings.region})")
    asked = Asked(reason="not judged without a token that is accepted")
    try:
        async with CallsApi(settings) as api:
            answer = await api.get_call(NO_CALL)
            findings = list(judge(answer, where, settings))
            if answer.status != 401 and findings[0].exit_code == ExitCode.DONE:
                await _ask_me(api, asked)
            return findings, asked
    except ConfigurationError as error:
        if settings.access_token:  # then it is the proxy or the address
            asked.reason = "not judged without an answer"
            return [Finding("API", ExitCode.USAGE, str(error)), *_not_judged()], asked
        token = Finding("token", ExitCode.USAGE, str(error))
        version = _unknown("API version", "not judged without a token")
        return [_unknown("API", f"{where}: not asked"), token, version], asked
    except (NoAnswer, ApiUnreachable, BodyTooLarge) as error:
        reason = str(error) if settings.url in str(error) else f"{settings.url}: {error}"
        if not isinstance(error, (ApiUnreachable, UnknownName)):  # their messages say it
            reason += "; check the network, HTTPS_PROXY and base_url"
        asked.reason = "not judged without an answer"
        return [Finding("API", ExitCode.FAILED, reason), *_not_judged()], asked


async def _ask_me(api: CallsApi, asked: Asked) -> None:
    try:
        asked.workspace, reason = read_workspace(await api.get_me())
        asked.reason = f"not told ({reason})"
    except (NoAnswer, ApiUnreachable, BodyTooLarge, TokenRefused) as error:
        asked.reason = f"not told ({error})"


def _judge_workspace(asked: Asked, of_dataset: Workspace | None, dataset: str) -> Finding:
    of_token = asked.workspace
    if of_token is None:
        return _unknown("workspace", asked.reason)
    if of_dataset is not None and of_dataset.id_code != of_token.id_code:
        wrong = f"{of_token}, but dataset {dataset} holds calls of workspace {of_dataset}: "
        fix = "give the token of that workspace, or another dataset (--dataset)"
        return Finding("workspace", ExitCode.TOKEN_REFUSED, wrong + fix)
    return _ok("workspace", ", ".join(filter(None, (str(of_token), of_token.timezone, of_token.region))))


def judge(answer: Answer, where: str, settings: Settings) -> Iterator[Finding]:
    """Findings from the answer to `GET /calls/0` on API, token and version (Intercom 2.14)."""
    error = read_error(answer)
    reply = f"HTTP {answer.status}" + (f", {error.message}" if error.message else "")
    api, token = _ok("API", where), _ok("token", "accepted, and may read calls")
    version = _ok("API version", settings.api_version)
    if answer.status == 401:
        hint = f". A token of a workspace hosted elsewhere answers 401 too: region is {settings.region}, "
        elsewhere = "" if settings.base_url else hint + "there are us, eu and au"
        token = _refused(f"not accepted ({reply}): copy it again from Intercom's developer hub{elsewhere}")
        version = _unknown("API version", f"{settings.api_version}: not judged without a token that is accepted")
    elif answer.status == 403 and error.is_intercoms:
        token = _refused(f"may not read calls ({reply}): {cause_of_403(error)}")
    elif answer.status == 400 and "version" in f"{error.code} {error.message}".lower():
        token = _unknown("token", "not judged by an answer about the version")
        wrong = f'{settings.api_version} is none of Intercom\'s ({reply}): set api_version = "2.14"'
        version = Finding("API version", ExitCode.USAGE, wrong)
    elif answer.status >= 500:
        trouble = f"{where} is in trouble ({reply}): try again later"
        yield from (Finding("API", ExitCode.FAILED, trouble), *_not_judged())
        return
    elif answer.status not in (200, 429) and not is_missing(answer.status, error.code):
        odd = f"{where} does not answer as Intercom does ({reply}): check base_url and the proxy"
        yield from (Finding("API", ExitCode.FAILED, odd), *_not_judged())
        return
    yield from (api, token, version)


def _check_destination(destination: str, dataset: str, settings: Settings) -> tuple[Finding, Workspace | None]:
    """Whether it can be loaded into, and the dataset's workspace."""
    try:
        there = Dataset(destination, dataset, settings.lock_wait_seconds, to_write=True)
        if there.location.is_new:
            return _ok("destination", f"{there.location.shown} (made by the first load)"), None
        tried = there.ask(lambda client: _try_writing(client, there.location), read_only=False)
        workspace = there.ask(read_dataset_workspace)
    except RunStopped as error:
        return Finding("destination", error.exit_code, str(error)), None
    can = "can be written" if tried else "reachable"
    return _ok("destination", f"{there.location.shown}, dataset {dataset}: {can}"), workspace


class _RollBack(Exception):
    """Ends the transaction."""


def _try_writing(client: SqlClientBase[Any], there: Location) -> bool:
    """Make a table in the dataset and in dlt's staging, and roll back; False where DDL can't be rolled back.

    For PostgreSQL this checks the rights instead: when all tables exist, a load needs no right to make one.
    """
    if there.is_postgres or there.file is not None:
        require_usable(client, there)
    if there.is_postgres:
        return True
    if not client.capabilities.supports_ddl_transactions:
        client.execute_sql("SELECT 1")
        return False
    with suppress(_RollBack), client.begin_transaction():
        _make_table(client)
        with client.with_staging_dataset():
            _make_table(client)
        raise _RollBack
    return True


def _make_table(client: SqlClientBase[Any]) -> None:
    if not client.has_dataset():
        client.create_dataset()
    client.execute_sql(f"CREATE TABLE {client.make_qualified_table_name(_CHECK_TABLE)} (id varchar(1))")


def _not_judged() -> list[Finding]:
    return [_unknown(subject, "not judged without an answer") for subject in ("token", "API version")]


def _ok(subject: str, text: str) -> Finding:
    return Finding(subject, ExitCode.DONE, text)


def _unknown(subject: str, text: str) -> Finding:
    return Finding(subject, None, text)


def _refused(text: str) -> Finding:
    return Finding("token", ExitCode.TOKEN_REFUSED, text)
