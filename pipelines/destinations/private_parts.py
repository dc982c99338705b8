"""Parts of dlt that are not public: the folders of a load package.

dlt can drop all waiting packages or none, and can't load a package from its beginning again. `test_private_parts.py`
tries each part with the installed dlt, so a version that moves one fails by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dlt.common.storages.load_package import PackageStorage
from dlt.common.storages.load_storage import LoadStorage
from dlt.common.storages.normalize_storage import NormalizeStorage

_LOAD, _NORMALIZE = "load", "normalize"  # folders of `Pipeline.working_dir`


def prepared_packages(working_folder: str | Path) -> Path:
    """Where packages wait to be loaded, each in a folder named by its load id."""
    return Path(working_folder, _LOAD, LoadStorage.NORMALIZED_FOLDER)


def loaded_packages(working_folder: str | Path) -> Path:
    """Where dlt leaves loaded packages; it never reads them again."""
    return Path(working_folder, _LOAD, LoadStorage.LOADED_FOLDER)


def unprepared_packages(working_folder: str | Path) -> Iterator[Path]:
    """The folders of packages that are not ready to be loaded: still extracted or normalized."""
    normalize, extracted = Path(working_folder, _NORMALIZE), NormalizeStorage.EXTRACTED_FOLDER
    for place in (normalize, normalize / extracted, Path(working_folder, _LOAD, LoadStorage.NEW_PACKAGES_FOLDER)):
        yield from (package for package in place.glob("*/") if package.name != extracted and package.is_dir())


def has_rows_for(package: Path, table: str) -> bool:
    """Whether a package holds a file for this table, in whatever state."""
    return any(package.glob(f"*_jobs/{table}.*"))


def rewind(package: Path) -> None:
    """Reset a package that was loaded in part, so that it is loaded from its beginning."""
    new = package / PackageStorage.NEW_JOBS_FOLDER
    for state in (
        PackageStorage.STARTED_JOBS_FOLDER,
        PackageStorage.COMPLETED_JOBS_FOLDER,
        PackageStorage.FAILED_JOBS_FOLDER,
    ):
        for file in (package / state).iterdir():
            if not file.name.endswith((".sql", ".exception")):
                file.rename(new / file.name)
    # dlt makes the merge again from the data
    for left in (*package.glob("*_jobs/*.sql"), *package.glob(f"{PackageStorage.PENDING_TRANSITIONS_FOLDER}/*")):
        left.unlink()
    applied = package / PackageStorage.APPLIED_SCHEMA_UPDATES_FILE_NAME
    if applied.exists():
        applied.rename(package / PackageStorage.SCHEMA_UPDATES_FILE_NAME)
