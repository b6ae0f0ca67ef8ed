"""Install the package: ament_python for colcon, the same for pip."""

from pathlib import Path

from setuptools import find_packages, setup

NAME = 'ttt3r_ros'


def files(pattern: str) -> list[str]:
    """List files of this folder, as setuptools wants them."""
    return sorted(map(str, Path().glob(pattern)))


setup(
    name=NAME,
    version='0.1.0',
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    package_data={NAME: ['weights/*', 'node/fastdds.xml']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml', 'LICENSE']),
        (f'share/{NAME}/config', [*files('config/*.*'), f'{NAME}/node/fastdds.xml']),
        (f'share/{NAME}/config/sros2', files('config/sros2/*')),
        (f'share/{NAME}/launch', files('launch/*.launch.py')),
    ],
    entry_points={
        'console_scripts': [
            'reconstruction_node = ttt3r_ros.node.main:main',
            'sequence_player = ttt3r_ros.node.sequence_player:main',
            'topic_recorder = ttt3r_ros.node.topic_recorder:main',
            'ttt3r = ttt3r_ros.cli.main:main',
        ],
    },
    install_requires=['setuptools'],
    zip_safe=False,
    maintainer='ttt3r_ros maintainers',
    maintainer_email='ttt3r_ros@example.org',
    description='Metric 3D from one RGB camera, online: CUT3R with the state update of TTT3R',
    license='Apache-2.0',
    python_requires='>=3.10',
)
