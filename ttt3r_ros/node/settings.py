"""What can be set about the node itself; the reconstruction has its own settings."""

from __future__ import annotations

from dataclasses import dataclass

from ttt3r_ros.settings import check_settings, setting


@dataclass(frozen=True, kw_only=True)
class NodeConfig:
    """Settings of the node; each becomes one ROS parameter."""

    autostart: bool = setting(
        True, 'Configure and activate by itself; false where a lifecycle manager does it.'
    )

    image_transport: str = setting(
        'raw', 'Which kind of image topic to subscribe to.', choices=('raw', 'compressed')
    )
    image_qos: str = setting(
        'sensor_data',
        'Quality of service of the image subscription: best effort, or reliable.',
        choices=('sensor_data', 'reliable'),
    )
    input_queue: int = setting(
        0,
        '0: the newest image wins and older ones are dropped; N > 0: a queue of N images, none '
        'dropped (recordings); reliable, unless they are published best effort.',
        ge=0,
        le=100_000,
    )
    image_timeout: float = setting(
        5.0,
        'Seconds without an image before diagnostics warn, and a camera of another frame_id may '
        'take over.',
        ge=0.1,
        le=3600.0,
    )
    camera_info_url: str = setting(
        '',
        'Calibration file (YAML) that is used instead of the topic camera_info: a path, file:// '
        'or package://.',
    )
    rectified_input: bool = setting(
        False,
        'The images are rectified already (image_rect): never undistort them, and take the '
        'camera matrix from P of camera_info.',
    )
    time_jump_threshold: float = setting(
        1.0,
        'Seconds that stamps or clock must jump back to start a new epoch (a bag that loops).',
        ge=0.0,
        le=3600.0,
    )

    min_confidence: float = setting(
        1.0,
        'Points less confident than this are left out; 1 keeps all. See confidence/image for '
        'the range that a network uses.',
        ge=1.0,
        runtime=True,
    )
    max_depth: float = setting(
        20.0,
        'Points farther than this many metres are left out; 0: no limit.',
        ge=0.0,
        runtime=True,
    )
    organized_points: bool = setting(
        False, 'Publish points as an H x W cloud with NaN for what is left out.'
    )
    points_source: str = setting(
        'pose',
        'World points of the map: camera points moved by the pose, or the world head of the '
        'network.',
        choices=('pose', 'network_world'),
    )
    voxel_size: float = setting(
        0.05, 'Edge of a voxel of the map in metres.', ge=0.001, le=10.0, runtime=True
    )
    max_map_points: int = setting(
        500_000,
        'Most points the map may hold; 100 bytes of memory are taken for each.',
        ge=1000,
        le=50_000_000,
    )
    map_rate: float = setting(1.0, 'How often map_points may be published, Hz.', ge=0.01, le=30.0)
    max_path_length: int = setting(2000, 'Most poses in path; older ones go.', ge=1, le=1_000_000)
    covariance_scale: float = setting(
        1.0, 'Factor on the standard deviations of odometry.', ge=0.001, le=1000.0
    )
    intrinsics_tolerance: float = setting(
        0.25,
        'How far the estimated focal length may lie from that of camera_info, as a fraction, '
        'before diagnostics warn.',
        ge=0.0,
    )

    map_frame: str = setting('map', 'Frame of the map, z up.')
    odom_frame: str = setting('odom', 'Frame in which odometry is continuous.')
    base_frame: str = setting(
        '', 'Frame of the robot that carries the camera, such as base_link; empty: the camera.'
    )
    camera_frame: str = setting(
        '', 'Optical frame of the camera; empty: the frame_id of the images.'
    )
    frame_prefix: str = setting('', 'Put before every frame name (for several cameras).')
    camera_tilt: float = setting(
        0.0,
        'Angle by which the first image looks down, in radians, where no base_frame tells it.',
        ge=-1.5707,
        le=1.5707,
    )
    publish_tf: bool = setting(True, 'Publish transforms at all.')
    publish_odom_tf: bool = setting(
        True,
        'Publish the pose in odom_frame as a transform; false where another source of odometry '
        'does, then only map_frame to odom_frame is published.',
    )
    publish_map_tf: bool = setting(
        True, 'Publish map_frame to odom_frame; false where a localiser (AMCL, SLAM) does.'
    )
    transform_tolerance: float = setting(
        0.1,
        'Seconds by which map_frame to odom_frame is dated ahead of the image, where another '
        'source owns odom_frame.',
        ge=0.0,
        le=10.0,
    )

    map_directory: str = setting(
        '', 'Folder that the save_map service writes to; empty: ttt3r under ROS_HOME (~/.ros).'
    )

    def __post_init__(self) -> None:
        check_settings(self)
        for name in ('map_frame', 'odom_frame'):
            if not getattr(self, name):
                raise ValueError(f'{name} is empty; a frame name is needed')
        names = [self.map_frame, self.odom_frame, self.base_frame, self.camera_frame]
        slashed = [name for name in [self.frame_prefix, *names] if name.startswith('/')]
        if slashed:
            raise ValueError(f'{slashed[0]!r} begins with a slash; frames of tf2 have none')
        given = [name for name in names if name]
        if len(set(given)) < len(given):
            raise ValueError(f'frames must differ; they are {", ".join(given)}')
