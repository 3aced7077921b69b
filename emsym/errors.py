"""The error that a user can cause."""


class UserError(Exception):
    """One plain sentence: what is wrong and what to do about it.

    The command line prints it without a traceback and exits with code 2.
    """
