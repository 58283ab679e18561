"""Adapters: one small interface through which every chain is read and paid on."""
