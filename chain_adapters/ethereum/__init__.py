"""Ethereum and every chain that speaks its JSON-RPC (namespace eip155 of CAIP-2)."""
