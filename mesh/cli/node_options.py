"""The options that shape a node: ``mesh join`` takes them and passes them on to ``mesh sidecar``."""

import argparse
from pathlib import Path

from mesh.cli.options import Options, UsageError
from mesh.control.sidecar_options import SidecarOptions, declared


def configure(options: Options) -> None:
    for option in declared():
        shown = argparse.SUPPRESS if option.rare else option.help
        if option.is_switch:
            options.switch(option.flag, help=shown)
        else:
            options.value(option.flag, convert=option.read, metavar=option.metavar, help=shown)


def sidecar_options(args: argparse.Namespace, state: str, foreground: bool = False) -> SidecarOptions:
    """The options as the sidecar takes them. Raises `UsageError` where they contradict each other."""
    if args.listen and not args.api_key:
        raise UsageError(
            "--listen opens the API to others, so it takes --api-key FILE", "write one word into a file"
        )
    if args.api_key and not args.listen:
        raise UsageError("--api-key FILE goes with --listen ADDR", "--listen 0.0.0.0 is for all addresses")
    values = {option.name: getattr(args, option.name) for option in declared()}
    given = {name: value for name, value in values.items() if value is not None}
    return SidecarOptions(Path(state), args.log_format, given, foreground)


def as_arguments(options: SidecarOptions) -> list[str]:
    """The given options as a command line for ``mesh sidecar``; none of them is secret."""
    arguments = []
    for option in declared():
        value = options.given.get(option.name)
        if isinstance(value, bool):
            arguments.append(option.flag if value else option.flag.replace("--", "--no-", 1))
        elif value is not None:
            arguments.append(f"{option.flag}={value}")
    return arguments
