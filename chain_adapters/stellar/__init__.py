"""Stellar over Horizon: lumens (XLM) and issued assets."""
