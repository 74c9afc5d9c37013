"""How each paper evaluates: the views of a video, and how their scores become one.

| protocol | views of a video | source |
|---|---|---|
| `clips` | K evenly spaced clips (K of the run's recipe, or `--clips`), centre crop | ours |
| `actionflownet` | 64 random crops of random clips | Ng et al. 2018, section 4.2 |
| `hidden-two-stream` | 25 clips x 10 crops, mean before softmax | Zhu et al. 2018, section 3.3 |
| `uf-tsn` | 25 clips, centre crop | UF-TSN, section 3.2 |
| `representation-flow` | clips that cover the video at the run's stride | Piergiovanni 2018, 3.3 |

Crops are .875 of the largest box where the papers cut 224 from 256 pixels. Of networks of segments
(TSN) each clip is one of all segments, as in training: 25 clips are 75 stacks of flow.
"""

import dataclasses
from typing import Literal

from afn_jax.data.transforms.views import Views

ProtocolName = Literal[
    "clips", "actionflownet", "hidden-two-stream", "uf-tsn", "representation-flow"
]
Space = Literal["logits", "probabilities"]


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a video is judged.

    Attributes:
        name: as on the command line.
        views: the clips and crops that are looked at.
        space: what is averaged over them: logits, so before softmax, or probabilities.
        fusion_weights: of the scores of a spatial and a temporal stream, where the paper fuses two.
    """

    name: ProtocolName
    views: Views
    space: Space
    fusion_weights: tuple[float, float] | None = None

    def describe(self) -> str:
        """One line for people."""
        views, count = self.views, self.views.clips
        clips = {
            "uniform": f"{count} evenly spaced clip{'s' * (count > 1)}",
            "random": f"{count} random clip{'s' * (count > 1)}",
            "cover": "as many clips as cover the video",
        }
        crops = {"center": "center crop", "ten": "ten crops each", "random": "a random crop each"}
        return (
            f"protocol {self.name}: {clips[views.when]}, {crops[views.crops]}; "
            f"{self.space} averaged"
        )


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol("clips", Views(), "probabilities"),
        # "average the prediction scores": guessed that these are probabilities. The scale of the
        # crops is guessed too.
        Protocol(
            "actionflownet",
            Views(64, when="random", crops="random", scale=0.875),
            "probabilities",
        ),
        # The released evaluation steps floor((n - 10) / 25) frames from clip to clip; here the 25
        # reach to the end of the video.
        Protocol("hidden-two-stream", Views(25, crops="ten", scale=0.875), "logits", (1.0, 1.5)),
        # "no augmentation": guessed that it is the centre crop of CoViAR, whose scores, like these,
        # are averaged without softmax.
        Protocol("uf-tsn", Views(25, scale=0.875), "logits", (1.0, 1.0)),
        # The networks average the logits of a clip's frames (Eq. 11). Guessed: that at test time
        # the whole video counts, not one clip; at the stride of the training, so that of its every
        # second frame those between are not seen, as there.
        Protocol("representation-flow", Views(when="cover"), "logits"),
    )
}


def find_protocol(name: str, clips: int = 0) -> Protocol:
    """The protocol of that name, with another number of clips if `clips` is not 0.

    Raises:
        ValueError: there is none, or it has no number of clips.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"protocol: got {name!r}, allowed are {', '.join(PROTOCOLS)}.")
    protocol = PROTOCOLS[name]
    if not clips:
        return protocol
    if protocol.views.when == "cover":
        raise ValueError(
            f"clips: got {clips}, but protocol {name} takes as many as cover the video. "
            "Leave out --clips."
        )
    return dataclasses.replace(protocol, views=dataclasses.replace(protocol.views, clips=clips))
