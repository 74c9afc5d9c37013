"""Stopping all processes at the same step when one of them is asked to."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from train.parallel import any_on, own_devices


class Agreement:
    """Tells all processes at the same step that one of them has been asked to stop.

    All of them call it once per step. The answer is that of the call before, so that it comes while
    the devices compute a step: a request takes effect one step later than with a single process.
    """

    def __init__(self, devices: Sequence[jax.Device]):
        self._own = len(own_devices(devices))
        self._any = any_on(list(devices)) if jax.process_count() > 1 else None
        self._asked: Any = None

    @property
    def immediate(self) -> bool:
        """Whether a request takes effect at once, because there is only one process."""
        return self._any is None

    def stop(self, requested: bool) -> bool:
        """Returns whether to stop before the next step."""
        if self._any is None:
            return requested
        before, self._asked = self._asked, self._any(np.full(self._own, requested))
        return before is not None and bool(before)
