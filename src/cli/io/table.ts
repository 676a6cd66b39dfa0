/** A column of a text table. It knows nothing of colour: styles are applied once the widths are known. */
export interface Column<Row> {
  readonly title: string;
  readonly get: (row: Row) => unknown;
}

export type Style = (text: string) => string;

/**
 * Escapes control and direction characters, which a terminal would act on: names and values may come from strangers.
 */
export const printable = (text: string): string =>
   
  text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (character) => JSON.stringify(character).slice(1, -1).replace(/^[^\\]$/, `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`));

/** Formats any value on one line. */
export const cell = (value: unknown): string => {
  if (value === undefined || value === null || value === '') return '-';
  if (typeof value === 'string') return printable(value);
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (Array.isArray(value)) return value.length === 0 ? '-' : value.map(cell).join(' ');
  return printable(typeof value === 'object' ? JSON.stringify(value) : String(value as number));
};

const align = (cells: readonly string[], widths: readonly number[]): string =>
  cells.map((text, index) => (index === cells.length - 1 ? text : text.padEnd(widths[index]!))).join('  ');

/** Returns the lines of a table with a heading. The last column isn't padded. */
export const tableLines = <Row>(rows: readonly Row[], columns: readonly Column<Row>[], heading: Style): string[] => {
  const body = rows.map((row) => columns.map((column) => cell(column.get(row))));
  const titles = columns.map((column) => column.title);
  const widths = titles.map((title, index) => Math.max(title.length, ...body.map((cells) => cells[index]!.length)));
  return [heading(align(titles, widths)), ...body.map((cells) => align(cells, widths))];
};

/** Returns `name value` lines, without undefined values. */
export const fieldLines = (fields: Readonly<Record<string, unknown>>, heading: Style): string[] => {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  const width = Math.max(0, ...given.map(([name]) => name.length));
  return given.map(([name, value]) => `${heading(name.padEnd(width))}  ${cell(value)}`);
};
