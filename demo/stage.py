"""What the demonstration shows: steps, commands as a user would type them, checks with their evidence."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.table import Table


@dataclass(frozen=True)
class Check:
    """A claim, whether it held, and what showed it."""

    claim: str
    held: bool
    evidence: str


@dataclass
class Stage:
    """Prints, and remembers the checks. Colour on a terminal, plain text elsewhere."""

    console: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True))
    checks: list[Check] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def step(self, title: str) -> None:
        """Announce a part of the demonstration."""
        self.console.print(f"\n[bold cyan]== {escape(title)}[/] [dim]({time.monotonic() - self.began:.0f} s)[/]")

    def plain(self, text: str) -> None:
        """Say something as it is."""
        self.console.print(text, markup=False)

    def tell(self, text: str) -> None:
        """Say something that proves nothing by itself."""
        self.console.print(f"   {escape(text)}", style="dim")

    def command(self, words: Iterable[str]) -> None:
        """Show a command that a user could type."""
        self.console.print(f"   [bold]$[/] {escape(' '.join(words))}")

    def check(self, claim: str, held: bool, evidence: object = "") -> bool:
        """Show a claim with its evidence and count it."""
        self.checks.append(Check(claim, held, str(evidence)))
        mark = "[bold green]ok[/]  " if held else "[bold red]FAIL[/]"
        self.console.print(f"   {mark} {escape(claim)}" + (f" [dim]- {escape(str(evidence))}[/]" if evidence else ""))
        return held

    def table(self, title: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
        """Show rows; every column but the first is right-aligned."""
        table = Table(title=title, title_justify="left", title_style="dim", box=None, pad_edge=False)
        for number, name in enumerate(head):
            table.add_column(name, justify="right" if number else "left")
        for row in rows:
            table.add_row(*map(escape, row))
        self.console.print(table)

    @property
    def failed(self) -> list[Check]:
        """The checks that did not hold."""
        return [check for check in self.checks if not check.held]
