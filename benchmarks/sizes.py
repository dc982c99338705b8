"""How much is loaded, and how often, by each part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True)
class Sizes:
    """Ids and rounds of each part. Contenders that take long load fewer ids, in `peer_rounds` of the rounds.

    Attributes:
        everyone: whether all contenders take part, or ours, the floors and dlt's rest_api at 64 workers.
        latencies: seconds, for the windows.
        scale_ids: so many ids are loaded into an empty database, the least and the most are compared.
        sweep_ids: all calls of a workspace of so many; of all but the most by id, too.
        windows_page_ids: so many calls are loaded by pages under the windows; 0 leaves that out.
        table_rows: a chunk is loaded into tables of so many rows.
    """

    rounds: int = 5
    peer_rounds: int = 3
    everyone: bool = True
    cpu_ids: int = 20_000
    cpu_peer_ids: int = 5_000
    faulty_ids: int = 5_000
    library_ids: int = 50_000
    rate_ids: int = 5_000
    rate_peer_ids: int = 2_000
    rate_loop_ids: int = 200
    latencies: tuple[float, ...] = (0.06, 0.15, 0.3)
    windows_rounds: int = 2
    windows_ids: int = 10_000
    windows_peer_ids: int = 5_000
    windows_page_ids: int = 150_000  # the pages of three windows, and of parts of two
    startup_rounds: int = 9
    scale_ids: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    sweep_ids: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    sweep_rounds: int = 3
    table_rows: tuple[int, ...] = (1_000, 1_000_000, 5_000_000)
    chunk_ids: int = 10_000
    sharing_ids: int = 6_000
    sharing_rounds: int = 2

    def scaled(self, factor: float) -> Self:
        """The large sizes (a million ids, tables of millions) times `factor`; the least stay as they are."""
        ids, pages, rows = self.scale_ids, self.sweep_ids, self.table_rows
        return replace(
            self,
            scale_ids=tuple(sorted({max(ids[0], int(count * factor)) for count in ids})),
            sweep_ids=tuple(sorted({max(pages[0], int(count * factor)) for count in pages})),
            table_rows=tuple(sorted({max(rows[0], int(count * factor)) for count in rows})),
        )

    def repeated(self, rounds: int) -> Self:
        """Every part that alternates, so many rounds."""
        return replace(
            self,
            rounds=rounds,
            peer_rounds=rounds,
            windows_rounds=rounds,
            startup_rounds=rounds,
            sweep_rounds=rounds,
            sharing_rounds=rounds,
        )


FULL = Sizes()
# a first impression within two minutes
QUICK = Sizes(
    rounds=2,
    peer_rounds=1,
    everyone=False,
    cpu_ids=5_000,
    cpu_peer_ids=1_000,
    faulty_ids=1_000,
    library_ids=5_000,
    rate_ids=2_000,
    rate_peer_ids=600,
    latencies=(0.06,),
    windows_rounds=1,
    windows_ids=5_000,
    windows_page_ids=0,
    startup_rounds=3,
    scale_ids=(2_000, 20_000),
    sweep_ids=(2_000, 20_000),
    sweep_rounds=1,
    table_rows=(1_000, 100_000),
    chunk_ids=2_000,
    sharing_ids=5_000,
    sharing_rounds=1,
)
# that every part runs and is reported; the figures mean nothing
TINY = Sizes(
    rounds=1,
    peer_rounds=1,
    everyone=False,
    cpu_ids=30,
    cpu_peer_ids=20,
    faulty_ids=30,
    library_ids=30,
    rate_ids=30,
    rate_peer_ids=20,
    latencies=(0.01,),
    windows_rounds=1,
    windows_ids=30,
    windows_page_ids=600,
    startup_rounds=1,
    scale_ids=(20, 40),
    sweep_ids=(20, 600),
    sweep_rounds=1,
    table_rows=(100, 300),
    chunk_ids=20,
    sharing_ids=20,
    sharing_rounds=1,
)
BY_NAME = {"full": FULL, "quick": QUICK, "tiny": TINY}
