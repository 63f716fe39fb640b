"""An index over many patterns: the cost of matching stays nearly flat as rules grow. See ``index``."""
