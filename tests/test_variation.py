from emsym.variation import with_value


def test_the_content_that_it_is_given_stays_as_it_is() -> None:
    content = {"name": "mine", "slices": 3, "recipe": {"steps": 9, "patch": 32}}
    assert with_value(content, "slices", 5) == {**content, "name": "mine-5", "slices": 5}
    other = with_value(content, "recipe.steps", 2)
    assert other["recipe"] == {"steps": 2, "patch": 32}
    assert content == {"name": "mine", "slices": 3, "recipe": {"steps": 9, "patch": 32}}
