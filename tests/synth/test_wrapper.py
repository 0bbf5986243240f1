"""The wrapper: every port connected, nothing lost."""

from hwsim.rtl.verilog import Verilog
from hwsim.synth.wrapper import Port, ports, wrapper


def test_ports(design):
    assert ports(design.verilog) == (
        Port("clk", 1, False),
        Port("rst", 1, False),
        Port("m_axis_tdata", 8, True),
        Port("m_axis_tlast", 1, True),
        Port("m_axis_tready", 1, False),
        Port("m_axis_tvalid", 1, True),
        Port("s_axis_tdata", 8, False),
        Port("s_axis_tready", 1, True),
        Port("s_axis_tvalid", 1, False),
    )


def test_wrapper_has_four_pins_and_connects_every_port(design):
    name, text = wrapper(design.verilog)
    assert name == "tiny_pins"
    head = text[: text.index(");")]
    assert [line.split()[-1].strip(",") for line in head.splitlines() if "put " in line] == [
        "clk",
        "rst",
        "serial_i",
        "serial_o",
    ]
    for port in ports(design.verilog):
        assert f".{port.name}(" in text
    assert "reg [9:0] stimulus;" in text
    assert "reg [10:0] captured, chain;" in text


def test_name_of_the_wrapper_is_not_taken(design):
    verilog = design.verilog
    files = {**verilog.files, "tiny_pins.v": "module tiny_pins(); endmodule"}
    assert wrapper(Verilog("tiny", files))[0] == "tiny_pins_"


def test_a_port_of_one_bit():
    text = "\nmodule one(\n  input wire clk,\n  input wire a,\n  output reg b\n);\nendmodule\n"
    _, made = wrapper(Verilog("one", {"one.v": text}))
    assert "stimulus <= serial_i;" in made
    assert "chain <= captured ^ 1'b0;" in made
    assert ".rst(" not in made
