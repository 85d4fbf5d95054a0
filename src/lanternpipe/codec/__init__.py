"""Bytes to typed events and back."""
