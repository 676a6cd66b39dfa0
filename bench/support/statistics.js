export const quantile = (values, share) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))];
export const median = (values) => quantile(values, 0.5);

/**
 * Measures ours and the reference in turns, so that other load on the machine affects both.
 * @returns per round, the results of both functions
 */
export const inTurns = async (rounds, ours, reference) => {
  const pairs = [];
  for (let round = 0; round < rounds; round++) {
    // Each goes first equally often.
    const pair = round % 2 === 0 ? { reference: await reference(), ours: await ours() } : { ours: await ours(), reference: await reference() };
    pairs.push(pair);
  }
  return pairs;
};

/**
 * The same, with ratios per round. Each function resolves with a number, or with an object of numbers.
 * @returns per number: the medians, and the median of the ratios
 */
export const compare = async (rounds, ours, reference) => {
  const pairs = await inTurns(rounds, ours, reference);
  const figure = (pick) => ({
    ours: median(pairs.map((pair) => pick(pair.ours))),
    reference: median(pairs.map((pair) => pick(pair.reference))),
    ratio: median(pairs.map((pair) => pick(pair.ours) / pick(pair.reference))),
  });
  const [{ ours: sample }] = pairs;
  return typeof sample === 'number' ? figure((value) => value) : Object.fromEntries(Object.keys(sample).map((key) => [key, figure((value) => value[key])]));
};
