"""No frame of a failure holds the token: error trackers send out locals, and `rich` prints them."""

from __future__ import annotations

import asyncio
import io
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any

import dlt
import pytest
from dlt.common.configuration.specs import BaseConfiguration
from dlt.pipeline.exceptions import PipelineStepFailed
from rich.console import Console
from rich.traceback import Traceback

from sandbox import Sandbox
from sources.intercom import IntercomError, intercom
from sources.intercom.api.client import BodyTooLarge, CallsApi, NoAnswer
from sources.intercom.fetch import Fetch
from sources.intercom.settings import Settings
from tests.support.hosts import Authority, Host

SECRET = "dG9rOjdmYzE5N2QwX3NlY3JldF9vZl90aGVfZnJhbWVzXzI6MA=="


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The failure and all that it came from, what `from None` hides included."""
    seen: set[int] = set()
    left = [error]
    while left:
        one = left.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            left += [one.__cause__, one.__context__]


def held(error: BaseException) -> list[str]:
    """Where the secret is found: in an exception, in the locals of its frames, or in what these hold."""
    found: list[str] = []
    for cause in causes(error):
        found += [f"{type(cause).__name__}: {path}" for path in secrets_in(vars(cause) | {"args": cause.args})]
        at = cause.__traceback__
        while at is not None:
            code, inside = at.tb_frame.f_code, at.tb_frame.f_locals
            if not code.co_filename.endswith(Path(__file__).name):
                found += [
                    f"{code.co_filename}:{code.co_name}: {path}"
                    for path in secrets_in(inside, is_ours(code.co_filename))
                ]
            at = at.tb_next
    return found


def is_ours(file: str) -> bool:
    """Whether frames of this file hold what the source made, and not all that a pipeline was given."""
    return "sources/intercom" in file or "/aiohttp/" in file or "/asyncio/" in file


def secrets_in(value: Any, deep: bool = True) -> Iterator[str]:
    """Paths to the secret: by repr, and through containers, attributes, closures and coroutines if deep."""
    seen: set[int] = set()
    left: list[tuple[str, Any, int]] = [("", value, 0)]
    while left:
        path, one, depth = left.pop()
        if isinstance(one, (str, bytes, bytearray, memoryview)):
            text = one if isinstance(one, str) else bytes(one).decode("latin-1")
            if SECRET in text:
                yield path
            continue
        if id(one) in seen or isinstance(one, (type, ModuleType, int, float)) or one is None:
            continue
        seen.add(id(one))
        if depth == 1 and SECRET in repr(one):
            yield f"{path} (repr)"
        if depth < (12 if deep else 2):
            left += [(f"{path}.{name}", inner, depth + 1) for name, inner in parts(one)]


def parts(one: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(one, BaseConfiguration):  # the settings' secret: the one place where the token may be
        return
    if isinstance(one, Mapping):
        for key, inner in list(one.items()):
            yield f"key {key!r:.20}", key
            yield f"[{key!r:.20}]", inner
    elif isinstance(one, (list, tuple, set, frozenset)) or type(one).__name__ == "deque":
        yield from ((str(number), inner) for number, inner in enumerate(list(one)))
    elif isinstance(one, FunctionType):
        for cell in one.__closure__ or ():
            with suppress(ValueError):  # empty
                yield "closure", cell.cell_contents
    elif isinstance(one, MethodType):
        yield "self", one.__self__
    for name in {*getattr(one, "__dict__", {}), *(slot for kind in type(one).__mro__ for slot in slots(kind))}:
        try:
            yield name, getattr(one, name)
        except Exception:  # noqa: BLE001, S112  not set, or a property that can't be asked
            continue
    for frame in ("cr_frame", "gi_frame", "tb_frame"):
        if (inside := getattr(one, frame, None)) is not None:
            yield frame, dict(inside.f_locals)


def slots(kind: type) -> tuple[str, ...]:
    named = getattr(kind, "__slots__", ())
    return (named,) if isinstance(named, str) else tuple(named)


def printed(error: BaseException) -> str:
    """As `rich` prints it, with the locals, and nothing cut off."""
    console = Console(file=io.StringIO(), width=500)
    shown = Traceback.from_exception(
        type(error), error, error.__traceback__, show_locals=True, locals_max_string=100_000, locals_max_length=10_000
    )
    console.print(shown)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


Where = Callable[[Sandbox, Authority], str]


def faulty(fault: str) -> Where:
    def where(api: Sandbox, authority: Authority) -> str:
        api.configure(token=SECRET, fault_ranges=[(1, None, fault)])
        return api.url

    return where


# What goes wrong: where the API is then.
KINDS: dict[str, Where] = {
    **{kind: faulty(kind) for kind in ("status:401", "status:403", "html:403", "html:404", "status:500", "bare:429")},
    **{kind: faulty(kind) for kind in ("not_json", "html200", "broken_gzip", "huge", "redirect", "other_call")},
    **{kind: faulty(kind) for kind in ("hang", "drip:1", "reset", "reset_mid", "cut", "wrong_length:10")},
    "refused": lambda api, authority: "http://127.0.0.1:9",
    "DNS": lambda api, authority: "https://api.intercom.invalid",
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("the program openssl, which makes the certificates, is not installed")
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


def settings_for(url: str) -> Settings:
    settings: dict[str, Any] = {"retry_seconds": 0.1, "read_timeout_seconds": 0.5, "connect_timeout_seconds": 0.5}
    return Settings(access_token=SECRET, base_url=url, **settings)


def request_once(settings: Settings) -> BaseException | None:
    """What one request of the client ends in; None where it is an answer, which is looked through too."""

    async def main() -> None:
        async with CallsApi(settings) as api:
            assert SECRET not in f"{api!r} {api._session!r} {settings!r} {settings}"
            try:
                answer = await api.get_call("1000001")
            finally:
                # whatever happened: neither the client nor its session holds it now
                assert list(secrets_in({"api": api})) == []
            assert list(secrets_in({"answer": answer})) == []

    try:
        asyncio.run(main())
    except (NoAnswer, BodyTooLarge, IntercomError) as error:
        return error
    return None


def failure_of(settings: Settings) -> BaseException | None:
    """What a fetch ends in; its own locals and errors are looked through too."""
    with Fetch(iter([str(1_000_001 + number) for number in range(25)]), settings, chunk_size=100) as fetch:
        chunk = fetch.take()
    assert list(secrets_in({"errors": chunk.errors, "fetch": fetch})) == []
    return fetch.failure


def check_frames(error: BaseException | None) -> None:
    if error is not None:
        with pytest.raises(type(error)) as caught:  # as the source raises it
            raise error
        assert held(caught.value) == []
        assert SECRET not in printed(caught.value)


def test_the_search_finds_what_it_looks_for() -> None:
    class Holder:
        def __init__(self) -> None:
            self.inner = [{"deep": (f"Bearer {SECRET}".encode(),)}]

    def fail_hidden() -> None:
        try:
            names["fail"](Holder())
        except ValueError:
            raise KeyError from None

    names: dict[str, Any] = {}
    exec(compile("def fail(holder): raise ValueError", "sources/intercom/x.py", "exec"), names)  # noqa: S102
    with pytest.raises(KeyError) as caught:
        fail_hidden()
    assert held(caught.value) == ["sources/intercom/x.py:fail: .['holder'].inner.0.['deep'].0"]
    assert list(secrets_in({"settings": settings_for("http://127.0.0.1:9")})) == []


@pytest.mark.parametrize("kind", KINDS)
def test_no_frame_of_a_failure_holds_the_token(api: Sandbox, authority: Authority, kind: str) -> None:
    settings = settings_for(KINDS[kind](api, authority))
    check_frames(request_once(settings))
    check_frames(failure_of(settings))


@pytest.mark.parametrize("trusted", [True, False], ids=["plain server", "unknown authority"])
def test_no_frame_of_a_failed_handshake_holds_the_token(authority: Authority, trusted: bool) -> None:
    tls = None if trusted else authority.certify("refused", "IP:127.0.0.1")
    with Host(200, tls=tls) as host:
        settings = settings_for(host.url.replace("http:", "https:"))
        for failure in (request_once(settings), failure_of(settings)):
            assert failure is not None
            check_frames(failure)


def test_an_answer_that_repeats_the_token_in_each_of_its_parts_is_freed_of_it() -> None:
    for status in (200, 401, 403, 500):
        with Host(status, '{"id":"1000001","note":"HEADERS"}', echo=True) as host:
            settings = settings_for(host.url)
            check_frames(request_once(settings))
            check_frames(failure_of(settings))


@pytest.mark.parametrize(
    "kind", ["status:401", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("reset", "DNS"))]
)
def test_no_frame_of_the_source_holds_the_token_where_dlt_wraps_the_failure(
    api: Sandbox, authority: Authority, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = KINDS[kind](api, authority)
    monkeypatch.setenv("SOURCES__INTERCOM__RETRY_SECONDS", "0.1")
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    pipeline = dlt.pipeline(
        "frames", destination=dlt.destinations.duckdb(str(tmp_path / "x.duckdb")), pipelines_dir=str(tmp_path)
    )
    with pytest.raises(PipelineStepFailed) as caught:
        pipeline.run(intercom(ids=["1000001"], access_token=SECRET, base_url=url))
    assert any(isinstance(cause, IntercomError) for cause in causes(caught.value))
    assert held(caught.value) == []
    assert SECRET not in printed(caught.value)
