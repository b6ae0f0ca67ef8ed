"""Rigid motions and pinhole cameras."""
