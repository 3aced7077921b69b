"""The trial of one strategy inside a worker; torch is imported there alone."""


def wrong_shape(name: str, slices: int) -> str:
    """Say what a strategy gives instead of weights for S slices; nothing where they are right."""
    from emsym.models.inits import parse_init
    from emsym.models.stem.fill import shape_fault

    return shape_fault(parse_init(name), slices)
