"""Classification metrics as SVG coordinates. The metadata is what the KFP SDK logs (or the form KFP's store wraps it in)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 590, 236  # of the ROC chart in pixels
_LEFT, _TOP, _RIGHT, _BOTTOM = 44, 10, 12, 30


@dataclass(frozen=True)
class RocPoint:
    """One threshold of a ROC curve: its rates, and where it stands in the chart. `threshold` is text: it can be infinite."""

    threshold: str
    false_positive_rate: float
    true_positive_rate: float
    x: float
    y: float


@dataclass(frozen=True)
class RocChart:
    """A ROC curve, its points in order of the false positive rate, and the area below it."""

    points: tuple[RocPoint, ...]
    area: float
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    top: int = _TOP
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM

    @property
    def line(self) -> str:
        """The curve as the points of an SVG polyline."""
        return " ".join(f"{point.x:.1f},{point.y:.1f}" for point in self.points)

    @property
    def shape(self) -> str:
        """The area below the curve as the points of an SVG polygon."""
        return f"{self.left},{self.bottom} {self.line} {self.right},{self.bottom}"

    @property
    def grid(self) -> list[tuple[float, float, str]]:
        """x, y and label of the grid lines at quarters."""
        spots = (0, 0.25, 0.5, 0.75, 1)
        return [(_x(spot), _y(spot), f"{spot:g}") for spot in spots]


@dataclass(frozen=True)
class Cell:
    """A cell of a confusion matrix: its count and its share of the row, 0 to 1."""

    count: float
    share: float

    @property
    def opacity(self) -> float:
        """How strongly the cell is filled."""
        return round(0.12 + 0.78 * self.share, 3)

    @property
    def is_dark(self) -> bool:
        """Whether text on it must be light."""
        return self.share > 0.5


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix: `rows` are the true classes, columns the predicted ones."""

    labels: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def roc_chart(metadata: dict[str, Any]) -> RocChart | None:
    """The ROC curve in an artifact's metadata, None where there is none that can be read."""
    found = metadata.get("confidenceMetrics")
    if isinstance(found, dict):
        found = found.get("list")
    if not isinstance(found, list):
        return None
    points = []
    for entry in found:
        if not isinstance(entry, dict):
            return None
        rate, recall = _number(entry.get("falsePositiveRate", 0)), _number(entry.get("recall", 0))
        if rate is None or recall is None or not (math.isfinite(rate) and math.isfinite(recall)):
            continue
        points.append(RocPoint(_threshold(entry.get("confidenceThreshold", 0)), rate, recall, _x(rate), _y(recall)))
    if not points:
        return None
    points.sort(key=lambda point: (point.false_positive_rate, point.true_positive_rate))
    area = sum(
        (b.false_positive_rate - a.false_positive_rate) * (a.true_positive_rate + b.true_positive_rate) / 2
        for a, b in zip(points, points[1:], strict=False)
    )
    return RocChart(tuple(points), round(area, 4))


def confusion(metadata: dict[str, Any]) -> Confusion | None:
    """The confusion matrix in an artifact's metadata, None where there is none that can be read."""
    found = metadata.get("confusionMatrix")
    if isinstance(found, dict) and isinstance(found.get("struct"), dict):
        found = found["struct"]
    if not isinstance(found, dict):
        return None
    specs, rows = found.get("annotationSpecs"), found.get("rows")
    if not isinstance(specs, list) or not isinstance(rows, list) or len(rows) != len(specs):
        return None
    labels = tuple(str(spec.get("displayName", "")) if isinstance(spec, dict) else str(spec) for spec in specs)
    return Confusion(labels, tuple(zip(labels, (_cells(row) for row in rows), strict=True)))


def _cells(row: Any) -> tuple[Cell, ...]:
    values = row.get("row", []) if isinstance(row, dict) else row
    numbers = [_number(value) or 0 for value in values] if isinstance(values, list) else []
    total = sum(numbers) or 1
    return tuple(Cell(int(number) if float(number).is_integer() else number, number / total) for number in numbers)


def _number(value: Any) -> float | None:
    """JSON cannot say infinity: it arrives as text, or as what Python's own writer makes of it."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _threshold(value: Any) -> str:
    number = _number(value)
    if number is None:
        return str(value)
    return ("∞" if number > 0 else "−∞") if math.isinf(number) else f"{number:.4g}"


def _x(rate: float) -> float:
    return round(_LEFT + rate * (WIDTH - _LEFT - _RIGHT), 1)


def _y(rate: float) -> float:
    return round(HEIGHT - _BOTTOM - rate * (HEIGHT - _TOP - _BOTTOM), 1)
