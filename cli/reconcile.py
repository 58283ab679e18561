"""TODO."""


def reconcile() -> None:
    """x"""
