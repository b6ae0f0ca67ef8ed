"""Command line: `python -m ttt3r_ros.training --run training_runs/small`."""

from __future__ import annotations

from ttt3r_ros.training.command import main

if __name__ == '__main__':
    main()
