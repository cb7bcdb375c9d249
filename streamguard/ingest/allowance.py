"""How much one session may fetch: at once, more than an honest stream ever does; from then on only as fast as one.

Whoever writes a playlist could otherwise have us fetch a thousand files a second from a host of their choice, or fill
the line that all other streams come by. Nothing is refused for it: the next fetch waits.
"""

from dataclasses import dataclass

_MIB = 1 << 20
_REQUEST_BYTES = _MIB // 4
"""What a request counts as, besides what it brings: a few bytes each are a load as well."""


@dataclass(slots=True)
class Allowance:
    """Live, the costliest that we watch is 4K in one rendition: some 8 MiB and some 10 requests a second."""

    most_bytes: float = 256.0 * _MIB
    each_second_bytes: float = 16.0 * _MIB
    _owed_bytes: float = 0.0
    _at_s: float = 0.0

    def asked(self, *, now_s: float) -> None:
        """Another request goes out."""
        self.took(_REQUEST_BYTES, now_s=now_s)

    def took(self, fetched_bytes: int, *, now_s: float) -> None:
        """What it brought."""
        self._owed_bytes = self._owed_at(now_s) + fetched_bytes
        self._at_s = now_s

    def pause_s(self, *, now_s: float) -> float:
        """How long the next one waits."""
        return max(0.0, (self._owed_at(now_s) - self.most_bytes) / self.each_second_bytes)

    def _owed_at(self, now_s: float) -> float:
        return max(0.0, self._owed_bytes - max(0.0, now_s - self._at_s) * self.each_second_bytes)
