from mesh.engine.backends.cpu import parse_cpuinfo


def test_processors_without_a_name() -> None:
    assert parse_cpuinfo("processor : 0\nFeatures : fp asimd\n") == ""
