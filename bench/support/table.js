/** Judges and formats rows of figures. */

/** @returns 'reached', 'not yet', or '' without a goal */
export const verdictOf = ({ ours, reference, ratio, goal }) => {
  if (goal === undefined) return '';
  if (goal.added !== undefined) return ours - reference <= goal.added ? 'reached' : 'not yet';
  return (goal.least === undefined ? ratio <= goal.most : ratio >= goal.least) ? 'reached' : 'not yet';
};

const number = (value) =>
  value >= 1000 ? Math.round(value).toLocaleString('en') : value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
const amount = (value, unit) => (value === undefined ? '' : `${number(value)} ${unit}`);
const goalText = (goal, unit) => {
  if (goal === undefined) return '';
  if (goal.added !== undefined) return `≤ +${goal.added} ${unit}`;
  return goal.least === undefined ? `≤ ${goal.most}` : `≥ ${goal.least}`;
};

/** CPU time of both sides' processes for one message. */
const cpuText = (cpu) => (Number.isFinite(cpu?.ours) && Number.isFinite(cpu.reference) ? `${number(cpu.ours)} / ${number(cpu.reference)} µs` : '');

const HEADS = ['', 'what', 'ours', 'reference', 'ratio', 'goal', 'CPU a message', 'verdict'];

/** Formats the rows as a Markdown table, aligned for reading as plain text. */
export const table = (rows) => {
  const lines = rows.map(({ name, what, unit, ours, reference, ratio, goal, cpu, verdict }) =>
    [name, what, amount(ours, unit), amount(reference, unit), ratio === undefined ? '' : number(ratio), goalText(goal, unit), cpuText(cpu), verdict]);
  const widths = HEADS.map((head, column) => Math.max(3, head.length, ...lines.map((line) => line[column].length)));
  const show = (cells) => `| ${cells.map((cell, column) => (column < 2 || column === 7 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))).join(' | ')} |`;
  return [show(HEADS), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...lines.map(show)].join('\n');
};
