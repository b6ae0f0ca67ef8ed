"""The parts of sensor_msgs_py that ttt3r_ros uses, without a ROS distribution."""
