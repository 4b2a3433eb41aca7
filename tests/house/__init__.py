"""Tests of the house itself: rules that keep the code easy to read, and documents true."""
