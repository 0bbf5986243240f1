"""The tables that the command prints, each with the data that ``--json`` gives instead."""

from typing import TYPE_CHECKING, Any

from .terminal import Terminal

if TYPE_CHECKING:
    from .network import Network

__all__ = ["show_layers"]


def show_layers(terminal: Terminal, network: "Network") -> dict[str, Any]:
    """Print the layers of a network; returns them with the totals."""
    table = network.table()
    terminal.table(
        ["layer", "operator", "output shape", "parameters", "MACs"],
        (
            [row.name, row.op, " x ".join(map(str, row.output_shape)), row.params, row.macs]
            for row in table.itertuples(index=False)
        ),
        title=network.name,
        total=["total", "", "", network.params, network.macs],
    )
    return {
        "layers": table.to_dict("records"),
        "params": network.params,
        "macs": network.macs,
    }
