"""Prints how many hostile inputs there are: `python -m tests.hostile`."""

import sys

from tests.hostile import payloads, pictures, texts


def main() -> None:
    """Counts them by kind."""
    values = len(payloads.VALUES) * sum(len(right) - 1 for right in payloads.ENDPOINTS.values())
    counts = {
        "pictures": len(pictures.all_cases()),
        "texts": len(texts.TEXTS),
        "payloads": len(payloads.PICTURES) * len(payloads.FILES) + values + len(payloads.LISTS),
    }
    for kind, count in (counts | {"together": sum(counts.values())}).items():
        sys.stdout.write(f"{kind:10} {count:5}\n")


if __name__ == "__main__":
    main()
