"""Several clients on the same windows: two loads at once, and a load with a share of its own beside other apps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

from sandbox import Sandbox

from .contenders import OURS, ours
from .measure import FIRST_ID, Run, api, list_of_ids, rows_in, run, scratch, seen, start
from .sizes import Sizes
from .windows import WINDOW_SECONDS, full_windows

LIMIT = 1_666
LATENCY_SECONDS = 0.15
SHARE = 0.3
# the other apps take what the share leaves
FOREIGN_PER_SECOND = LIMIT * (1 - SHARE) / WINDOW_SECONDS


def sharing(sizes: Sizes) -> Iterator[Run]:
    """Two loads at once, then `--share 0.3` beside other apps."""
    for number in range(sizes.sharing_rounds):
        with api(2 * sizes.sharing_ids, limit=LIMIT, latency_seconds=LATENCY_SECONDS) as sandbox:
            yield _two_at_once(sandbox, sizes.sharing_ids) | {"round": number}
        others = {"foreign_per_second": FOREIGN_PER_SECOND}
        with api(sizes.sharing_ids, limit=LIMIT, latency_seconds=LATENCY_SECONDS, **others) as sandbox:
            yield _beside_others(sandbox, max(10, int(sizes.sharing_ids * SHARE))) | {"round": number}


def _two_at_once(sandbox: Sandbox, ids: int) -> Run:
    with ExitStack() as stack:
        folders = [stack.enter_context(scratch()) for _ in range(2)]
        loads = [
            start(OURS, sandbox, list_of_ids(folder, ids, skip=number * ids), folder)
            for number, folder in enumerate(folders)
        ]
        taken = [load.finish() for load in loads]
        rows = [rows_in(folder) for folder in folders]
    answered = [(at, (int(call_id) - FIRST_ID) // ids, status) for at, call_id, status in sandbox.log()]
    asked_at = [[at for at, load, _ in answered if load == number] for number in range(2)]
    saw = seen(sandbox)
    # windows that both of them were at work in from beginning to end
    both = full_windows(saw["windows"], max(min(times) for times in asked_at), min(max(times) for times in asked_at))
    began_at = {window["started_at"] for window in both}
    calls = Counter(
        load for at, load, status in answered if status == 200 and at // WINDOW_SECONDS * WINDOW_SECONDS in began_at
    )
    used = sum(window["ok"] for window in both)
    return saw | {
        "contender": "two loads at once",
        "ids": 2 * ids,
        "rows": sum(rows),
        "lost": 2 * ids - sum(rows),
        "exit_code": max(load["exit_code"] for load in taken),
        "wall_seconds": max(load["wall_seconds"] for load in taken),
        "cpu_seconds": sum(load["cpu_seconds"] for load in taken),
        "full_windows": len(both),
        "window_share": used / (LIMIT * len(both)) if both else None,
        "smaller_part": min(calls[0], calls[1]) / max(1, calls.total()) if both else None,
    }


def _beside_others(sandbox: Sandbox, ids: int) -> Run:
    taken = run(ours("--strategy", "by-id", "--share", str(SHARE), name="--share 0.3 beside other apps"), sandbox, ids)
    full = full_windows(taken["windows"], taken["first_request_at"], taken["last_request_at"])
    # the other apps go on taking after our last request of a window, so what they had is reckoned, not counted
    others = int(FOREIGN_PER_SECOND * WINDOW_SECONDS)
    used = sum(window["ok"] + min(others, LIMIT - window["ok"]) for window in full)
    own = sum(window["ok"] for window in full)
    return taken | {
        "lost": ids - taken["rows"],
        "full_windows": len(full),
        "window_share": used / (LIMIT * len(full)) if full else None,
        "smaller_part": own / (SHARE * LIMIT * len(full)) if full else None,
    }
