"""The indefinite article, for prompts and captions alike."""

__all__ = ["with_article"]


def with_article(words: str) -> str:
    """The words behind "a" or "an", as they are spoken."""
    spoken_as_consonant = words.startswith(("uf", "un"))  # a ufo, a unicorn
    return ("an " if words[0] in "aeiou" and not spoken_as_consonant else "a ") + words
