"""Which text of each fragment to try: the new one, the last good one, or the stub.

A Trial is one configuration on its way to being accepted. Every refusal that can be laid at a fragment's door moves
that fragment one step down, so a loop over refusals ends; a fragment that has no step left cannot be helped.
Refused texts are remembered: the same text is not tried again until it, or the entry file, changes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from controller.dataplane.result import Quarantine, Refusal, Stand
from controller.model.fragments import Fragment, FragmentSet

ENTRY_FILE = "nginx.conf"


@dataclass(frozen=True, slots=True)
class RefusedText:
    """A text that nginx has refused, and within which entry file, since that one holds the settings for all."""

    digest: str
    entry_digest: str
    message: str


class Trial:
    """The state of one attempt. `wanted` is what was asked for, `served` what runs now."""

    def __init__(self, wanted: FragmentSet, served: Mapping[str, Fragment], refused: Mapping[str, RefusedText]) -> None:
        self._set, self._wanted = wanted, wanted.fragments
        self._served = served
        self._step: dict[str, int] = {}
        self._messages: dict[str, str] = {}
        self._entry = _digest(self._wanted, ENTRY_FILE)
        for path, known in refused.items():
            fragment = self._wanted.get(path)
            if fragment and (fragment.digest, self._entry) == (known.digest, known.entry_digest):
                self.demote((path,), known.message)

    # -- what to try

    def fragments(self, held_back: Collection[str] = ()) -> FragmentSet:
        """The texts to try now; those of `held_back` one step further down."""
        if not self._step and not held_back:
            return self._set
        chosen = {path: self._chosen(path) for path in self._wanted.keys() & (self._step.keys() | set(held_back))}
        for path in held_back:
            chosen[path] = self._steps(path)[self._step.get(path, 0) + 1]
        return FragmentSet.of(chosen.get(path, fragment) for path, fragment in self._wanted.items())

    def suspects(self) -> tuple[str, ...]:
        """Fragments that are new since the last good generation and can still be replaced."""
        new = (p for p, f in self._wanted.items() if p not in self._step and f.digest != _digest(self._served, p))
        return tuple(path for path in new if self._can_step(path))

    def blamed(self, refusal: Refusal) -> tuple[str, ...]:
        """Fragments that the refusal points at: by file, else all whose text names the path in its message.

        Empty where it points at none that could be replaced.
        """
        if refusal.file:
            paths: tuple[str, ...] = (refusal.file,)
        elif refusal.named_path:
            paths = tuple(p for p in self._wanted if refusal.named_path in self._chosen(p).text)
        else:
            paths = ()
        return tuple(path for path in paths if path in self._wanted and self._can_step(path))

    def demote(self, paths: Collection[str], message: str) -> None:
        """Take one step down. The first message stays: it is about the text that the user wrote."""
        for path in paths:
            if self._can_step(path):
                self._step[path] = self._step.get(path, 0) + 1
                self._messages.setdefault(path, message)

    # -- what came of it

    def refused(self) -> dict[str, RefusedText]:
        """What to remember for the next attempt."""
        return {p: RefusedText(self._wanted[p].digest, self._entry, self._messages[p]) for p in self._step}

    def quarantined(self) -> tuple[Quarantine, ...]:
        return tuple(
            Quarantine(path, self._wanted[path].origins, self._messages[path], self._stand(path))
            for path in sorted(self._step)
        )

    def _stand(self, path: str) -> Stand:
        chosen = self._chosen(path)
        return Stand.STUB if chosen.text == chosen.stub else Stand.LAST_GOOD

    # -- steps

    def _steps(self, path: str) -> tuple[Fragment, ...]:
        """New, last good, stub; without repeats. A fragment without a stub is ours alone: it stands or falls."""
        new = self._wanted[path]
        if new.stub is None:
            return (new,)
        before = self._served.get(path)
        texts = dict.fromkeys((new.text, *((before.text,) if before else ()), new.stub))
        return tuple(Fragment(path, text, new.origins, new.stub) for text in texts)

    def _chosen(self, path: str) -> Fragment:
        step = self._step.get(path, 0)
        return self._steps(path)[step] if step else self._wanted[path]

    def _can_step(self, path: str) -> bool:
        return self._step.get(path, 0) + 1 < len(self._steps(path))


def _digest(fragments: Mapping[str, Fragment], path: str) -> str:
    fragment = fragments.get(path)
    return fragment.digest if fragment else ""
