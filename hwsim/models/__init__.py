"""Models of networks and devices: the NumPy reference, the dataflow model, the device catalog."""
