from leader.model.engine_settings import KV_TYPES, EngineSettings


def test_plain_settings_are_one_slot_of_answers_with_sixteen_bits() -> None:
    settings = EngineSettings(512)
    assert (settings.slots, settings.kv, settings.embeddings) == (1, "f16", False)


def test_quantised_contexts_are_smaller() -> None:
    sizes = {name: size / elements for name, (size, elements) in KV_TYPES.items()}
    assert sizes["f16"] > sizes["q8_0"] > sizes["q4_0"] > 0.5
