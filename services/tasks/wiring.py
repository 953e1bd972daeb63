"""How the parts of tasks hang together, whatever the store, the broker and the clock are."""

from dataclasses import dataclass

from services.tasks.directives import DirectiveKeeper
from services.tasks.domain.decision import Rulebook
from services.tasks.handlers import TaskHandlers
from services.tasks.ports import TaskStore
from services.tasks.registry import RegistryKeeper
from services.tasks.shaping import Shaping
from services.tasks.sweep import Sweep
from services.tasks.telling import PartitionOf, Publish, Teller
from services.tasks.upkeep import Upkeep
from services.tasks.writing import TaskWriter
from shared.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class Parts:
    """What records and time are given to."""

    handlers: TaskHandlers
    sweep: Sweep
    upkeep: Upkeep
    teller: Teller

    def partitions_changed(self) -> None:
        """Forget what was known of the partitions of before."""
        self.teller.partitions_changed()
        self.upkeep.partitions_changed()
        self.sweep.forget()


def wire_up(
    store: TaskStore,
    publish: Publish,
    partition_of: PartitionOf,
    clock: Clock,
    rulebook: Rulebook,
    *,
    tasks_together: int,
) -> Parts:
    """Build the parts; nothing connects."""
    teller = Teller(store, publish, clock)
    writer = TaskWriter(store, teller, partition_of, clock, rulebook)
    registry = RegistryKeeper(store, teller)
    directives = DirectiveKeeper(store, writer, registry, partition_of, rulebook)
    shaping = Shaping(registry, directives, teller, clock)
    handlers = TaskHandlers(
        store, teller, clock, rulebook, writer, registry, shaping.on_submission, tasks_together=tasks_together
    )
    upkeep = Upkeep(store, writer, registry, clock, rulebook)
    sweep = Sweep(store, teller, handlers, partition_of, clock, rulebook, writer, registry, directives, upkeep)
    return Parts(handlers, sweep, upkeep, teller)
