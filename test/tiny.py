"""The smallest network that has everything, for tests that need any network."""

from ttt3r_ros.model.config import NetworkConfig

TINY = NetworkConfig(
    image_size=64,
    encoder_width=32,
    encoder_depth=1,
    encoder_heads=2,
    decoder_width=32,
    decoder_depth=2,
    decoder_heads=2,
    state_heads=2,
    state_tokens=10,
    memory_slots=4,
    dpt_widths=(8, 8, 8, 8),
    dpt_features=8,
    dpt_head_width=8,
)
