"""One block of each chain at its peak load."""
