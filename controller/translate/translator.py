"""Snapshot in, Translation out: the pure middle of the controller.

Guarantees: reads only its arguments, changes none of them, and gives equal results for equal inputs in any order of
objects. No object can keep another from being translated; what is wrong becomes a Diagnostic with an owner.

The work is made of steps, and each notes what it read (`traces`): one for each Ingress, one for each host, and a few
that are done every time. A `Translator` keeps them, and does again only those that something concerns which has changed
since: an object, the time, a neighbour on the host. What comes out is what a new one would make of the same snapshot
(there is no other way than this one, so there is nothing that could differ but a forgotten dependency;
`tests/translate/test_incremental.py` looks for those). Parts that did not change are the same objects as before.
"""

from __future__ import annotations

from collections.abc import Mapping

from controller.model.configuration import Certificate, Translation
from controller.model.options import Options
from controller.state.snapshot import Snapshot
from controller.translate.everyone import of_everyone
from controller.translate.readings import Readers
from controller.translate.steps import Work, World
from controller.translate.tls import CertificateCache
from controller.translate.update import Known, Once, Update


def translate(
    snapshot: Snapshot,
    options: Options,
    *,
    now: int,
    kept: Mapping[str, Certificate] | None = None,
    cache: CertificateCache | None = None,
) -> Translation:
    """Once, from nothing. `now`: seconds since the epoch. `kept`: certificates served so far, by id. `cache` spares
    parsing them anew."""
    return Translator(cache or CertificateCache()).translate(snapshot, options, now=now, kept=kept or {})


class Translator:
    """Translates one snapshot after the other. Not for several threads at once."""

    def __init__(self, cache: CertificateCache | None = None) -> None:
        self.cache = cache or CertificateCache()
        self._snapshot: Snapshot | None = None
        self._known: Known | None = None

    def translate(
        self, snapshot: Snapshot, options: Options, *, now: int, kept: Mapping[str, Certificate]
    ) -> Translation:
        """As the function `translate`."""
        world = World(snapshot, options, now, kept, self.cache)
        before, self._snapshot = self._snapshot, None  # a fault on the way leaves nothing that could be built on
        work = Work(world)
        everyone, default_certificate = of_everyone(work), work.certificates.default()
        known = self._known
        if before is None or known is None or known.everyone != everyone:
            before, known = Snapshot(), Known(everyone, Readers(everyone.main))
        known.totals.put(Once.EVERYONE, work.trace())
        update = Update(world, known, before)
        update.run()
        self._snapshot, self._known = snapshot, known
        return update.translation(default_certificate)
