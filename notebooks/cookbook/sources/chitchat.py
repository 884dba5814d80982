"""The conversations of the Chit-Chat challenge: two students, a prompt, and what they make of it.

Myers, Etchart, Fulda: Conversational Scaffolding: An Analogy-Based Approach to Response Prioritization
in Open-Domain Dialogs. ICAART 2020.
"""

import json

import numpy as np

from cookbook import data

Conversation = list[list[str]]  # turns, by the two speakers in alternation; a turn is one or more messages


def load() -> list[Conversation]:
    """All 7,168 conversations, without empty messages and without white space around or doubled inside one.

    Raises cookbook.data.DataError where the package is missing or changed.
    """
    raw = json.loads(data.path("chitchat").read_text("utf8"))
    cleaned = (
        [[" ".join(message["text"].split()) for message in turn] for turn in each["messages"]] for each in raw.values()
    )
    return [[kept for turn in turns if (kept := [text for text in turn if text])] for turns in cleaned]


def split(conversations: list[Conversation], seed: int = 8) -> dict[str, list[Conversation]]:
    """Whole conversations as "train", "valid" and "test", nine to a half to a half tenths.

    Messages of one talk answer each other and share a topic, so none may stand on two sides.
    """
    order = np.random.default_rng(seed).permutation(len(conversations))
    tenth = len(order) // 20
    parts = {"train": order[2 * tenth :], "valid": order[tenth : 2 * tenth], "test": order[:tenth]}
    return {name: [conversations[number] for number in numbers] for name, numbers in parts.items()}
