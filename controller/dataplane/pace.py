"""How fast reloads may follow one another, and which replica's turn it is. Pure: the caller says what time it is.

A reload costs every client that keeps a connection a new one, and leaves workers behind that finish what they have. So
the first reloads come at once, which is what somebody sees who edits an Ingress; where changes go on and on reloads are
spaced and each takes many changes along. The more connections there are the dearer a reload is: up to six times.
"""

from __future__ import annotations

from dataclasses import dataclass

CONNECTIONS_FOR_ONE = 5
DEAREST = 6.0


class Pace:
    """A token bucket: `burst` reloads at once, then one every `interval` seconds; idle time fills the bucket again.

    `now` is always of one monotonic clock, in seconds.
    """

    def __init__(self, interval: float, burst: int = 1) -> None:
        self._interval = interval
        self._ahead = interval * (max(1, burst) - 1)
        self._paid_until = float("-inf")

    def wait(self, now: float) -> float:
        """Seconds until a reload may begin; 0 for now."""
        return max(0.0, self._paid_until - self._ahead - now)

    def spend(self, now: float, price: float = 1.0) -> None:
        """A reload begins that counts as `price` of them."""
        self._paid_until = max(self._paid_until, now) + price * self._interval


def price(connections: int) -> float:
    """What a reload counts as while there are so many connections, from 1 to 6.

    >>> [price(connections) for connections in (0, 5, 19, 100_000)]
    [1.0, 2.0, 4.0, 6.0]
    """
    return min(1.0 + connections // CONNECTIONS_FOR_ONE, DEAREST)


@dataclass(frozen=True, slots=True)
class Replica:
    """Which one of how many we are, counted from 0."""

    number: int = 0
    count: int = 1

    def seconds_until_turn(self, clock: float, length: float) -> float:
        """Turns of `length` seconds go round by the clock that all machines share (seconds since the epoch).

        0 while it is our turn, and where there is nobody to share with.

        >>> [Replica(1, 3).seconds_until_turn(clock, 10.0) for clock in (0.0, 10.0, 19.0, 20.0)]
        [10.0, 0.0, 0.0, 20.0]
        """
        if self.count < 2 or length <= 0:
            return 0.0
        gone = clock % (length * self.count) - length * (self.number % self.count)
        return 0.0 if 0 <= gone < length else -gone % (length * self.count)
