import gguf

from leader.model.gguf_types import TENSOR_TYPES


def test_sizes_of_data_types_agree_with_the_gguf_package() -> None:
    for kind, (block, size) in gguf.GGML_QUANT_SIZES.items():
        if kind != gguf.GGMLQuantizationType.Q8_1:  # the package still has its former layout of 40 bytes
            assert TENSOR_TYPES[int(kind)] == (kind.name, block, size)
