"""The one kind of error that people see."""


class UserError(ValueError):
    """Something the person asking can put right; its message is one plain sentence saying what is wrong and what to do."""
