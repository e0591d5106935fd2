"""What a person reads."""

from sodalyte.report.dossier import Run, write_report
from sodalyte.report.verdict import verdicts

__all__ = ["Run", "verdicts", "write_report"]
