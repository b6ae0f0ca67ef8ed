"""Metric 3D reconstruction from a plain RGB camera, for ROS 2 (TTT3R, arXiv 2509.26645)."""

__version__ = '0.1.0'
