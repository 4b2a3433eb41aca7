"""Programs beside the sidecar: the demo with its models, and the doctor.

`demo` runs three nodes on this machine for a minute. `speaking_model` fetches the trained model that they
serve; benchmarks use it too. `generator` writes small random GGUF models, for the tests, and for a demo
without a network. `doctor` reports what this machine has and lacks, with hints; `devices_here`
asks the engine for its devices; `cell_hints` has hints for a Linux machine whose engines have no network of
their own.

It must not be needed by a running sidecar.
"""
