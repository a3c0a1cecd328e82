#!/usr/bin/env python3
"""draw.py CAST START CHECK: draws the two screens of the recording of the first call as SVG.

A screen is what stands in the terminal before it is cleared, and at the end. Of the terminal's language this knows
what the programs say: colours, line breaks, the beginning and the rest of a line, and clearing.
"""

import html
import json
import re
import sys

TOKEN = re.compile(r"\x1b\[([0-9;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")
WIDTH, HEIGHT, SIZE, MARGIN, BAR = 8.4, 18, 14, 16, 30
COLOURS = {"31": "#f4857b", "32": "#7fd88f", "33": "#e8c468", "36": "#7cc7e8"}
PLAIN, DIM, GROUND, FRAME = "#d8dee6", "#8a94a3", "#14181f", "#222833"


class Screen:
    """Lines of cells: a letter, and how it looks."""

    def __init__(self, columns):
        self.columns = columns
        self.clear()

    def clear(self):
        self.lines, self.column, self.look = [[]], 0, frozenset()

    def put(self, text):
        for letter in text:
            if self.column == self.columns:
                self.lines.append([])
                self.column = 0
            line = self.lines[-1]
            line.extend((" ", frozenset()) for _ in range(self.column - len(line)))
            line[self.column:self.column + 1] = [(letter, self.look)]
            self.column += 1

    def obey(self, parameters, command):
        """Returns whether the screen was cleared."""
        if command == "m":
            for parameter in parameters.split(";"):
                self.look = frozenset() if parameter in ("", "0") else self.look | {parameter.lstrip("0")}
        elif command == "K":
            del self.lines[-1][self.column:]
        return command == "J"

    def text(self):
        return ["".join(letter for letter, _ in line).rstrip() for line in self.lines]


def screens(cast):
    """A list of lines for each screen."""
    header, *events = [json.loads(line) for line in open(cast, encoding="utf-8")]
    screen, found = Screen(header["width"]), []
    for parameters, command, control, text in TOKEN.findall("".join(event[2] for event in events)):
        if command and screen.obey(parameters, command):
            found.append(screen.lines)
            screen.clear()
        elif control == "\r":
            screen.column = 0
        elif control == "\n":
            screen.lines.append([])
        elif text:
            screen.put(text)
    found.append(screen.lines)
    filled = [lines for lines in found if any(lines)]
    for lines in filled:
        while not lines[-1]:
            lines.pop()
    return header["width"], filled


def style(look):
    colour = next((COLOURS[sgr] for sgr in COLOURS if sgr in look), DIM if "2" in look else PLAIN)
    return f'fill="{colour}"' + (' font-weight="bold"' if "1" in look else "")


def runs(line):
    """Neighbours that look the same: column, letters, look. SVG makes one blank of several, so there a run ends."""
    begin = 0
    for at in range(1, len(line) + 1):
        if at == len(line) or line[at][1] != line[begin][1]:
            text = "".join(letter for letter, _ in line[begin:at])
            for words in re.finditer(r"\S+(?: \S+)*", text):
                yield begin + words.start(), words.group(), line[begin][1]
            begin = at


def picture(columns, lines, title):
    width, height = columns * WIDTH + 2 * MARGIN, len(lines) * HEIGHT + BAR + 2 * MARGIN - 6
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
           f'height="{height:g}" role="img" aria-label="{html.escape(title)}">',
           f'<rect width="100%" height="100%" rx="8" fill="{GROUND}"/>',
           f'<path d="M0 {BAR}V8a8 8 0 0 1 8-8H{width - 8:g}a8 8 0 0 1 8 8V{BAR}z" fill="{FRAME}"/>']
    out += [f'<circle cx="{x}" cy="{BAR / 2:g}" r="5" fill="{DIM}"/>' for x in (18, 36, 54)]
    out.append(f'<g font-family="ui-monospace, \'DejaVu Sans Mono\', Menlo, Consolas, monospace" font-size="{SIZE}">')
    for row, line in enumerate(lines):
        for column, text, look in runs(line):
            x, y = MARGIN + column * WIDTH, BAR + MARGIN + row * HEIGHT + SIZE - 2
            # Whatever the font: a column is as wide as another.
            out.append(f'<text x="{x:g}" y="{y}" {style(look)} textLength="{len(text) * WIDTH:g}">'
                       f'{html.escape(text, quote=False)}</text>')
    return "\n".join(out + ["</g>", "</svg>", ""])


def main(cast, *pictures):
    columns, found = screens(cast)
    if len(found) != len(pictures):
        sys.exit(f"{cast} has {len(found)} screens, and {len(pictures)} pictures were asked for")
    for lines, path in zip(found, pictures):
        first = "".join(letter for letter, _ in lines[1])
        with open(path, "w", encoding="utf-8") as file:
            file.write(picture(columns, lines, first.removeprefix("$ ")))


if __name__ == "__main__":
    main(*sys.argv[1:])
