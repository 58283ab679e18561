"""TODO."""


def doctor() -> None:
    """x"""
