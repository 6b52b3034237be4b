"""A small corpus of support tickets, made by a grammar of our own.

Given a random generator, each record is one message of an invented shop's support desk: a template of fixed words
and slots (people, products, places, amounts, dates, times, order and room numbers), every slot drawn uniformly from
its list. Digits stand in most messages, as they do in real mail: a model trained on this text has seen numbers in
ordinary places, so that a canary's digits are not remarkable for being digits. No line holds a real person's data.

Records are ASCII, 40 to 200 characters long.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

_SLOT = re.compile(r"<(\w+)>")
_LEAST, _MOST = 40, 200

_WORDS: dict[str, tuple[str, ...]] = {
    "name": (
        "Alice", "Amir", "Anna", "Ben", "Bruno", "Carla", "Chen", "Clara", "Dana", "David", "Elena",
        "Emil", "Farah", "Felix", "Grace", "Hana", "Hugo", "Ines", "Ivan", "Jana", "Jonas", "Kofi",
        "Lena", "Leo", "Lucia", "Marco", "Maya", "Mina", "Nadia", "Noah", "Olga", "Omar", "Paula",
        "Peter", "Priya", "Rosa", "Samir", "Sofia", "Tom", "Vera", "Wei", "Yara", "Zoe",
    ),
    "surname": (
        "Adler", "Bauer", "Costa", "Dubois", "Evans", "Fischer", "Garcia", "Hansen", "Ivanov",
        "Jansen", "Khan", "Larsen", "Moreau", "Novak", "Okafor", "Petrov", "Quist", "Rossi",
        "Silva", "Tanaka", "Usman", "Vogel", "Weber", "Young", "Zimmer",
    ),
    "product": (
        "kettle", "desk lamp", "office chair", "water filter", "bike light", "coffee grinder", "tent", "monitor",
        "keyboard", "rain jacket", "backpack", "air pump", "router", "toaster", "wall clock", "radio", "blender",
        "camping stove", "garden hose", "printer",
    ),
    "part": (
        "lid", "power cord", "left hinge", "battery", "handle", "screw set", "manual", "remote control", "filter",
        "switch", "plug", "strap", "cover", "display", "charger",
    ),
    "fault": (
        "stopped working", "makes a loud noise", "does not switch on", "arrived with a crack", "is missing from the box",
        "gets far too hot", "keeps falling off", "was sent in the wrong colour", "blinks and then goes dark",
        "does not fit",
    ),
    "city": (
        "Lisbon", "Porto", "Hamburg", "Lyon", "Turin", "Ghent", "Oslo", "Malmo", "Leeds", "Cork", "Graz", "Brno",
        "Gdansk", "Riga", "Utrecht", "Basel",
    ),
    "team": ("billing", "shipping", "the warehouse", "sales", "repairs", "accounts", "the front desk", "returns"),
    "weekday": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"),
    "month": (
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
        "December",
    ),
    "greeting": ("Hi", "Hello", "Dear", "Good morning", "Good afternoon", "Thanks"),
    "closing": ("Best regards", "Kind regards", "Thank you", "Many thanks", "Yours", "Cheers", "See you then"),
    "mood": (
        "I am quite disappointed", "no hurry at all", "please help soon", "we are still happy with it",
        "this is the second time", "it is for a birthday", "my neighbour has the same", "we need it before the holidays",
    ),
    "topic": (
        "the new price list", "the delivery plan", "the yearly stock count", "the training day", "the spring offers",
        "the broken scanner", "the office move", "the survey results",
    ),
}  # fmt: skip

_NUMBERS: dict[str, tuple[int, int]] = {
    "day": (1, 28), "hour": (8, 19), "quarter": (0, 3), "pieces": (2, 48), "room": (101, 429), "euros": (3, 899),
    "cents": (0, 99), "order": (10000, 99999), "percent": (5, 60), "days": (2, 21), "version": (1, 12),
    "extension": (200, 799), "house": (1, 140), "year": (2015, 2024), "minutes": (5, 55),
}  # fmt: skip

_TEMPLATES: tuple[str, ...] = (
    "<greeting> <name>, the <product> I ordered on <day> <month> <fault>. The order number is <order>, <mood>.",
    "<greeting> <name>, could you move our meeting about <topic> to <weekday> at <time>? Room <room> is free until <time>.",
    "The <part> of my <product> <fault> after <days> days. I paid <amount> for it in <year> and <mood>.",
    "<greeting> team, <pieces> boxes for order <order> are still in <city>. The driver said <weekday> at <time>. <closing>, <name>",
    "Please refund <amount> to <name> <surname>, the <product> came back on <day> <month> without the <part>.",
    "<name> <surname> called from <city> and asks for <team> to ring back on extension <extension> before <time>.",
    "Reminder: <topic> is due on <weekday>, <day> <month>. <name> has <pieces> pages ready and needs <minutes> more minutes.",
    "We can offer you <percent> percent off the next <product>, or send a new <part> within <days> days. <closing>, <name> from <team>",
    "Ticket <order>: customer in <city> says the <product> <fault>. <name> from <team> will look at it on <weekday>.",
    "<greeting> <name>, I moved to <house> Station Road in <city>. Please send the <part> there and not to number <house>.",
    "Invoice <order> shows <amount>, but we agreed on <amount> for <pieces> pieces. Could <team> check this? <closing>, <name> <surname>",
    "Version <version> of the <product> manual says <minutes> minutes, yet mine needs <minutes>. Is that normal? <closing>, <name>",
    "<greeting> <name>, thanks for the quick answer. The new <part> came on <weekday> and the <product> works again.",
    "Notes from <weekday>: <name> will talk to <team> about <topic>, <name> keeps the budget under <amount>.",
    "<greeting>, my <product> <fault> and <mood>. Is there a shop in <city> that can repair it? <closing>, <name>",
    "Stock on <day> <month> <year>: <pieces> of <product>, <pieces> of <product>, and <pieces> spare sets of the <part>.",
    "The train from <city> leaves at <time> and arrives at <time>, so <name> will join us in room <room> a little later.",
    "<greeting> <name>, is the <product> still in stock in <city>? <pieces> of us would like one, and <mood>.",
)  # fmt: skip


def demo_records(n: int, rng: np.random.Generator) -> list[str]:
    """Draw a corpus of ``n`` records.

    Args:
        n: Number of records; 3,000 make about 300 kB.
        rng: Source of all randomness; the same state gives the same corpus.

    Returns:
        ``n`` lines of 40 to 200 ASCII characters, without line ends.

    >>> records = demo_records(2, np.random.default_rng(1))
    >>> [40 <= len(record) <= 200 for record in records]
    [True, True]
    """
    return [_record(rng) for _ in range(n)]


def _record(rng: np.random.Generator) -> str:
    while True:
        template = _TEMPLATES[int(rng.integers(len(_TEMPLATES)))]
        text = _SLOT.sub(lambda slot: _fill(slot[1], rng), template)
        if _LEAST <= len(text) <= _MOST:
            return text


def _fill(slot: str, rng: np.random.Generator) -> str:
    if slot in _WORDS:
        words = _WORDS[slot]
        return words[int(rng.integers(len(words)))]
    if slot in _NUMBERS:
        least, most = _NUMBERS[slot]
        return str(int(rng.integers(least, most, endpoint=True)))
    return _COMPOSED[slot](rng)


def _time(rng: np.random.Generator) -> str:
    return f"{_fill('hour', rng)}:{15 * int(_fill('quarter', rng)):02}"


def _amount(rng: np.random.Generator) -> str:
    return f"{_fill('euros', rng)}.{int(_fill('cents', rng)):02} euros"


_COMPOSED: dict[str, Callable[[np.random.Generator], str]] = {"time": _time, "amount": _amount}
