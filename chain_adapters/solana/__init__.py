"""Solana: SOL, SPL tokens, Token-2022."""
