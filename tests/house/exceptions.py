"""What does not keep the house's rules yet. The list may only shrink: what is not needed must go."""

WITHOUT_TEST = (
    "mesh/admission/approval_owner.py",
    "mesh/admission/pairing_lobby.py",
    "mesh/cli/commands/sidecar.py",
    "mesh/cli/spawning.py",
    "mesh/control/operations.py",
    "mesh/engine/backends/backend_kind.py",
    "mesh/engine/engine_errors.py",
    "mesh/engine/process/guardian.py",
    "mesh/engine/types.py",
    "mesh/gateway/backend.py",
    "mesh/protocol/base/effects.py",
    "mesh/protocol/base/internal_events.py",
    "mesh/protocol/node/wiring.py",
    "mesh/serving/pipeline.py",
    "leader/reconcile/view.py",
    "simulations/engines.py",
    "simulations/measures/converge.py",
    "simulations/measures/crash_detection.py",
    "simulations/measures/curves.py",
    "simulations/measures/failover.py",
    "simulations/measures/idle.py",
    "simulations/measures/mass_join.py",
    "simulations/measures/stubbed_world.py",
    "simulations/measures/throughput.py",
    "simulations/measures/trials.py",
    "simulations/measures/troubles.py",
)
"""Sources without a test file of their own; most are run by those of their neighbours."""

WITHOUT_HINT = {
    "mesh/tools/generator.py": "its messages say which numbers go together",
}
"""Sources near people with errors that have no hint, and why."""
