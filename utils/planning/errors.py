"""The one kind of error that people see, and the one that a smaller attempt may put right."""

# As PyTorch says it of Linux, of Windows and of Apple's GPU; C++ by itself; and oneDNN, which says the same of hardly anything else that could
# befall a model that has run before.
_OUT_OF_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "std::bad_alloc",
    "could not create a primitive",
    "could not create a memory",
)


class UserError(ValueError):
    """Something the person asking can put right; its message is one plain sentence saying what is wrong and what to do."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says that memory, of the GPU or the CPU, did not suffice."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, without importing torch
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)
