"""The wrapper: every port connected, nothing lost."""

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
