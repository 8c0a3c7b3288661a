"""How far a run is and how long it still takes, in words and as a bar."""

import time

from utils.page import markup
from utils.page.describing import duration
from utils.page.running import Advanced, Begun, News, Waiting

WAITING = markup.progress("Waiting for the model", None)


class Clock:
    """Starts when a run has the model. `of` says which run it is, where there are several."""

    def __init__(self, of: str = "") -> None:
        self._of = f"{of}: " if of else ""
        self._done, self._total = 0, 0
        self.before = 0  # runs of others that come first

    def hear(self, news: News) -> None:
        """Follow the run by what it tells."""
        if isinstance(news, Waiting):
            self.before = news.before
        elif isinstance(news, Begun):
            self.start(news.total)
        elif isinstance(news, Advanced):
            self.advance(news.done)

    def start(self, total: int) -> None:
        self._total, self._start = total, time.monotonic()
        self._advanced = self._start

    def advance(self, done: int) -> None:
        self._done, self._advanced = done, time.monotonic()

    def progress(self) -> str:
        """The bar, as HTML."""
        if not self._total:
            return markup.progress(f"Waiting for the model: {self.before} before you", None) if self.before else WAITING
        if self._done == self._total:
            return markup.progress(f"{self._of}Finishing", 1.0)
        seconds = time.monotonic() - self._start
        words = f"{self._of}Tile {self._done} of {self._total} · {seconds:.0f} s"
        if self._done:
            left = (self._advanced - self._start) / self._done * (self._total - self._done)
            words += f", about {duration(left - (time.monotonic() - self._advanced))} left"
        return markup.progress(words, self._done / self._total)
