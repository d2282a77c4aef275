/** Columns as docker's: at least ten wide, three spaces apart, no padding after the last. */
import width from 'fast-string-width'

/** @returns lines without trailing blanks, each ended by a newline; '' for no rows */
export function formatTable(rows: readonly (readonly string[])[], { minimum = 10, gap = 3 } = {}): string {
  const widths: number[] = []
  for (const row of rows)
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? minimum - gap, width(cell))
  return rows
    .map((row) => {
      const cells = row.map((cell, index) => cell + ' '.repeat(widths[index]! - width(cell) + gap))
      return `${cells.join('').trimEnd()}\n`
    })
    .join('')
}

/** Text of others (names of files, lines of an image's config) without what could steer a terminal. */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '?')
}
