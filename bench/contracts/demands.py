"""What a number of a config must be to mean anything."""

from __future__ import annotations

from bench.contracts.errors import SpecError


def demand_least(name: str, found: float, least: int) -> None:
    """Raises SpecError for a setting below the least that means anything."""
    if found < least:
        raise SpecError(
            f"{name} must be {least} or more, found {found}.", remedy=f"Choose `--set {name}={least}` or more."
        )


def demand_shape(name: str, found: object) -> None:
    """Raises SpecError for what is not three whole numbers above 0."""
    if not (isinstance(found, tuple) and len(found) == 3 and all(isinstance(n, int) and n > 0 for n in found)):
        raise SpecError(
            f"{name} must be three whole numbers above 0, found {found!r}.", remedy=f"For example --set {name}=96,96,96"
        )


def demand_share(name: str, found: float) -> None:
    """Raises SpecError for what is no chance or share."""
    if not 0 <= found <= 1:
        raise SpecError(f"{name} must lie between 0 and 1, found {found:g}.", remedy=f"For example --set {name}=0.5")


def demand_range(name: str, found: tuple[float, float], *, zero: bool) -> None:
    """Raises SpecError for a range that ends before it begins, or begins below 0, or at 0 where a `zero` means nothing."""
    low, high = found
    if not 0 <= low <= high or (low == 0 and not zero):
        raise SpecError(
            f"{name} must be two numbers {'from' if zero else 'above'} 0, the lesser first; found {low:g},{high:g}.",
            remedy=f"For example --set {name}={'0,1' if zero else '0.5,1'}",
        )
