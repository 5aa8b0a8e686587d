"""What a printed number may stand for: the values that round to its digits, whatever the rule for halves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Span:
    """All values from `low` to `high`, both ends included, exact."""

    low: Fraction
    high: Fraction

    def __sub__(self, other: Span) -> Span:
        return Span(self.low - other.high, self.high - other.low)

    def __mul__(self, factor: Fraction | int) -> Span:
        return Span(self.low * factor, self.high * factor)

    def meets(self, other: Span) -> bool:
        """True when some value lies in both."""
        return self.low <= other.high and other.low <= self.high

    def multiple(self, step: Fraction) -> Fraction | None:
        """The smallest multiple of `step` inside, None where there is none. Example: of 1/84 in [0.89285, 0.89295], 75/84."""
        first = math.ceil(self.low / step) * step
        return first if first <= self.high else None

    def nearest_multiple(self, step: Fraction) -> Fraction:
        """The multiple of `step` closest to the middle."""
        return round((self.low + self.high) / 2 / step) * step


def last_digit(text: str) -> Fraction:
    """One unit of the last printed digit. Example: 1/100 for `95.60`, 1 for `100`."""
    return Fraction(1, 10 ** len(text.partition(".")[2]))


def span_of(text: str) -> Span:
    """The values that print as `text`, both ends counted in, so that rounding halves up, down or to even all fit.

    Example: `95.6` is [95.55, 95.65].
    """
    value, half = Fraction(text), last_digit(text) / 2
    return Span(value - half, value + half)


def same_number(one: str, other: str) -> bool:
    """True when both can be prints of one number: equal at the same precision, within reach of rounding at two precisions.

    Example: `70.1` and `70.07` can, `7.26` and `7.27` cannot, unless a half was rounded up here and down there.
    """
    if last_digit(one) == last_digit(other):
        return Fraction(one) == Fraction(other)
    return span_of(one).meets(span_of(other))


def mean_span(spans: Sequence[Span]) -> Span:
    """What the mean of one value from each span can be."""
    count = len(spans)
    return Span(sum((s.low for s in spans), Fraction(0)) / count, sum((s.high for s in spans), Fraction(0)) / count)


def rounded_twice(value: Fraction, text: str, more: int = 2) -> bool:
    """True when `value`, first rounded to up to `more` further digits (halves up), then to those of `text`, prints as `text`.

    Example: 365/382 is 95.5497 percent, which rounds to 95.5; by way of 95.55 it becomes 95.6.
    """
    return any(
        _half_up(_half_up(value, last_digit(text) / 10**k), last_digit(text)) == Fraction(text)
        for k in range(1, more + 1)
    )


def cut_off(value: Fraction, text: str) -> bool:
    """True when `value`, cut after the digits of `text` instead of rounded, prints as `text`."""
    return Fraction(text) <= value < Fraction(text) + last_digit(text)


def _half_up(value: Fraction, step: Fraction) -> Fraction:
    return math.floor(value / step + Fraction(1, 2)) * step
