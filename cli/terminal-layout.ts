/** Text laid out for a terminal: wrapping, two columns, tables. Pure; widths are in characters. */

/** Wraps at spaces, keeps line breaks, cuts words that are longer than a line. */
export function wrap(text: string, width: number): readonly string[] {
  return text.split('\n').flatMap((line) => wrapLine(line, width));
}

function wrapLine(line: string, width: number): readonly string[] {
  const lines: string[] = [];
  let rest = Array.from(line);
  while (rest.length > width) {
    const space = rest.slice(0, width + 1).lastIndexOf(' ');
    const cut = space > width / 3 ? space : width;
    lines.push(rest.slice(0, cut).join(''));
    rest = rest.slice(cut);
    while (rest[0] === ' ') rest = rest.slice(1);
  }
  return [...lines, rest.join('')];
}

/** Two texts beside each other, or below each other where the terminal is narrow. */
export function sideBySide(left: string, right: string, width: number): readonly string[] {
  if (width < 80) return [...wrap(left, width), ...wrap(right, width - 2).map((line) => `  ${line}`)];
  const leftWidth = Math.floor((width - 3) * 0.42);
  const leftLines = wrap(left, leftWidth);
  const rightLines = wrap(right, width - 3 - leftWidth);
  return Array.from({ length: Math.max(leftLines.length, rightLines.length) }, (_, index) =>
    `${padded(leftLines[index] ?? '', leftWidth)} │ ${rightLines[index] ?? ''}`.trimEnd(),
  );
}

/** A table with a header; cells are shortened until it fits. */
export function table(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  width: number,
): readonly string[] {
  const widths = header.map((name, column) => Math.max(length(name), ...rows.map((row) => length(row[column] ?? ''))));
  const room = width - 2 * (header.length - 1);
  while (widths.reduce((sum, value) => sum + value, 0) > room && Math.max(...widths) > 8) {
    widths[widths.indexOf(Math.max(...widths))] = Math.max(...widths) - 1;
  }
  const line = (cells: readonly string[]): string =>
    widths
      .map((cellWidth, column) => padded(shortened(cells[column] ?? '', cellWidth), cellWidth))
      .join('  ')
      .trimEnd();
  return [line(header), widths.map((cellWidth) => '─'.repeat(cellWidth)).join('  '), ...rows.map(line)];
}

function shortened(text: string, width: number): string {
  const characters = Array.from(text.replaceAll('\n', ' '));
  return characters.length <= width ? characters.join('') : `${characters.slice(0, width - 1).join('')}…`;
}

function padded(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - length(text)));
}

function length(text: string): number {
  return Array.from(text).length;
}
