import re

from mesh.gateway.dashboard import dashboard


def test_the_page_loads_nothing_from_elsewhere() -> None:
    page = dashboard().content.decode()
    assert re.findall(r"""(?:https?:)?//[\w.-]+""", page) == []
    assert re.findall(r"""(?:src|href)="(?!data:,")""", page) == []


def test_the_page_has_no_script_or_style_that_its_policy_would_stop() -> None:
    page = dashboard().content.decode()
    assert len(re.findall(r"<script", page)) == len(re.findall(r"<style", page)) == 1
    assert re.findall(r"""\s(?:on\w+|style)=["']""", page) == []


def test_the_policy_allows_nothing_but_what_is_named() -> None:
    policy = dict(dashboard().headers)[b"content-security-policy"].decode()
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_the_page_draws_each_problem_as_text_with_what_helps() -> None:
    page = dashboard().content.decode()
    assert "drawProblems(status.problems || [])" in page
    assert 'element("span", problem.message' in page
    assert 'element("small", problem.hint)' in page
    assert "innerHTML" not in page


def test_the_page_tells_what_room_a_request_has_and_how_far_a_load_is() -> None:
    page = dashboard().content.decode()
    assert 'many(deployment.context, "token") + " of context, "' in page
    assert 'Math.floor(deployment.progress * 100) + " %"' in page


def test_a_page_whose_node_is_silent_turns_grey_and_a_wrong_key_is_said() -> None:
    page = dashboard().content.decode()
    assert '"last seen "' in page
    assert 'classList.add("stale")' in page
    assert 'role="alert" hidden>wrong key<' in page
