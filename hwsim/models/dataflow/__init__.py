"""The dataflow model: what each layer costs on a device, and when everything happens.

`workload` says what a network has to do; `mapping` how long a CPU, GPU or TPU takes for each layer,
in closed form; `tiles` runs those layers as SimPy processes that share a memory; `streaming` runs
the streaming pipeline's units, cycle by cycle; `systolic` says what each layer of a program of the
systolic accelerator takes, and `systolic_simulation` runs it at a memory that is not ideal.
`hwsim.models.estimate` joins the first three.

Beyond one forward pass: `training` adds gradients and updates to a workload; `serving` lets
requests arrive over time and gathers them in batches; `parallel` splits batches or layers over
several devices; `memory` is a DRAM with pages and bursts that several readers share.
"""
