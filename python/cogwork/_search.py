"""What a search returns: an iterator of Labors that also shows itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from ._model import Labor, LaborFilter
from ._resources import descriptors

_SHOWN = 50


class SearchResult(Iterator[Labor]):
    """Labors that pass a filter, without their Tasks, one after another (T3). Raises where the stream breaks.

    A notebook shows the first 50, by a search of its own: what is iterated stays whole. One thread.
    """

    def __init__(
        self,
        find: Callable[[LaborFilter], Iterator[Labor]],
        read: Callable[[str], Labor],
        labor_filter: LaborFilter,
    ) -> None:
        self._find = find
        self._read = read
        self._filter = msgspec.structs.replace(labor_filter)
        self._found = find(self._filter)

    def __iter__(self) -> SearchResult:
        return self

    def __next__(self) -> Labor:
        return next(self._found)

    def read_all(self) -> Iterator[Labor]:
        """Whole Labors with their Tasks, read one after another, by a search of its own."""
        for labor in self._find(self._filter):
            yield self._read(labor.id)

    def __repr__(self) -> str:
        fields = [(name, getattr(self._filter, name)) for name in self._filter.__struct_fields__]
        given = ", ".join(f"{name}={value!r}" for name, value in fields if value not in ([], "", None, False))
        return f"<SearchResult: {given or 'all Labors'}>"

    def _repr_html_(self) -> str:
        with descriptors("what shows it"):
            from ._html import labors_html, remark_html

        most = self._filter.limit
        one_more = _SHOWN + 1 if most is None else min(most, _SHOWN + 1)
        try:
            found = list(self._find(msgspec.structs.replace(self._filter, limit=one_more)))
        except Exception as error:
            return remark_html(f"the search failed: {error}")
        return labors_html(found[:_SHOWN], more=len(found) > _SHOWN)
