"""Programs beside the sidecar: the demo with its generated model, and the doctor.

`demo` runs three nodes on this machine for a minute. `generator` writes small random GGUF models, for the
demo and the tests. `doctor` reports what this machine has and lacks, with hints; `cell_hints`
has those for a Linux machine whose engines have no network of their own.

It must not be needed by a running sidecar.
"""
