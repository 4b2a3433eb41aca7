"""In which wire version's form a member signs its facts: the newest that all present members read.

A member of an older version reads no facts in a newer form, so all sign in the older one while it is present.
What a member speaks is in its record, which it signed: no word of another, and no datagram, counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mesh.protocol.base.context import Context
from mesh.protocol.base.internal_events import FormChanged
from mesh.protocol.membership.membership import Membership
from mesh.wire import codec
from mesh.wire.errors import MeshError, OlderFormError
from mesh.wire.facts import Record

FORM = "form"


class FormChoice:
    """Keeps the form of one member's facts."""

    def __init__(self, context: Context, membership: Membership) -> None:
        self._context = context
        self._membership = membership

    def begin(self, stored: int, is_first_run: bool) -> None:
        """Begin with the last run's form, for the members of then may still be there.

        ``stored`` is 0 in a first run, which begins with the newest form, and after a program of version 2.
        """
        speaks = self._context.speaks
        former = stored or (speaks.newest if is_first_run else speaks.oldest)
        self._context.form = min(max(former, speaks.oldest), speaks.newest)
        if self._context.form != stored:
            self._keep()

    def review(self) -> None:
        """The members changed: sign in the older form at once, and in the newer one after a while."""
        form = self._choice()
        if form > self._context.form:
            self._context.schedule_by(FORM, b"", self._context.now + self._context.settings.form_delay)
            return
        self._context.cancel(FORM, b"")
        if form < self._context.form:
            self._take(form)

    def due(self) -> None:
        """The delay is over: sign in the newer form."""
        if self._context.running and self._choice() > self._context.form:
            self._take(self._choice())

    @contextmanager
    def naming_older_members(self) -> Iterator[None]:
        """Raise a MeshError that names the older members where their form cannot say what an owner says."""
        try:
            yield
        except OlderFormError:
            raise self._refusal() from None

    def _refusal(self) -> MeshError:
        form = self._context.form
        older = sorted(record.profile.name for record in self._records() if record.speaks.newest <= form)
        if older:
            return MeshError(
                f"{' and '.join(older)} could not read this: the program there speaks wire version {form}",
                "upgrade it there, or evict the machine: `mesh evict`",
            )
        seconds = self._context.settings.form_delay
        return MeshError(
            f"A member that speaks wire version {form} was there until now, and could not read this",
            f"try again in {seconds:.0f} seconds",
        )

    def _choice(self) -> int:
        """The newest version that this node and all present members speak."""
        speaks = self._context.speaks
        newest = min((record.speaks.newest for record in self._records()), default=speaks.newest)
        return max(speaks.oldest, min(newest, speaks.newest))

    def _records(self) -> list[Record]:
        """The records of the present members."""
        peers = self._membership.peers.values()
        return [peer.record for peer in peers if peer.present and peer.record is not None]

    def _take(self, form: int) -> None:
        self._context.form = form
        self._keep()
        self._context.emit(FormChanged())

    def _keep(self) -> None:
        self._context.persist(FORM, codec.pack([self._context.form]))
