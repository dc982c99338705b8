"""What type checkers tell users of the package: mypy by `make lint`, pyright by `tests/project/test_docs_library.py`.

Nothing here is run. A line that a checker must refuse has a `type: ignore`; both report one that is not needed.
"""
