"""The lab: hosts of a small network inside one machine, for tests of whole programs.

A host is a network namespace on a bridge, or, where there is no root, an address of 127.0.0.0/8. Both kinds
have the same interface, :class:`tests.lab.host.Host`. The ``lab`` fixture of tests/conftest.py hands out a
:class:`tests.lab.lab.Lab`.
"""
