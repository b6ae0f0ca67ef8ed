"""Reading recordings and writing results; no ROS installation is needed for any of it."""
