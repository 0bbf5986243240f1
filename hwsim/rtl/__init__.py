"""The hardware, in Amaranth: streaming units, pipelines built from them, and their Verilog."""
