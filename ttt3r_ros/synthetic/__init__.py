"""Procedural indoor sequences with exact depth and poses, made on the fly from a seed."""
