"""What the processes of one run must decide alike, or they would wait for each other forever. With a single process all of it is free."""

from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list


def as_main(accelerator: Accelerator, value: Any) -> Any:
    """The main process's value, on every process."""
    return broadcast_object_list([value])[0] if accelerator.num_processes > 1 else value


def any_process(accelerator: Accelerator, flag: bool) -> bool:
    """Whether the flag is up on any process."""
    if accelerator.num_processes == 1:
        return flag
    return bool(accelerator.reduce(torch.tensor(float(flag), device=accelerator.device), "sum"))
