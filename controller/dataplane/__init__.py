"""The data plane: nginx as a child that never stops serving.

Takes a FragmentSet, makes nginx run it, and proves that it does. A fragment that nginx refuses is replaced by its last
good text or its stub, so that one bad host never holds up the others; see `machine.py` for the steps, `driver.py` for
the one class that other packages use.
"""
