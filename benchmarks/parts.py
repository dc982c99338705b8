"""What is measured: each part yields its runs as they end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence

from sandbox import Sandbox
from sandbox.faults import PASSING

from . import contenders as who
from .contenders import DATABASE, Contender
from .measure import Run, api, run, scratch, step
from .sharing import sharing
from .sizes import Sizes
from .windows import use_of

# Intercom's 10,000 requests a minute, as it hands them out
LIMIT = 1_666
# Every way to fail that may pass, but for those that are waited for: then dlt's packages, one each 15 s, are measured.
_WAITED_FOR = ("status:429", "bare:429", "hang", "wrong_length:10")
FAULTS = {fault: 1.0 for fault in PASSING if fault not in _WAITED_FOR}


def cpu(sizes: Sizes) -> Iterator[Run]:
    """By id without latency."""
    field = (who.OURS, who.FLOOR_THREADS_16, who.FLOOR_AIOHTTP, who.PAGES)
    own = [(contender, sizes.cpu_ids) for contender in field]
    with api(sizes.cpu_ids) as sandbox:
        yield from _alternating(sandbox, sizes, own, _peers(sizes, sizes.cpu_peer_ids, sizes.cpu_peer_ids))


def faulty(sizes: Sizes) -> Iterator[Run]:
    """By id, where each answer is right and where a quarter of them are not."""
    faults = {"fault_share": 0.25, "fault_weights": FAULTS}
    with api(sizes.faulty_ids) as right, api(sizes.faulty_ids, **faults) as wrong:
        for number in range(sizes.rounds):
            for contender, sandbox in ((who.OURS, right), (who.FAULTY, wrong)):
                yield run(contender, sandbox, sizes.faulty_ids) | {"round": number}


def library(sizes: Sizes) -> Iterator[Run]:
    """The source in a pipeline of dlt's, one package, beside the command with its chunks."""
    with api(sizes.library_ids) as sandbox:
        for number in range(sizes.rounds):
            for contender in (who.OURS, who.LIBRARY):
                yield run(contender, sandbox, sizes.library_ids) | {"round": number}


def rate(sizes: Sizes) -> Iterator[Run]:
    """By id at a latency of 150 ms."""
    field = (who.OURS, who.FLOOR_THREADS_64, who.FLOOR_AIOHTTP, who.PAGES)
    own = [(contender, sizes.rate_ids) for contender in field]
    with api(sizes.rate_ids, latency_seconds=0.15) as sandbox:
        yield from _alternating(sandbox, sizes, own, _peers(sizes, sizes.rate_peer_ids, sizes.rate_loop_ids))


def windows(sizes: Sizes) -> Iterator[Run]:
    """Under the real API's windows, ours at each latency, by id and by pages, the others at the least."""
    others = [who.FLOOR_THREADS_64, who.FLOOR_AIOHTTP, who.REST_API_64, who.SDK_64, who.AIRBYTE_64]
    for latency in sizes.latencies:
        with api(max(sizes.windows_ids, sizes.windows_page_ids), limit=LIMIT, latency_seconds=latency) as sandbox:
            for number in range(sizes.windows_rounds):
                field = [(who.OURS, sizes.windows_ids)]
                if sizes.windows_page_ids:
                    field.append((who.PAGES, sizes.windows_page_ids))
                if latency == sizes.latencies[0] and sizes.everyone:
                    field += [(contender, sizes.windows_peer_ids) for contender in others]
                for contender, ids in field:
                    if contender.needs.exists():
                        taken = run(contender, sandbox, ids) | {"round": number, "latency_seconds": latency}
                        yield taken | use_of(taken)


def startup(sizes: Sizes) -> Iterator[Run]:
    """Ten ids: what a load costs before it loads."""
    field = [who.OURS, who.MINIMAL_DLT] + ([who.REST_API, who.SDK_LOOP] if sizes.everyone else [])
    with api(10) as sandbox:
        for number in range(sizes.startup_rounds):
            for contender in field:
                if contender.needs.exists():
                    yield run(contender, sandbox, 10) | {"round": number}


def scale(sizes: Sizes) -> Iterator[Run]:
    """From ten thousand ids to a million, and again over what is settled."""
    with api(sizes.scale_ids[-1]) as sandbox:
        for ids in sizes.scale_ids:
            for number in range(3 if ids == sizes.scale_ids[0] else 1):
                with scratch() as folder:
                    yield run(who.OURS, sandbox, ids, folder) | {"round": number, "again": False}
                    yield run(who.OURS, sandbox, ids, folder) | {"round": number, "again": True}


def sweep(sizes: Sizes) -> Iterator[Run]:
    """All calls of a workspace by pages, where they are cheaper, beside by id."""
    for ids in sizes.sweep_ids:
        is_largest = ids == sizes.sweep_ids[-1]
        with api(ids) as sandbox:
            for number in range(1 if is_largest else sizes.sweep_rounds):
                for contender in [who.PAGES] if is_largest else [who.OURS, who.PAGES]:
                    yield run(contender, sandbox, ids) | {"round": number}


def chunks(sizes: Sizes) -> Iterator[Run]:
    """One chunk into tables of more and more rows: dlt's steps by the library, then the command as a whole."""
    with api(sizes.chunk_ids + sizes.table_rows[0]) as sandbox, scratch() as folder:
        run(who.OURS, sandbox, sizes.table_rows[0], folder, skip=sizes.chunk_ids)
        filled = folder / "filled.duckdb"
        shutil.move(folder / DATABASE, filled)
        for rows in sizes.table_rows:
            step("fill_calls.py", str(filled), str(rows))
            for number in range(sizes.peer_rounds):
                for contender in (who.ONE_CHUNK, who.WHOLE_CHUNK):
                    shutil.copy(filled, folder / DATABASE)
                    taken = run(contender, sandbox, sizes.chunk_ids, folder) | {"round": number, "table_rows": rows}
                    taken["rows"] -= rows
                    of_library = contender is who.ONE_CHUNK and not taken["exit_code"]
                    steps = json.loads(taken["stdout"]) if of_library else {}
                    yield taken | {"steps": steps}


def _peers(sizes: Sizes, ids: int, loop_ids: int) -> list[tuple[Contender, int]]:
    """Those of a kind with rest_api; `loop_ids` for what asks for one call at a time."""
    if not sizes.everyone:
        return [(who.REST_API_64, ids)]
    return [
        (who.REST_API, loop_ids),
        (who.REST_API_64, ids),
        (who.SDK_LOOP, loop_ids),
        (who.SDK_64, ids),
        (who.AIRBYTE_64, ids),
    ]


def _alternating(
    sandbox: Sandbox, sizes: Sizes, own: Sequence[tuple[Contender, int]], peers: Sequence[tuple[Contender, int]]
) -> Iterator[Run]:
    for number in range(sizes.rounds):
        for contender, ids in [*own, *(peers if number < sizes.peer_rounds else ())]:
            if contender.needs.exists():
                yield run(contender, sandbox, ids) | {"round": number}


PARTS: dict[str, Callable[[Sizes], Iterator[Run]]] = {
    "startup": startup,
    "cpu": cpu,
    "faulty": faulty,
    "library": library,
    "rate": rate,
    "windows": windows,
    "sharing": sharing,
    "chunks": chunks,
    "scale": scale,
    "sweep": sweep,
}
# a first impression: what two minutes allow
QUICK_PARTS = ("startup", "cpu", "rate", "windows")
