"""What Bitcoin and the chains made from it share: each is a set of constants, a `UtxoChain`."""
