"""TODO."""


def rescan() -> None:
    """x"""
