from tests.fuzz.engine_fields import as_text, fields_in

SOURCE = """
    add((new field_num("n_predict", params.n_predict))
        ->set_hard_limits(-1, INT32_MAX)
        ->add_alias("max_tokens"));
    add((new field_nested("stream_options"))->add_subfield((new field_bool("include_usage", x))));
    auto a = json_value(body, "stream", false);
    auto b = json_value(body, "outer",
                        json_value(body, "inner", -1));
    if (body.contains("prompt") && data.at("grammar").is_string()) {}
    constexpr char JSON_STRING_PROMPT_KEY[] = "prompt_string";
"""


def test_fields_are_found_with_their_kinds() -> None:
    assert fields_in({"a.cpp": SOURCE}) == {
        "n_predict": "num",
        "max_tokens": "num",
        "stream_options": "nested",
        "include_usage": "bool",
        "stream": "bool",
        "outer": "json",
        "inner": "num",
        "prompt": "json",
        "grammar": "json",
        "prompt_string": "json",
    }


def test_the_list_is_sorted() -> None:
    assert as_text({"b": "num", "a": "str"}) == "a str\nb num\n"
