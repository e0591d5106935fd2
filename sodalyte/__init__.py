"""Is a sodium sulfide a good solid electrolyte, and how sure are we?"""

__version__ = "0.1.0"
