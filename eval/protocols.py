"""The papers' test protocols: the views of each video, and how their scores are averaged.

| protocol | views of a video | source |
|---|---|---|
| `clips` | K evenly spaced clips (K from the run's settings or `--clips`), center crop | ours |
| `actionflownet` | 64 random crops of random clips | Ng et al. 2018, section 4.2 |
| `hidden-two-stream` | 25 clips x 10 crops, mean before softmax | Zhu et al. 2018, section 3.3 |
| `uf-tsn` | 25 clips, center crop | UF-TSN, section 3.2 |
| `representation-flow` | clips that cover the video at the run's stride | Piergiovanni 2018, 3.3 |

Where the papers crop 224 from 256 pixels, crops are .875 of the largest box. For networks with
segments (TSN), each clip consists of all segments, as in training: 25 clips are 75 stacks of flow.
"""

import dataclasses
from typing import Literal

from afn_jax.data.transforms.views import Views
from afn_jax.near_names import unknown_name

Space = Literal["logits", "probabilities"]


@dataclasses.dataclass(frozen=True)
class Protocol:
    """A test protocol.

    Attributes:
        name: its key in `PROTOCOLS`.
        views: the clips and crops of each video.
        space: what is averaged over the views: logits (before softmax) or probabilities.
        fusion_weights: weights of the spatial and the temporal stream, if the paper fuses them.
        clips_of_run: whether the run's `test_clips` is the number of clips.
    """

    name: str
    views: Views
    space: Space
    fusion_weights: tuple[float, float] | None = None
    clips_of_run: bool = False

    def describe(self) -> str:
        """Returns one line for reports."""
        views, count = self.views, self.views.clips
        clips = {
            "uniform": f"{count} evenly spaced clips" if count > 1 else "the middle clip",
            "random": f"{count} random clip{'s' * (count > 1)}",
            "cover": "as many clips as cover the video",
        }
        crops = {
            "center": "center crop",
            "ten": "ten crops per clip",
            "random": "one random crop per clip",
        }
        return (
            f"protocol {self.name}: {clips[views.when]}, {crops[views.crops]}; "
            f"mean of the {self.space}"
        )


# The only list of protocols: the command line and `TrainConfig.protocol` use these names.
PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol("clips", Views(), "probabilities", clips_of_run=True),
        # "average the prediction scores": guessed that these are probabilities. The scale of the
        # crops is guessed too.
        Protocol(
            "actionflownet",
            Views(64, when="random", crops="random", scale=0.875),
            "probabilities",
        ),
        # The released evaluation moves floor((n - 10) / 25) frames from clip to clip; here the 25
        # clips reach the end of the video.
        Protocol("hidden-two-stream", Views(25, crops="ten", scale=0.875), "logits", (1.0, 1.5)),
        # "no augmentation": guessed that this is the center crop of CoViAR, which also averages
        # scores without softmax.
        Protocol("uf-tsn", Views(25, scale=0.875), "logits", (1.0, 1.0)),
        # The networks average the logits over the frames of a clip (Eq. 11). Guessed: the test
        # covers the whole video, not one clip, at the stride of training. With stride 2, the frames
        # in between are unused, as in training.
        Protocol("representation-flow", Views(when="cover"), "logits"),
    )
}
ProtocolName = Literal[*PROTOCOLS]


def find_protocol(name: str, clips: int = 0) -> Protocol:
    """Returns the protocol of that name.

    Args:
        name: a key of `PROTOCOLS`.
        clips: number of clips per video; 0: as the protocol has it.

    Raises:
        ValueError: unknown name, or `clips` for a protocol whose clips cover the video.
    """
    if name not in PROTOCOLS:
        raise ValueError(unknown_name("protocol", name, PROTOCOLS))
    protocol = PROTOCOLS[name]
    if not clips:
        return protocol
    if protocol.views.when == "cover":
        raise ValueError(
            f"clips: got {clips}, but protocol {name} uses as many clips as cover the video. "
            "Leave out --clips."
        )
    return dataclasses.replace(protocol, views=dataclasses.replace(protocol.views, clips=clips))
