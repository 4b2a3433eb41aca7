"""What the gateway counts, and how Prometheus reads it. The first scrape loads Prometheus' library."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector

_OWN_PATHS = ("/", "/healthz", "/readyz", "/metrics", "/events", "/status")
_OPENAI_PATHS = (
    *("/v1/models", "/v1/chat/completions", "/v1/completions"),
    *("/v1/responses", "/v1/embeddings"),
)
_ANTHROPIC_PATHS = ("/v1/messages", "/v1/messages/count_tokens")
_LLAMA_PATHS = (
    *("/completion", "/tokenize", "/detokenize", "/apply-template"),
    *("/props", "/slots", "/infill", "/rerank"),
)
_ENDPOINTS = frozenset((*_OWN_PATHS, *_OPENAI_PATHS, *_ANTHROPIC_PATHS, *_LLAMA_PATHS))


class GatewayCounters:
    """Plain numbers, so that counting costs nothing and imports nothing."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        self.in_flight = 0
        self.request_bytes = 0
        self.response_bytes = 0
        self.tokens = 0
        self.cancelled = 0
        self.upstream_failures: Counter[str] = Counter({"open": 0, "first_byte": 0, "stream": 0})
        self.resumed: Counter[str] = Counter({"continue": 0, "again": 0, "end": 0, "failed": 0})

    def answered(self, path: str, status: int) -> None:
        """Count an answer. Unknown paths share one name, for the caller chooses them."""
        shared = "/v1/models" if path.startswith("/v1/models/") else "other"
        self.requests[path if path in _ENDPOINTS else shared, str(status)] += 1


class _GatewayCollector:
    def __init__(self, counters: GatewayCounters) -> None:
        self._counters = counters

    def collect(self) -> "Iterable[Metric]":
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        counters = self._counters
        requests = CounterMetricFamily(
            "mesh_gateway_requests", "Requests answered.", labels=["endpoint", "status"]
        )
        for labels, count in sorted(counters.requests.items()):
            requests.add_metric(labels, count)
        failures = CounterMetricFamily(
            "mesh_gateway_upstream_failures",
            "Failures of the way to the leader: opening it, before the first byte, in mid-answer.",
            labels=["stage"],
        )
        for stage, count in sorted(counters.upstream_failures.items()):
            failures.add_metric([stage], count)
        resumed = CounterMetricFamily(
            "mesh_gateway_resumed",
            "Answers whose leader was lost: continued, begun again, only to be ended, or failed.",
            labels=["how"],
        )
        for how, count in sorted(counters.resumed.items()):
            resumed.add_metric([how], count)
        yield requests
        yield failures
        yield resumed
        yield GaugeMetricFamily(
            "mesh_gateway_requests_in_flight", "Requests being passed on.", value=counters.in_flight
        )
        for name, help_text, value in (
            ("request_bytes", "Bytes of request bodies passed on.", counters.request_bytes),
            ("response_bytes", "Bytes of answers passed back.", counters.response_bytes),
            ("tokens", "Generated tokens passed back.", counters.tokens),
            ("cancelled", "Requests whose client hung up before the end.", counters.cancelled),
        ):
            yield CounterMetricFamily(f"mesh_gateway_{name}", help_text, value=value)


class Exposition:
    """The text of ``/metrics``: the gateway's own numbers and those of the given collectors."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, counters: GatewayCounters, collectors: "Sequence[Collector]" = ()) -> None:
        self._collectors = (_GatewayCollector(counters), *collectors)

    def render(self) -> bytes:
        """Gather all numbers into Prometheus' text format."""
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import generate_latest

        registry = CollectorRegistry(auto_describe=False)
        for collector in self._collectors:
            registry.register(collector)
        return generate_latest(registry)
