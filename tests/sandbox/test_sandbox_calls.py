"""The sandbox's calls are believable, and always the same."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from statistics import median
from typing import Any

from sandbox.calls import Workspace

ABANDONED = {
    "type": "call",
    "id": "1004096",
    "conversation_id": "215470000053235",
    "contact_id": "527d9f9e0b2ce59725c91266",
    "state": "abandoned",
    "initiated_at": "2025-12-17T09:41:56.000Z",
    "ended_at": "2025-12-17T09:44:05Z",
    "created_at": "2025-12-17T09:41:56.000Z",
    "updated_at": "2025-12-17T09:44:06Z",
    "call_type": "phone",
    "direction": "inbound",
    "ended_reason": "caller_hung_up",
    "phone": "+14155550182",
}


def made(**workspace: Any) -> list[dict[str, Any]]:
    calls = Workspace(**workspace)
    return [call for call_id in calls.ids() if (call := calls.call(call_id, preview=True))]


def seconds(value: int | str) -> int:
    return value if isinstance(value, int) else int(datetime.fromisoformat(value).timestamp())


def test_a_call_is_a_pure_function_of_seed_and_id() -> None:
    call = Workspace().call("1004096")
    assert call == ABANDONED
    assert Workspace(seed=2).call("1004096") != ABANDONED


def test_the_calls_look_like_a_support_teams() -> None:
    calls = made(calls=5000)
    created = [datetime.fromtimestamp(seconds(call["created_at"]), UTC) for call in calls]
    inbound = [call for call in calls if call["direction"] == "inbound"]
    answered = [call for call in inbound if call.get("answered_at")]
    waits = sorted(seconds(call["answered_at"]) - seconds(call["created_at"]) for call in answered)

    assert Counter(moment.hour for moment in created).most_common(1)[0][0] in (10, 11)
    assert 0.02 < sum(moment.weekday() >= 5 for moment in created) / len(created) < 0.06
    assert 0.6 < len(inbound) / len(calls) < 0.8
    assert 0.7 < len(answered) / len(inbound) < 0.85
    assert 15 < median(waits) < 40
    assert waits[len(waits) * 95 // 100] > 90, "the waits have a long tail"
    assert waits[-1] <= 900
    assert len(created) - 30 > sum(moment.month == 12 for moment in created) * 8


def test_every_kind_of_call_is_there() -> None:
    calls = made(calls=5000)
    reasons = {call.get("ended_reason") for call in calls}
    assert reasons >= {
        "completed",
        "transferred",
        "caller_hung_up",
        "no_answer",
        "voicemail",
        "out_of_hours",
        None,
    }
    assert {call["state"] for call in calls} >= {"completed", "missed", "abandoned", "in_progress"}
    assert len({call["admin_id"] for call in calls if call.get("admin_id")}) == 10
    assert Counter(call["contact_id"] for call in calls if call.get("contact_id")).most_common(1)[0][1] > 5
    assert any(call["id"] not in call["fin_recording_url"] for call in calls if call.get("fin_recording_url"))
    assert {type(call["created_at"]) for call in calls} == {int, str}
    assert any("ended_at" not in call or "answered_at" not in call for call in calls), "absent"
    assert any(call.get("answered_at", 0) is None for call in calls), "null"


def test_a_caller_who_calls_back_stays_in_the_conversation() -> None:
    conversations: dict[str, set[Any]] = {}
    for call in made(calls=2000):
        if call.get("conversation_id"):
            conversations.setdefault(call["conversation_id"], set()).add(call.get("contact_id"))
    assert 1700 < len(conversations) < 1800
    assert all(len(contacts) == 1 for contacts in conversations.values())


def test_ids_follow_time_and_the_open_ones_are_among_the_newest() -> None:
    calls = made(calls=5000)
    created = [seconds(call["created_at"]) for call in calls]
    assert created == sorted(created)
    assert datetime.fromtimestamp(created[0], UTC) > datetime(2025, 6, 30, 18, tzinfo=UTC)
    assert max(seconds(call["updated_at"]) for call in calls) <= 1782842400  # 2026-06-30T18:00:00Z
    newest = [call for call in calls[-12:] if call.get("ended_at") is None]
    assert 2 <= len(newest) < 12
    assert sum(call.get("ended_at") is None for call in calls[:-50]) < 10


def test_times_of_a_call_are_in_order() -> None:
    order = ("created_at", "answered_at", "ended_at", "updated_at")
    for call in made(calls=2000, seed=7):
        times = [seconds(call[field]) for field in order if call.get(field) is not None]
        assert times == sorted(times), call["id"]


def test_nothing_happens_after_the_end_of_the_year() -> None:
    fields = ("created_at", "answered_at", "ended_at", "updated_at")
    for seed in range(20):
        workspace = Workspace(calls=300_000, seed=seed)
        for call_id in workspace.ids()[-10:]:
            call = workspace.call(call_id) or {}
            times = [seconds(call[field]) for field in fields if call.get(field) is not None]
            assert all(1782835200 < moment <= 1782842400 for moment in times), call


def test_phone_numbers_are_kept_free_for_fiction() -> None:
    fictional = re.compile(r"\+1\d{3}55501\d\d|\+447700900\d{3}|\+442079460\d{3}|\+441\d{2}4960\d{3}")
    phones = [call["phone"] for call in made(calls=2000) if call.get("phone")]
    assert len(phones) > 1900
    assert [phone for phone in phones if not fictional.fullmatch(phone)] == []


def test_the_year_ends_at_the_configured_time() -> None:
    newest = Workspace(calls=1000, until="2024-03-01T12:00:00+02:00").call("1001000")
    assert newest is not None
    assert 1709200800 < seconds(newest["created_at"]) <= 1709287200  # within the day before 2024-03-01T10:00:00Z
