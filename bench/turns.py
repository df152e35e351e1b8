"""Ways of doing the same take turns, so that what else happens on the machine happens to all of
them."""

import statistics
import time

SECONDS_A_TURN = 0.01


def take_turns(ways, rounds):
    """Seconds of each call of each way, a dict of lists.

    A turn is as many calls as fit in SECONDS_A_TURN, one at least. The call before them, which
    finds the caches as another way left them, does not count.
    """
    seconds = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            way()
            end = time.perf_counter() + SECONDS_A_TURN
            while True:
                start = time.perf_counter()
                way()
                stop = time.perf_counter()
                seconds[name].append(stop - start)
                if stop >= end:
                    break
    return seconds


def summary(seconds, scale):
    """Minimum, median and maximum of each way, times `scale`."""
    return {
        name: {
            "minimum": scale * min(values),
            "median": scale * statistics.median(values),
            "maximum": scale * max(values),
        }
        for name, values in seconds.items()
    }


def shown(times):
    return " ".join(f"{times[which]:9.3f}" for which in ("minimum", "median", "maximum"))
