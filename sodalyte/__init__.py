"""Tell whether a sodium sulfide is a good solid electrolyte, and how sure that is."""

__version__ = "0.1.0"
