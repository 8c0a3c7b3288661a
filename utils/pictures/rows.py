"""Pictures that are made and looked at by rows, so that a large one need not be in memory: float32 [B,C,H,W], in a tensor or in a file."""

import os
import tempfile
from typing import IO, Protocol

import torch

from utils.pictures.temporary_files import errors_explained


class Rows(Protocol):
    """A picture of which any rows can be read and written. shape: [B,C,H,W]. device: where rows that are read lie."""

    shape: tuple[int, int, int, int]
    device: torch.device

    def read(self, top: int, bottom: int) -> torch.Tensor:
        """Rows `top` to `bottom`, [B,C,bottom-top,W]; not to be written to."""
        ...

    def write(self, top: int, rows: torch.Tensor) -> None:
        """Put [B,C,n,W] at row `top` and below."""
        ...


class RowsInMemory:
    """A tensor."""

    def __init__(self, picture: torch.Tensor) -> None:
        batch, channels, h, w = picture.shape
        self.shape, self.device, self._picture = (batch, channels, h, w), picture.device, picture

    def read(self, top: int, bottom: int) -> torch.Tensor:
        return self._picture[..., top:bottom, :]

    def write(self, top: int, rows: torch.Tensor) -> None:
        self._picture[..., top : top + rows.shape[-2], :] = rows


class RowsOnDisk:
    """A temporary file without a name, of which the system forgets everything as soon as the program ends, however it ends.

    UserError where there is no room for it, which is said before the first row.
    """

    def __init__(self, shape: tuple[int, int, int, int], device: torch.device) -> None:
        self.shape, self.device = shape, device
        batch, channels, h, w = shape
        self._row_bytes = 4 * w
        self._bytes = batch * channels * h * self._row_bytes
        self._called = f"A temporary file of {self._bytes / 1e9:.1f} GB"
        with errors_explained(self._called):
            self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (it lives as long as this does)
            _reserve(self._file, self._bytes)

    def read(self, top: int, bottom: int) -> torch.Tensor:
        batch, channels, _, w = self.shape
        rows = torch.empty(batch, channels, bottom - top, w)
        for index, plane in enumerate(rows.view(-1, bottom - top, w).numpy()):
            self._go_to(index, top)
            self._file.readinto(plane.data)  # type: ignore[attr-defined]
        return rows.to(self.device)

    def write(self, top: int, rows: torch.Tensor) -> None:
        with errors_explained(self._called):
            for index, plane in enumerate(rows.cpu().flatten(0, 1)):
                self._go_to(index, top)
                self._file.write(plane.contiguous().numpy().data)

    def _go_to(self, index: int, row: int) -> None:
        """To a row of one of the B x C planes, which lie one after the other."""
        self._file.seek((index * self.shape[2] + row) * self._row_bytes)


def _reserve(file: IO[bytes], size: int) -> None:
    """Room for `size` bytes, where the system can promise it: else a full disk would show only when hours of work are done."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.truncate(size)


def new_rows(shape: tuple[int, int, int, int], device: torch.device, *, on_disk: bool) -> Rows:
    """A picture of which nothing has been written yet."""
    return RowsOnDisk(shape, device) if on_disk else RowsInMemory(torch.empty(shape, device=device))
