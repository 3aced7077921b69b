"""The examples that a command's help ends with."""


def examples(*commands: str) -> str:
    """Return the end of a command's help: commands as they are typed, which click does not wrap.

    >>> print(examples("emsym-bench list inits"))
    \x08
    Examples:
      emsym-bench list inits
    """
    return "\n".join(["\b", "Examples:", *(f"  {command}" for command in commands)])
