"""The requester with an endpoint and a reader that the source does not have."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from sources.intercom.api.budget import RateBudget
from sources.intercom.api.client import Answer, CallsApi
from sources.intercom.api.concurrency import Concurrency
from sources.intercom.api.requester import RequestCounts, Requester
from sources.intercom.api.retry import Fault
from sources.intercom.errors import ApiUnreachable
from sources.intercom.settings import Settings
from tests.support.hosts import Host


class TagsApi(CallsApi):
    def get_tags(self, page: int) -> Awaitable[Answer]:
        return self._get(f"/tags?page={page}")


def read_names(answer: Answer) -> list[str]:
    return [tag["name"] for tag in json.loads(answer.body)["data"]]


def never_ready(answer: Answer) -> list[str]:
    raise Fault("not_ready", "tags are being made", http_status=answer.status)


def ask_tags(host: Host, counts: RequestCounts, *reads: Callable[[Answer], list[str]]) -> list[str]:
    """Ask for a page of tags with each reader in turn; returns what the last one read."""

    async def run() -> list[str]:
        settings = Settings(base_url=host.url, access_token="x", retry_seconds=1.5)
        requester = Requester(settings, RateBudget(), Concurrency(), counts, lambda: None)
        async with TagsApi(settings) as api:
            for page, read in enumerate(reads, 1):
                names = await requester.ask(partial(api.get_tags, page), read)
        return names

    return asyncio.run(run())


@pytest.fixture
def host() -> Host:
    return Host(200, '{"type":"list","data":[{"name":"sales"}]}')


def test_the_reader_of_an_endpoint_decides_what_is_retried(host: Host) -> None:
    faults = iter([Fault("not_ready", "1"), Fault("not_ready", "2")])

    def read(answer: Answer) -> list[str]:
        for fault in faults:
            raise fault
        return read_names(answer)

    counts = RequestCounts()
    with host:
        assert ask_tags(host, counts, read) == ["sales"]
    assert (counts.requests, counts.retries, len(host.asked)) == (3, 2, 3)


def test_a_request_that_keeps_failing_fails_alone_if_a_repeated_request_of_its_endpoint_is_answered(host: Host) -> None:
    with host, pytest.raises(Fault, match="tags are being made"):
        ask_tags(host, RequestCounts(), read_names, never_ready)
    assert "/tags?page=2" in host.asked[-2]
    assert "/tags?page=1" in host.asked[-1]


def test_an_endpoint_that_never_answers_usably_ends_the_run(host: Host) -> None:
    with host, pytest.raises(ApiUnreachable, match="the last: HTTP 200: tags are being made"):
        ask_tags(host, RequestCounts(), never_ready)
