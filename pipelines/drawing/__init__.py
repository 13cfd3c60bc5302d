"""Pictures of pipelines: what is to be seen, where Graphviz puts it, and how the lines run.

`visible` chooses nodes, groups and edges from a specification; `dot` has Graphviz place them; `routes` draws the lines;
`stored` keeps layouts in rows. States are no part of a drawing: they are attributes that a page sets later. Knows
specifications and their rows, nothing of runs.
"""

from pipelines.drawing.dot import GraphvizMissing
from pipelines.drawing.stored import LARGE, draw, find, is_large
from pipelines.drawing.words import expression_text, type_word

__all__ = ["LARGE", "GraphvizMissing", "draw", "expression_text", "find", "is_large", "type_word"]
