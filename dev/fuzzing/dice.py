"""Seeded choices among named constructs; a construct that is switched off is never chosen."""

import random


class Dice(random.Random):
    """A source of choices: the same seed makes the same ones, on every machine."""

    def __init__(self, seed, without=()):
        super().__init__(seed)
        self.without = frozenset(without)

    def on(self, name):
        """Whether a construct may be generated."""
        return name not in self.without

    def flip(self, chance, name=None):
        """True with the given chance, unless the construct is switched off."""
        thrown = self.random() < chance
        return thrown and (name is None or self.on(name))

    def among(self, choices):
        """One of `(weight, name, value)`, of those that are switched on."""
        allowed = [(weight, name, value) for weight, name, value in choices if weight > 0 and self.on(name)]
        if not allowed:
            raise ValueError("every choice is switched off: " + ", ".join(name for _, name, _ in choices))
        _, name, value = self.choices(allowed, [weight for weight, _, _ in allowed])[0]
        return name, value
