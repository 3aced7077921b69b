from emsym.data.cards import list_cards, load_card
from emsym.data.inspecting.card_facts import card_facts, file_sizes, tasks_on_disk


def test_facts_are_those_of_the_card() -> None:
    card = load_card("snemi3d")
    facts = card_facts(card)
    assert (facts.name, facts.licence, facts.shape) == (card.name, card.licence, card.extent)
    assert facts.split == {"train": card.split.train, "test": card.split.test}
    assert list(facts.tasks) == list(card.tasks)
    assert facts.download_bytes is None or facts.download_bytes == sum(file_sizes(card))


def test_what_is_made_on_the_spot_is_neither_fetched_nor_on_disk() -> None:
    card = load_card("phantom-fibres-2")
    assert tasks_on_disk(card) is None
    assert card_facts(card).download_bytes == 0
    assert card_facts(card).volume_per_seed


def test_every_card_has_facts() -> None:
    for name in list_cards():
        assert card_facts(load_card(name)).tasks
