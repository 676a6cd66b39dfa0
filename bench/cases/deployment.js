import { inTurns, median } from '../support/statistics.js';

const KINDS = [
  { what: 'downloaded, new sandbox', ours: 'downloaded', reference: 'downloaded' },
  { what: 'cached, new sandbox', ours: 'newSandbox', reference: 'newProcess' },
  { what: 'cached, sandbox there', ours: 'sameSandbox', reference: 'sameProcess' },
];

/**
 * P10: time to deploy a domain's message-node stub in a sandbox process. Downloaded: against one download of
 * the same code plus a bare process with the same flags. Cached: against a bare import of the code.
 */
export const measure = async (parties, { setUps }) => {
  const folder = parties.folder();
  const url = await parties.domain();
  const ours = parties.start('deployer');
  const raw = parties.start('raw-deployer');
  await Promise.all([ours.ask('start', { url, folder }), raw.ask('start', { url, folder })]);
  const rows = [];
  for (const kind of KINDS) {
    await Promise.all([ours.ask(kind.ours), raw.ask(kind.reference)]);
    const pairs = await inTurns(setUps, () => ours.ask(kind.ours), () => raw.ask(kind.reference));
    const longest = { ours: Math.max(...pairs.map((pair) => pair.ours)), reference: Math.max(...pairs.map((pair) => pair.reference)) };
    const row = (statistic, figures) => ({ what: `stub deployed, ${kind.what}, ${statistic} of ${setUps}`, unit: 'ms', ...figures });
    rows.push(
      row('p50', { ours: median(pairs.map((pair) => pair.ours)), reference: median(pairs.map((pair) => pair.reference)), ratio: median(pairs.map((pair) => pair.ours / pair.reference)) }),
      row('longest', { ...longest, ratio: longest.ours / longest.reference }),
    );
  }
  return rows;
};
