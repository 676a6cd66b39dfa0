import type { Scenario } from '../scenario.js';
import { CABLE } from './cable.js';
import { CRASH } from './crash.js';
import { FLOW } from './flow.js';
import { NAT } from './nat.js';

/** All scenarios, in the order in which they run. */
export const SCENARIOS: readonly Scenario[] = [...NAT, ...CABLE, ...CRASH, ...FLOW];
