"""Camera poses from images and the network's depth, by geometry (OpenCV, SciPy)."""
