"""Inspects traced functions without running them."""


def equations_in(program):
    """Yields all equations of a jaxpr, including those of the jaxprs that it calls."""
    for equation in program.eqns:
        called = [inner for value in equation.params.values() for inner in _programs_in(value)]
        if not called:
            yield equation
        for inner in called:
            yield from equations_in(inner)


def all_equations_in(program):
    """Yields all equations of a jaxpr: those that call other jaxprs, and those that are called."""
    for equation in program.eqns:
        yield equation
        for value in equation.params.values():
            for inner in _programs_in(value):
                yield from all_equations_in(inner)


def _programs_in(parameter):
    if isinstance(parameter, tuple | list):
        return [program for each in parameter for program in _programs_in(each)]
    parameter = getattr(parameter, "jaxpr", parameter)
    return [parameter] if hasattr(parameter, "eqns") else []
