"""What the node publishes about each frame, and only if somebody listens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nav_msgs.msg import Odometry, Path
import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.geometry.se3 import Transform
from ttt3r_ros.node.clouds import cloud_message
from ttt3r_ros.node.conversions import camera_info_message, image_message, pose_message
from ttt3r_ros.view import View

try:
    from rclpy.event_handler import PublisherEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks

TOPICS: dict[str, type[Any]] = {
    'points': PointCloud2,
    'map_points': PointCloud2,
    'depth/image': Image,
    'depth/camera_info': CameraInfo,
    'color/image': Image,
    'color/camera_info': CameraInfo,
    'estimated_camera_info': CameraInfo,
    'confidence/image': Image,
    'odometry': Odometry,
    'path': Path,
}
_LARGE = ('points', 'map_points', 'path')
_LATCHED = ('map_points',)


def topic_qos(name: str) -> QoSProfile:
    """Return the quality of service of an output, before overrides."""
    latched = name in _LATCHED
    return QoSProfile(
        # A slow listener to something large gets the newest, not a backlog.
        depth=1 if name in _LARGE else 10,
        # Reliable, so that both kinds of subscribers match.
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


@dataclass(frozen=True)
class Motion:
    """
    What odometry says about one frame.

    :param pose: `T_odom_base` [4, 4]
    :param twist: linear and angular velocity in the base frame [6]
    :param pose_covariance: metres and radians, about the axes of odom [6, 6]
    :param twist_covariance: m/s and rad/s, about the axes of the base frame [6, 6]
    """

    pose: Transform
    twist: NDArray[np.float64]
    pose_covariance: NDArray[np.float64]
    twist_covariance: NDArray[np.float64]


class Outputs:
    """
    The publishers of the node.

    :param node: whose publishers they are; they publish while it is active
    """

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self.sent = dict.fromkeys(TOPICS, 0)  # messages so far; each topic has one thread
        self._publishers = {
            name: node.create_lifecycle_publisher(
                kind,
                name,
                topic_qos(name),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
                event_callbacks=PublisherEventCallbacks(use_default_callbacks=False),
            )
            for name, kind in TOPICS.items()
        }

    def destroy(self) -> None:
        """Remove the publishers."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers.clear()

    def wanted(self, name: str) -> bool:
        """Tell whether somebody listens to a topic."""
        publisher = self._publishers.get(name)
        return publisher is not None and publisher.get_subscription_count() > 0

    def send(self, name: str, msg: Any) -> None:
        """Publish a message; nothing happens once the publishers are removed."""
        publisher = self._publishers.get(name)  # cleaning up does not wait for the map's timer
        if publisher is not None:
            publisher.publish(msg)
            self.sent[name] += 1

    def send_images(self, view: View, valid: NDArray[np.bool_], header: Header) -> None:
        """Publish depth, colour and confidence, each with the size of the network's image."""
        if self.wanted('depth/image'):
            depth = np.where(valid, view.depth, np.float32(np.nan))
            self.send('depth/image', image_message(depth, '32FC1', header))
        if self.wanted('color/image'):
            self.send('color/image', image_message(view.image, 'rgb8', header))
        if self.wanted('confidence/image'):
            self.send('confidence/image', image_message(view.confidence, '32FC1', header))
        for name in ('depth/camera_info', 'color/camera_info'):
            if self.wanted(name):
                self.send(name, camera_info_message(view.intrinsics, header))

    def send_estimate(self, camera: Intrinsics, header: Header) -> None:
        """Publish the camera as estimated for the input image."""
        if self.wanted('estimated_camera_info'):
            self.send('estimated_camera_info', camera_info_message(camera, header))

    def send_points(
        self, view: View, valid: NDArray[np.bool_], header: Header, *, organized: bool
    ) -> None:
        """Publish the points of this frame, in the frame of the camera."""
        if not self.wanted('points'):
            return
        if organized:
            points = np.where(valid[..., None], view.points, np.float32(np.nan))
            msg = cloud_message(points, view.image, header, view.confidence)
        else:
            chosen = view.points[valid], view.image[valid]
            msg = cloud_message(*chosen, header, view.confidence[valid])
        self.send('points', msg)

    def send_odometry(self, motion: Motion, header: Header, child_frame: str) -> None:
        """Publish pose and velocity."""
        if self.wanted('odometry'):
            self.send('odometry', odometry_message(motion, header, child_frame))


def odometry_message(motion: Motion, header: Header, child_frame: str) -> Odometry:
    """Build an odometry message."""
    msg = Odometry(header=header, child_frame_id=child_frame)
    msg.pose.pose = pose_message(motion.pose)
    msg.pose.covariance = motion.pose_covariance.ravel()
    linear, angular = msg.twist.twist.linear, msg.twist.twist.angular
    linear.x, linear.y, linear.z = motion.twist[:3].tolist()
    angular.x, angular.y, angular.z = motion.twist[3:].tolist()
    msg.twist.covariance = motion.twist_covariance.ravel()
    return msg
