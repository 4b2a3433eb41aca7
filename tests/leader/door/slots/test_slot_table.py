"""Which slot is handed out for what, and that no KV cache ever serves another domain."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from leader.door.slots.parking_cost import ParkingCost
from leader.door.slots.slot_content import SlotContent
from leader.door.slots.slot_table import CONTENTION_SECONDS, Park, SlotTable, Turn

LONG = tuple(range(100, 120))
OTHER = tuple(range(200, 220))
TOKENS = 20 * 64


def cheap() -> ParkingCost:
    """Of an engine whose files are fast and whose prefill is slow."""
    cost = ParkingCost(1000)
    for _ in range(50):
        cost.saw_prefill(100, 1.0)
    return cost


def table(count: int = 2, places: int = 4) -> SlotTable:
    return SlotTable(count, places, cheap())


def asked(slots: SlotTable, now: float, domain: str, beginnings: tuple[int, ...]) -> Turn:
    """A whole turn, with whatever comes first; returns it."""
    turn = slots.take(now, domain, beginnings)
    assert turn is not None
    prepared(slots, now, turn)
    slots.release(now, turn)
    return turn


def prepared(slots: SlotTable, now: float, turn: Turn) -> None:
    if turn.park is not None:
        slots.saved(now, turn.park, turn.park.content.tokens, 1000, 0.001)
    if turn.restore is not None:
        slots.loaded(turn, TOKENS, 1000, 0.001)


def test_a_conversation_goes_on_in_its_own_slot() -> None:
    slots = table()
    first = asked(slots, 0, "anna", LONG)
    asked(slots, 1, "anna", OTHER)
    again = slots.take(2, "anna", (*LONG, 1))
    assert again is not None
    assert again.slot == first.slot
    assert slots.reuses(again)
    assert again.park is None


def test_another_domain_reuses_nothing_of_the_same_text() -> None:
    slots = table(count=1)
    asked(slots, 0, "anna", LONG)
    turn = slots.take(1, "bert", LONG)
    assert turn is not None
    assert not slots.reuses(turn)
    assert turn.park == Park(0, 0, SlotContent("anna", LONG, TOKENS))
    prepared(slots, 1, turn)
    assert not slots.reuses(turn), "parked, but not erased"


def test_empty_slots_are_taken_before_those_of_others() -> None:
    slots = table(count=3)
    taken = [asked(slots, now, domain, LONG).slot for now, domain in enumerate(["anna", "bert", "carl"])]
    assert sorted(taken) == [0, 1, 2]


def test_the_least_recently_used_slot_is_taken() -> None:
    slots = table(count=2)
    anna = asked(slots, 0, "anna", LONG)
    asked(slots, 1, "bert", LONG)
    assert asked(slots, 2, "carl", LONG).slot == anna.slot


def test_who_begins_many_conversations_loses_their_own() -> None:
    slots = table(count=3)
    anna = asked(slots, 0, "anna", LONG)
    asked(slots, 1, "bert", LONG)
    bert = asked(slots, 2, "bert", OTHER)
    assert asked(slots, 3, "bert", (1,)).slot != anna.slot
    assert slots.contents()[bert.slot].domain == "bert"
    assert slots.contents()[anna.slot].domain == "anna"


def test_a_short_prompt_takes_nobodys_conversation_twice() -> None:
    slots = table(count=2)
    asked(slots, 0, "anna", LONG)
    first = asked(slots, 1, "bert", ())
    asked(slots, 2, "anna", (*LONG, 1))
    assert [asked(slots, now, "bert", ()).slot for now in (3, 4)] == [first.slot] * 2


def test_a_parked_conversation_is_restored_for_its_domain() -> None:
    slots = table(count=1)
    asked(slots, 0, "anna", LONG)
    asked(slots, 1, "bert", OTHER)
    assert slots.parked() == {0: SlotContent("anna", LONG, TOKENS)}
    turn = slots.take(2, "anna", (*LONG, 1))
    assert turn is not None
    assert turn.restore == 0
    assert turn.park == Park(0, 1, SlotContent("bert", OTHER, TOKENS))
    prepared(slots, 2, turn)
    assert slots.reuses(turn)


def test_a_parked_conversation_is_restored_for_nobody_else() -> None:
    slots = table(count=1)
    asked(slots, 0, "anna", LONG)
    asked(slots, 1, "bert", OTHER)
    turn = slots.take(2, "carl", LONG)
    assert turn is not None
    assert turn.restore is None


def test_a_file_that_cannot_be_loaded_leaves_nothing_to_reuse() -> None:
    slots = table(count=1)
    asked(slots, 0, "anna", LONG)
    asked(slots, 1, "bert", OTHER)
    turn = slots.take(2, "anna", LONG)
    assert turn is not None
    assert turn.park is not None
    slots.not_saved(turn.park)
    slots.not_loaded(turn)
    assert not slots.reuses(turn)
    assert slots.parked() == {}
    slots.put_back(turn)
    assert slots.domains() == {}


def test_a_dear_file_is_not_made() -> None:
    cost = cheap()
    for _ in range(50):
        cost.saw_file(1000, 1000, 100.0)
    slots = SlotTable(1, 4, cost)
    asked(slots, 0, "anna", LONG)
    turn = slots.take(1, "bert", LONG)
    assert turn is not None
    assert turn.park is None


def test_a_domains_other_conversation_is_parked_as_well() -> None:
    slots = table(count=1)
    asked(slots, 0, "anna", LONG)
    turn = slots.take(1, "anna", (*LONG[:3], 1, 2))
    assert turn is not None
    assert turn.park == Park(0, 0, SlotContent("anna", LONG, TOKENS))
    assert slots.reuses(turn), "of what both have in common"


def test_a_branch_leaves_the_longer_conversation_while_a_slot_is_empty() -> None:
    slots = table(count=2)
    first = asked(slots, 0, "anna", LONG)
    assert asked(slots, 1, "anna", (*LONG[:3], 1, 2)).slot != first.slot


def test_a_copy_that_is_new_enough_is_not_made_again() -> None:
    slots = table(count=1)
    asked(slots, 0, "anna", LONG)
    asked(slots, 1, "bert", OTHER)
    asked(slots, 2, "anna", LONG)
    turn = slots.take(3, "bert", OTHER)
    assert turn is not None
    assert turn.restore is not None
    assert turn.park is None


def test_idle_slots_are_parked_ahead_while_slots_are_scarce() -> None:
    slots = table(count=2)
    asked(slots, 0, "anna", LONG)
    asked(slots, 1, "bert", LONG)
    assert slots.park_ahead(2) is None, "nobody has lost a slot yet"
    asked(slots, 3, "carl", LONG)
    park = slots.park_ahead(4)
    assert park is not None
    assert park.content.domain == "bert", "the next to be taken"
    assert slots.busy == 1
    assert slots.park_ahead(4) is None, "one at a time"
    slots.saved(5, park, TOKENS, 1000, 0.001)
    slots.parked_ahead(park)
    assert slots.busy == 0
    turn = slots.take(6, "dora", LONG)
    assert turn is not None
    assert turn.slot == park.slot
    assert turn.park is None, "it is saved already"


def test_nothing_is_parked_ahead_when_slots_were_scarce_long_ago() -> None:
    slots = table(count=1)
    asked(slots, 0, "anna", LONG)
    asked(slots, 1, "bert", LONG)
    assert slots.park_ahead(1 + CONTENTION_SECONDS + 1) is None


def test_a_turn_in_which_nothing_was_asked_changes_nothing() -> None:
    slots = table(count=1)
    asked(slots, 0, "anna", LONG)
    turn = slots.take(1, "bert", OTHER)
    assert turn is not None
    prepared(slots, 1, turn)
    slots.put_back(turn)
    assert slots.domains() == {0: "anna"}


def test_an_erased_slot_is_nobodys() -> None:
    slots = table(count=1)
    asked(slots, 0, "anna", LONG)
    turn = slots.take(1, "bert", OTHER)
    assert turn is not None
    slots.erased(turn)
    slots.put_back(turn)
    assert slots.domains() == {}


def test_a_refused_request_makes_no_slot_its_domains() -> None:
    slots = table(count=1)
    asked(slots, 0, "anna", LONG)
    turn = slots.take(1, "bert", OTHER)
    assert turn is not None
    prepared(slots, 1, turn)
    slots.unsure(turn)
    assert slots.domains() == {}, "what is there may be anna's still"


def test_a_refused_request_of_the_same_domain_leaves_its_slot() -> None:
    slots = table(count=1)
    asked(slots, 0, "anna", LONG)
    turn = slots.take(1, "anna", LONG)
    assert turn is not None
    slots.unsure(turn)
    assert slots.domains() == {0: "anna"}


def test_what_llama_server_may_have_touched_is_nobodys() -> None:
    slots = table(count=3)
    asked(slots, 0, "anna", LONG)
    before = slots.take(1, "bert", OTHER)
    slots.engine_picks()
    assert slots.contents() == {}
    during = slots.take(2, "anna", LONG)
    assert before is not None
    assert during is not None
    assert not slots.reuses(during)
    slots.engine_picked()
    slots.release(3, before)
    slots.release(3, during)
    assert slots.contents() == {}
    asked(slots, 4, "anna", LONG)
    assert list(slots.domains().values()) == ["anna"]


def test_a_file_written_while_llama_server_chose_is_not_used() -> None:
    slots = table(count=1)
    asked(slots, 0, "anna", LONG)
    turn = slots.take(1, "bert", OTHER)
    assert turn is not None
    assert turn.park is not None
    slots.engine_picks()
    slots.saved(2, turn.park, TOKENS, 1000, 0.001)
    assert slots.parked() == {}


def test_slots_that_came_over_a_move_are_their_domains() -> None:
    slots = SlotTable(2, 0, held={1: SlotContent("anna", LONG, TOKENS)})
    turn = slots.take(0, "anna", (*LONG, 1))
    assert turn is not None
    assert turn.slot == 1
    assert slots.reuses(turn)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 3)), max_size=60), st.integers(1, 4))
def test_memory_is_bounded_whoever_asks(requests: list[tuple[str, int]], places: int) -> None:
    slots = table(count=2, places=places)
    for now, (domain, conversation) in enumerate(requests):
        asked(slots, now, domain, (conversation, *LONG))
        if (park := slots.park_ahead(now)) is not None:
            slots.saved(now, park, TOKENS, 1000, 0.001)
            slots.parked_ahead(park)
    assert slots.busy == 0
    assert set(slots.parked()) <= set(range(places))
    assert len(slots.contents()) <= 2


SLOTS = 2
DOMAINS = st.sampled_from("abc")
CONVERSATIONS = st.sampled_from([LONG, OTHER, (), (*LONG, 1), LONG[:5]])


@dataclass
class _Running:
    turn: Turn
    steps: list[str]
    """What is still to be done before it computes."""
    asked: bool = False


class EngineOfStrangers(RuleBasedStateMachine):
    """A table beside a model of llama-server, which knows whose every slot and file really is.

    Whatever happens, in whatever order: nobody is told to reuse what is not theirs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.table = table(count=SLOTS, places=2)
        self.now = 0.0
        self.really: dict[int, str | None] = dict.fromkeys(range(SLOTS))
        self.files: dict[int, str | None] = dict.fromkeys(range(2))
        self.running: list[_Running] = []
        self.ahead: list[Park] = []
        self.choices: list[set[int]] = []
        """Of each request whose slot llama-server chooses: the turns that it waits for."""

    @rule(domain=DOMAINS, beginnings=CONVERSATIONS)
    def begin(self, domain: str, beginnings: tuple[int, ...]) -> None:
        self._begin(domain, beginnings)

    @rule(domain=DOMAINS, beginnings=CONVERSATIONS)
    def answer(self, domain: str, beginnings: tuple[int, ...]) -> None:
        """All of a turn at once."""
        if (one := self._begin(domain, beginnings)) is not None:
            while one.steps:
                self._prepare(one, None)
            self._ask(one)
            self._end(one, True)

    @precondition(lambda self: any(one.steps for one in self.running))
    @rule(works=st.booleans(), data=st.data())
    def prepare(self, works: bool, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from([one for one in self.running if one.steps]))
        self._prepare(one, None if works else data)

    @precondition(lambda self: any(not one.steps and not one.asked for one in self.running))
    @rule(data=st.data())
    def ask(self, data: st.DataObject) -> None:
        self._ask(
            data.draw(st.sampled_from([one for one in self.running if not one.steps and not one.asked]))
        )

    @precondition(lambda self: any(not one.steps for one in self.running))
    @rule(data=st.data(), told=st.booleans())
    def end(self, data: st.DataObject, told: bool) -> None:
        one = data.draw(st.sampled_from([one for one in self.running if not one.steps]))
        computed = one.asked and data.draw(st.booleans())
        self._end(one, told and computed, computed, data)

    @rule(data=st.data())
    def begin_park_ahead(self, data: st.DataObject) -> None:
        if (park := self.table.park_ahead(self.now)) is not None:
            assert park.slot not in [one.turn.slot for one in self.running]
            self.ahead.append(park)
            self.files[park.place] = None

    @precondition(lambda self: self.ahead)
    @rule(works=st.booleans())
    def end_park_ahead(self, works: bool) -> None:
        park = self.ahead.pop()
        self._save(park, works)
        self.table.parked_ahead(park)

    @precondition(lambda self: len(self.choices) < 2)
    @rule()
    def engine_picks(self) -> None:
        self.table.engine_picks()
        self.choices.append({id(one) for one in self.running})

    @precondition(lambda self: set() in self.choices)
    @rule(data=st.data())
    def a_stranger_comes(self, data: st.DataObject) -> None:
        """Into any slot: what was handed out may not have reached llama-server yet."""
        self._stranger(data.draw(st.integers(0, SLOTS - 1)), data)

    @precondition(lambda self: self.choices)
    @rule()
    def engine_picked(self) -> None:
        self.choices.pop()
        self.table.engine_picked()

    @invariant()
    def what_is_known_is_true(self) -> None:
        if not self.choices:
            for number, domain in self.table.domains().items():
                assert self.really[number] == domain
        for place, content in self.table.parked().items():
            assert self.files[place] == content.domain

    def _begin(self, domain: str, beginnings: tuple[int, ...]) -> _Running | None:
        self.now += 1
        turn = self.table.take(self.now, domain, beginnings)
        assert (turn is None) == (len(self.running) + len(self.ahead) == SLOTS)
        if turn is None:
            return None
        assert turn.slot not in [one.turn.slot for one in self.running] + [one.slot for one in self.ahead]
        if turn.park is not None:
            self.files[turn.park.place] = None
        steps = ["park"] * (turn.park is not None) + ["restore"] * (turn.restore is not None)
        self.running.append(one := _Running(turn, steps))
        return one

    def _prepare(self, one: _Running, fails: st.DataObject | None) -> None:
        turn = one.turn
        if one.steps.pop(0) == "park":
            assert turn.park is not None
            self._save(turn.park, fails is None)
            return
        assert turn.restore is not None
        file = self.files[turn.restore]
        assert file == turn.wanted.domain, "a file is loaded for its own domain alone"
        if fails is None:
            self.really[turn.slot] = file
            self.table.loaded(turn, TOKENS, 1000, 0.001)
        else:
            self.really[turn.slot] = fails.draw(st.sampled_from([None, self.really[turn.slot], file]))
            self.table.not_loaded(turn)

    def _ask(self, one: _Running) -> None:
        one.asked = True
        if self.table.reuses(one.turn):
            assert self.really[one.turn.slot] == one.turn.wanted.domain

    def _end(
        self, one: _Running, told: bool, computed: bool = True, data: st.DataObject | None = None
    ) -> None:
        self.running.remove(one)
        for choice in self.choices:
            choice.discard(id(one))
        if computed:
            self.really[one.turn.slot] = one.turn.wanted.domain
        if data is not None:
            self._stranger(one.turn.slot, data)
        if told:
            self.table.release(self.now, one.turn, TOKENS)
        elif one.asked:
            self.table.unsure(one.turn)
        else:
            self.table.put_back(one.turn)

    def _stranger(self, slot: int, data: st.DataObject) -> None:
        if set() in self.choices and data.draw(st.booleans()):
            self.really[slot] = "stranger"

    def _save(self, park: Park, works: bool) -> None:
        self.files[park.place] = self.really[park.slot] if works else None
        if works:
            self.table.saved(self.now, park, TOKENS, 1000, 0.001)
        else:
            self.table.not_saved(park)


TestEngineOfStrangers = EngineOfStrangers.TestCase
TestEngineOfStrangers.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
