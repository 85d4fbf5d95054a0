"""Drills: each alert fires under its own fault, on real parts, and is silent without it."""
