"""From cells to what is scarce: look-up tables, flip-flops, DSPs, block RAMs, carries."""

__all__ = ["RESOURCES", "count"]

RESOURCES = ("lut", "ff", "dsp", "bram", "carry")


def count(cells, family):
    """Look-up tables, flip-flops, DSPs, block RAMs and carry cells of a family's cells.

    Parameters
    ----------
    cells : dict of str to int
        Number of cells by type.
    family : Family

    Returns
    -------
    dict of str to int
        By the names in `RESOURCES`.
    """
    tables = (family.luts, family.flip_flops, family.dsps, family.block_rams, family.carries)
    return {
        name: sum(number * table.get(kind, 0) for kind, number in cells.items())
        for name, table in zip(RESOURCES, tables, strict=True)
    }
