"""What can go wrong with a teacher. Imports nothing heavy: the command line checks names first."""

__all__ = ["PromptError", "TeacherError"]


class TeacherError(RuntimeError):
    """A teacher cannot be loaded; the message says what is missing and what would work."""


class PromptError(ValueError):
    """A prompt the teacher does not understand; the message lists what it does."""
