"""What several tests share: references, servers, a browser, links, what an explorer shows."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
