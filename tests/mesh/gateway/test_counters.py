from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric

from mesh.gateway.counters import Exposition, GatewayCounters


class Members:
    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("mesh_members", "Members alive.", value=3)


def test_other_parts_add_their_own_numbers() -> None:
    text = Exposition(GatewayCounters(), [Members()]).render().decode()
    assert "mesh_members 3.0" in text
    assert "mesh_gateway_tokens_total 0.0" in text


def test_paths_that_callers_make_up_do_not_grow_the_counters() -> None:
    counters = GatewayCounters()
    for number in range(1000):
        counters.answered(f"/{number}", 404)
    assert counters.requests == {("other", "404"): 1000}


def test_the_paths_of_all_dialects_are_counted_by_name() -> None:
    counters = GatewayCounters()
    paths = ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/messages/count_tokens")
    for path in paths:
        counters.answered(path, 200)
    assert counters.requests == {(path, "200"): 1 for path in paths}


def test_failures_stand_at_zero_before_the_first() -> None:
    text = Exposition(GatewayCounters()).render().decode()
    assert 'mesh_gateway_upstream_failures_total{stage="stream"} 0.0' in text
