"""Maps by frame number, however the numbers run: in steps, with repeats and gaps, or back to a shot's first frame."""

from collections.abc import Iterator

from diorama.perception.depth_maps import DepthMaps, IndexedMaps, Map

READ_ON = 64  # maps: decoding past so many costs less than seeking to the key frame before, which may be as far away


class MapReader:
    """Gives single maps; a video is decoded on from the map before, and opened again only to go back or far ahead.

    For one thread at a time. Holds one map.
    """

    def __init__(self, maps: DepthMaps) -> None:
        self._maps = maps
        self._stream: Iterator[Map] = iter(())
        self._index = -1
        self._held: Map | None = None

    def at(self, index: int) -> Map | None:
        """Map number `index` as stored, None behind the last one."""
        if self._held is None or index != self._index:
            self._held = self._load(index) if index < self._maps.count else None
            self._index = index
        return self._held

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        self._stream, self._index, self._held = iter(()), -1, None

    def _load(self, index: int) -> Map | None:
        if isinstance(self._maps, IndexedMaps):
            return self._maps.load(index)
        gap = index - self._index - 1
        if self._held is None or not 0 <= gap <= READ_ON:
            self._stream, gap = self._maps.read(index, self._maps.count), 0
        for _ in range(gap):
            next(self._stream, None)
        return next(self._stream, None)
