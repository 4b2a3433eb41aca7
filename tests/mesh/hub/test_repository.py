from mesh.hub.repository import HubFile


def test_a_files_name_is_the_end_of_its_path() -> None:
    assert HubFile("Q8_0/m-Q8_0.gguf", 1).name == "m-Q8_0.gguf"
    assert HubFile("m.gguf", 1).name == "m.gguf"
