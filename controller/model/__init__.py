"""The nouns of Headrace: frozen values that every other package speaks in.

Standard library only, no I/O, nothing of ours imported. What crosses a package border is one of these, so a part
can be read, tested and replaced without the others.
"""
