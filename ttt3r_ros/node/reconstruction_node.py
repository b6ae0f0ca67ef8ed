"""The lifecycle node: camera images in, depth, points and poses out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import time
import traceback
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleState
from rclpy.lifecycle import TransitionCallbackReturn as Result
from rclpy.parameter import Parameter
from rclpy.timer import Timer
from std_srvs.srv import SetBool, Trigger

from ttt3r_ros.errors import Ttt3rError
from ttt3r_ros.node.bond import create_bond
from ttt3r_ros.node.clocks import steady_clock
from ttt3r_ros.node.decoding import choose_decoder
from ttt3r_ros.node.diagnostics import HealthCheck, Situation
from ttt3r_ros.node.frames import frame_of_map_points
from ttt3r_ros.node.managed_node import ManagedNode
from ttt3r_ros.node.memory import SeldomTrim, give_back_memory, trim_heap, tune_allocator
from ttt3r_ros.node.outputs import Outputs
from ttt3r_ros.node.parameters import Parameters
from ttt3r_ros.node.pipeline import Pipeline, Report
from ttt3r_ros.node.receiver import ImageReceiver, Received
from ttt3r_ros.node.record import Record, map_directory
from ttt3r_ros.node.seldom_warnings import SeldomWarnings
from ttt3r_ros.node.settings import NodeConfig
from ttt3r_ros.node.statistics import Statistics
from ttt3r_ros.node.transforms import Transforms
from ttt3r_ros.node.worker import Worker
from ttt3r_ros.reconstructor import Reconstructor, ReconstructorConfig

CONFIGS = (ReconstructorConfig, NodeConfig)
_THROTTLE = 5.0  # seconds between two warnings of one kind
_TRIM_PERIOD = 10.0  # seconds


class ReconstructionNode(ManagedNode):
    """
    See docs/topics.md for what it subscribes to, publishes and serves.

    Callbacks only judge and enqueue; the network runs in a thread of its own.

    :param make_reconstructor: builds the network from its settings
    :param on_crash: called if the worker thread ends by a mistake of ours
    :param options: passed to the ROS node (namespace, parameter_overrides, ...)
    """

    def __init__(
        self,
        make_reconstructor: Callable[[ReconstructorConfig], Reconstructor] = Reconstructor,
        on_crash: Callable[[], None] = lambda: None,
        **options: Any,
    ) -> None:
        super().__init__('ttt3r', **options)
        self._make_reconstructor = make_reconstructor
        self._on_crash = on_crash
        self._parameters_of_node = Parameters(self, CONFIGS)
        self.add_on_set_parameters_callback(self._on_parameters)
        self._config = NodeConfig()
        self._reconstructor_config = ReconstructorConfig()
        self._statistics = Statistics()
        self._problem = ''
        self._transforms: Transforms | None = None
        self._outputs: Outputs | None = None
        self._receiver: ImageReceiver | None = None
        self._record: Record | None = None
        self._pipeline: Pipeline | None = None
        self._worker: Worker[Received] | None = None
        self._map_timer: Timer | None = None
        self._trim_after_map = SeldomTrim()
        self._bond: Any = None

        group = MutuallyExclusiveCallbackGroup()
        for name, kind, callback in (
            ('~/reset', Trigger, self._on_reset),
            ('~/pause', SetBool, self._on_pause),
            ('~/save_map', Trigger, self._on_save_map),
        ):
            self.create_service(kind, name, callback, callback_group=group)
        self._health = HealthCheck(self.get_fully_qualified_name())
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        # On a clock that no recording can stop.
        self.create_timer(
            1.0,
            self._publish_diagnostics,
            callback_group=MutuallyExclusiveCallbackGroup(),
            clock=steady_clock(),
        )
        self.create_timer(
            _TRIM_PERIOD,
            trim_heap,
            callback_group=MutuallyExclusiveCallbackGroup(),
            clock=steady_clock(),
        )
        self._jumps = self.get_clock().create_jump_callback(
            JumpThreshold(
                min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=False
            ),
            post_callback=self._on_clock_jump,
        )

        self._start_timer = self.create_timer(
            0.0, self._autostart, callback_group=MutuallyExclusiveCallbackGroup()
        )

    # Lifecycle

    def _autostart(self) -> None:
        self.destroy_timer(self._start_timer)
        if self.get_parameter('autostart').value and self.trigger_configure() == Result.SUCCESS:
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> Result:
        """Read the settings, load the weights, and create the publishers."""
        self._problem = ''
        try:
            self._configure()
        except Exception as error:  # noqa: BLE001 - rclpy would hide it
            self._release()
            return self._refuse('configured', error)
        return super().on_configure(state)

    def _configure(self) -> None:
        for name in self._parameters_of_node.unknown():
            self.get_logger().warning(f'unknown parameter ignored: {name}')
        self._config = self._parameters_of_node.read(NodeConfig)
        self._reconstructor_config = self._parameters_of_node.read(ReconstructorConfig)
        if self._config.points_source == 'network_world':
            self._reconstructor_config = replace(self._reconstructor_config, world_head=True)
        began = time.monotonic()
        reconstructor = self._make_reconstructor(self._reconstructor_config)
        self.get_logger().info(
            f'network loaded in {time.monotonic() - began:.1f} s, on {reconstructor.device}'
        )
        wide = reconstructor.network.config.is_wide
        tune_allocator(wide=reconstructor.dtype.itemsize if wide else 0)
        give_back_memory()  # of loading
        self._build(reconstructor)

    def _refuse(self, what: str, error: Exception) -> Result:
        """Say why a transition fails; a mistake of ours with where it happened."""
        self._problem = f'cannot be {what}: {error or type(error).__name__}'
        expected = isinstance(error, (ValueError, RuntimeError, OSError, MemoryError, Ttt3rError))
        trace = '' if expected else '\n' + ''.join(traceback.format_exception(error))
        self.get_logger().error(self._problem + trace)
        return Result.FAILURE

    def _build(self, reconstructor: Reconstructor) -> None:
        config, logger = self._config, self.get_logger()
        warn = SeldomWarnings(logger.warning, _THROTTLE)
        decoder_name, decoder = choose_decoder()
        logger.info(f'images are decoded by {decoder_name}')

        def inform(text: str) -> None:
            logger.info(text)

        self._statistics = Statistics()
        self._outputs = Outputs(self)
        self._transforms = Transforms(self, config)
        self._record = Record(config.voxel_size, config.max_map_points, config.max_path_length)
        self._receiver = ImageReceiver(
            self, config, self._statistics, decoder, announce=self._announce_epoch, warn=warn
        )
        self._pipeline = Pipeline(
            reconstructor,
            self._receiver,
            self._outputs,
            self._transforms,
            self._record,
            self._statistics,
            config,
            now=lambda: int(self.get_clock().now().nanoseconds),
            warn=warn,
            inform=inform,
        )
        # what was set while the weights were loaded
        late = self._parameters_of_node.differing(config, self._reconstructor_config)
        self._pipeline.change_settings(late)

    def on_activate(self, state: LifecycleState) -> Result:
        """Subscribe and start to work."""
        self._problem = ''
        super().on_activate(state)  # enables the publishers
        try:
            self._start()
        except Exception as error:  # noqa: BLE001 - rclpy would hide it
            self.stop()
            super().on_deactivate(state)
            return self._refuse('activated', error)
        return Result.SUCCESS

    def _start(self) -> None:
        assert self._receiver is not None
        assert self._pipeline is not None
        self._receiver.subscribe()
        self._worker = Worker(
            self._receiver.queue,
            self._pipeline.process,
            self._on_crash,
            self._pipeline.prepare if self._pipeline.can_prepare else None,
        )
        self._map_timer = self.create_timer(
            1.0 / self._config.map_rate,
            self._publish_map,
            callback_group=MutuallyExclusiveCallbackGroup(),
            clock=steady_clock(),
        )
        self._bond = create_bond(self)
        self.get_logger().info(f'waiting for images on {self._receiver.topic}')

    def on_deactivate(self, state: LifecycleState) -> Result:
        """Stop; the state of the reconstruction is kept."""
        self.stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> Result:
        """Free everything that configuring created, the network included."""
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> Result:
        """Stop and free everything."""
        self.stop()
        self._release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> Result:
        """Go back to the state before configuring."""
        self.stop()
        self._release()
        return super().on_error(state)

    def destroy_node(self) -> None:
        """Stop to work, if a program that holds the node has not asked for it, and free all."""
        self.stop()
        super().destroy_node()

    def stop(self, timeout: float | None = None) -> None:
        """
        Stop to work.

        :param timeout: seconds to wait for the frame that is being computed; None: until it ends
        """
        if self._bond is not None:
            self._bond.shutdown()
            self._bond = None
        if self._map_timer is not None:
            self.destroy_timer(self._map_timer)
            self._map_timer = None
        if self._receiver is not None:
            self._receiver.unsubscribe()
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.join(timeout)

    def _release(self) -> None:
        if self._outputs is not None:
            self._outputs.destroy()
        if self._transforms is not None:
            self._transforms.destroy()
        self._outputs = self._transforms = self._receiver = None
        self._record = self._pipeline = None
        give_back_memory()

    # Services

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        pipeline = self._pipeline
        response.success = pipeline is not None
        response.message = 'a new epoch begins' if response.success else 'not configured'
        if pipeline is not None:
            self._announce_epoch(pipeline.reset(), 'reset was asked for')
        return response

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        receiver = self._receiver
        response.success = receiver is not None
        response.message = 'not configured'
        if receiver is not None:
            receiver.pause(request.data)
            response.message = 'paused' if request.data else 'running'
            self.get_logger().info(response.message)
        return response

    def _on_save_map(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        record = self._record
        if record is None:
            response.message = 'not configured'
            return response
        directory = map_directory(self._config.map_directory)
        try:
            ply, trajectory = record.save(directory, self.get_fully_qualified_name())
        except (Ttt3rError, OSError, MemoryError) as error:
            response.message = f'not saved: {error or "memory has run out"}'
            self.get_logger().error(response.message)
            return response
        response.success = True
        response.message = f'{ply} {trajectory}'
        self.get_logger().info(f'map saved: {response.message}')
        return response

    # Parameters, time, health

    def _on_parameters(self, changes: list[Parameter[Any]]) -> SetParametersResult:
        result, pipeline = self._parameters_of_node.check(changes), self._pipeline
        if not result.successful or pipeline is None:
            return result
        try:
            pipeline.change_settings({change.name: change.value for change in changes})
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return result

    def _on_clock_jump(self, _: TimeJump) -> None:
        pipeline = self._pipeline
        if pipeline is None:
            return
        epoch = pipeline.clock_jumped(self.get_clock().now().nanoseconds)
        if epoch is not None:
            self._announce_epoch(epoch, 'the clock was set back')

    def _announce_epoch(self, epoch: int, cause: str) -> None:
        self.get_logger().warning(
            f'{cause}: epoch {epoch} begins, poses start from identity again'
        )

    def _publish_map(self) -> None:
        outputs, record = self._outputs, self._record
        if outputs is None or record is None or not outputs.wanted('map_points'):
            return
        msg = record.map_message(frame_of_map_points(self._config))
        if msg is not None:
            outputs.send('map_points', msg)
            del msg
            self._trim_after_map()  # else copies of a growing map are kept until the next time

    def _publish_diagnostics(self) -> None:
        receiver, pipeline, outputs = self._receiver, self._pipeline, self._outputs
        now = self.get_clock().now()
        situation = Situation(state=self._state_machine.current_state[1], problem=self._problem)
        snapshot = self._statistics.snapshot(time.monotonic())
        if receiver is not None and pipeline is not None and outputs is not None:
            silent = snapshot.silence > self._config.image_timeout
            situation = replace(
                situation,
                topic=receiver.topic,
                paused=receiver.paused,
                epoch=receiver.epoch,
                device=pipeline.device,
                silent=receiver.why_silent() if silent else '',
                timeless=now.nanoseconds == 0,
                publishers=self.count_publishers(receiver.topic),
                age=receiver.age,
                sent=dict(outputs.sent),
            )
        report = Report() if pipeline is None else pipeline.report
        msg = DiagnosticArray()
        msg.header.stamp = now.to_msg()
        msg.status = self._health.judge(situation, snapshot, report, self._config)
        self._diagnostics.publish(msg)
