"""The command ``hwsim``: each command is thin, and imports what it needs when it runs."""

import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from hwsim.terminal import clean

from .accelerators import benchmark, compile_program, prove, simulate, synth, verilog
from .estimates import calibrate, devices, estimate, validate
from .exploration import explore
from .filters import filter_picture
from .networks import info, quantize, show_pictures
from .options import DONE, expand
from .reports import compare, demo, write_report
from .training import train

__all__ = ["app", "main"]

BAD_INPUT = 2  # the exit status

# In the order of the help.
COMMANDS: dict[str, Callable[..., int]] = {
    "demo": demo,
    "info": info,
    "quantize": quantize,
    "verilog": verilog,
    "compile": compile_program,
    "simulate": simulate,
    "pictures": show_pictures,
    "train": train,
    "estimate": estimate,
    "synth": synth,
    "explore": explore,
    "devices": devices,
    "filter": filter_picture,
    "validate": validate,
    "report": write_report,
    "compare": compare,
    "prove": prove,
    "calibrate": calibrate,
    "benchmark": benchmark,
}

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for name, command in COMMANDS.items():
    app.command(name)(expand(command))


@app.callback(
    invoke_without_command=True, epilog="Exit status: 0 done, 1 negative result, 2 bad input."
)
def hwsim_command(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """From a trained CNN (ONNX) to verified hardware and a performance report.

    A model goes in. Out come synthesizable Verilog, a cycle-accurate simulation of it, compared bit
    by bit with an integer reference, and an estimate of the same network on CPUs, GPUs, TPUs and
    FPGAs. Start with **hwsim demo**, or with the layers of a bundled network:
    **hwsim info lenet5**.
    """
    if version:
        from hwsim.version import __version__

        print(f"hwsim {__version__}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit. ``arguments`` are those of the process unless given."""
    if arguments is None:
        # A reader that has seen enough, as in ``hwsim devices | head``, ends the command silently.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        # What Amaranth says of hardware that is abandoned, because a command is interrupted.
        warnings.filterwarnings("ignore", ".* created but never used")
    sys.exit(_run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    try:
        status = app(args=arguments, prog_name="hwsim", standalone_mode=False) or DONE
        # Here, so that a full disk is reported like any other error.
        print(end="", flush=True)
        return status
    except TyperException as error:
        problem = error.format_message().replace("Value error, ", "")
    except OSError as error:
        reason = error.strerror or str(error)
        problem = reason if error.filename is None else f"{error.filename}: {reason}"
    except MemoryError as error:
        problem = f"there is not enough memory: {error}"
    except (TypeError, ValueError) as error:
        if not _is_refusal(error):
            raise
        problem = str(error)
    print("hwsim: error:", clean(" ".join(problem.split())), file=sys.stderr)
    return BAD_INPUT


def _is_refusal(error: BaseException) -> bool:
    """Whether a ``raise`` statement of this package raised the error.

    Such an error is a sentence about what was given. Any other is a mistake in this package, and
    needs its traceback.
    """
    last = traceback.extract_tb(error.__traceback__)[-1]
    ours = Path(last.filename).is_relative_to(Path(__file__).parents[1])
    return ours and (last.line or "").startswith("raise ")
