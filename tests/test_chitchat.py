"""cookbook.sources.chitchat: clean conversations, split as wholes."""

from cookbook.sources import chitchat


def test_conversations_are_whole_and_clean():
    talks = chitchat.load()
    assert len(talks) == 7168
    messages = [message for talk in talks for turn in talk for message in turn]
    assert 258_000 < len(messages) <= 258_112
    assert all(message == " ".join(message.split()) and message for message in messages[:5000])
    assert all(turn for talk in talks for turn in talk)


def test_no_conversation_stands_on_two_sides():
    talks = [[[str(number)]] for number in range(1000)]
    parts = chitchat.split(talks)
    assert {name: len(part) for name, part in parts.items()} == {"train": 900, "valid": 50, "test": 50}
    assert sorted(int(talk[0][0]) for part in parts.values() for talk in part) == list(range(1000))
    assert parts == chitchat.split(talks)
