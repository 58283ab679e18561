"""Key paths, encryption at rest, the signer, limits and approval of withdrawals."""
