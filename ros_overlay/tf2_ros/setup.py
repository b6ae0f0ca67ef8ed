"""Installs the package where ROS tools look for it."""

from setuptools import setup

NAME = 'tf2_ros'

setup(
    name=NAME,
    version='0.1.0',
    packages=[NAME],
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml']),
    ],
    description='The parts of tf2_ros that ttt3r_ros uses, without a ROS distribution',
    license='Apache-2.0',
    python_requires='>=3.10',
)
