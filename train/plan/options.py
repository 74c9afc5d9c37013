"""The options of `--plan`. Does not import JAX, which must not start before the target is known."""

import dataclasses

from train.command_line import fail, take_option
from train.plan.target import FORMS, Target, parse_target

PLAN_HELP = f"""\
Plans, which train nothing and need neither the device nor the data:
  --plan TARGET        compile the training step for TARGET and report whether it compiles and fits,
                       the largest batch, and an estimate of its speed. TARGET:
                       {FORMS}
  --plan-out FILE      where to write the plan; default: plan.json in the current folder, replaced
  --plan-classes N     number of classes, for datasets that do not always have the same
  --no-plan-search     do not look for the largest batch and the fewest parts, which takes a few
                       more compilations"""


@dataclasses.dataclass(frozen=True)
class PlanOptions:
    """The options of a plan.

    Attributes:
        target: the devices.
        out: file to write.
        classes: number of classes; 0: that of the dataset.
        search: whether to look for the largest batch that fits.
    """

    target: Target
    out: str
    classes: int
    search: bool


def take_plan_options(arguments: list[str]) -> tuple[PlanOptions | None, list[str]]:
    """Returns the options of a plan, None if no plan is asked for, and the other arguments.

    Wrong options end the program with a message.
    """
    text, rest = take_option(arguments, "--plan", "", "h100")
    out, rest = take_option(rest, "--plan-out", "", "plan.json")
    classes, rest = take_option(rest, "--plan-classes", "", "101")
    search = "--no-plan-search" not in rest
    rest = [argument for argument in rest if argument != "--no-plan-search"]
    if not text:
        if out or classes or not search:
            fail("--plan-out, --plan-classes and --no-plan-search need --plan TARGET.")
        return None, rest
    if classes and not (classes.isdecimal() and int(classes)):
        fail(f"--plan-classes: got {classes!r}; give a number of classes, 1 or more.")
    try:
        target = parse_target(text)
    except ValueError as error:
        fail(str(error))
    return PlanOptions(target, out or "plan.json", int(classes or 0), search), rest
