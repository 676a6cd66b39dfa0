import { parseArgs } from 'node:util';
import type { Surroundings } from './context.js';

/**
 * The options of a plain `msg send`. The command is used in shell loops, and loading the command line framework takes
 * longer than the sending. So plain calls are parsed here with Node's own parser. Anything else (help, unknown flags,
 * wrong values) is left to the framework.
 */
export const SEND_OPTIONS = {
  from: { type: 'string' },
  type: { type: 'string' },
  split: { type: 'string' },
  'json-body': { type: 'boolean' },
  'require-direct': { type: 'boolean' },
  'no-p2p': { type: 'boolean' },
  store: { type: 'boolean' },
  all: { type: 'boolean' },
  receipt: { type: 'boolean' },
  timeout: { type: 'string' },
  profile: { type: 'string' },
  json: { type: 'boolean' },
  'no-input': { type: 'boolean' },
  verbose: { type: 'boolean' },
} as const;

/** Flags of `msg send` that only the framework handles. */
export const NOT_PLAIN = ['file', 'name'] as const;

const read = (args: string[]): ReturnType<typeof parse> | undefined => {
  try {
    return parse(args);
  } catch {
    return undefined;
  }
};

const parse = (args: string[]) => parseArgs({ args, options: SEND_OPTIONS, allowPositionals: true, strict: true });

/**
 * Runs a plain `msg send`.
 * @returns true if it ran; false leaves the call to the framework
 * @throws the command's error
 */
export const takeShortCut = async (argv: readonly string[], around: Surroundings): Promise<boolean> => {
  if (argv[0] !== 'msg' || argv[1] !== 'send') return false;
  const parsed = read(argv.slice(2));
  const address = parsed?.positionals[0];
  if (parsed === undefined || address === undefined) return false;
  const { values } = parsed;
  if (values.store === true && values['require-direct'] === true) return false;
  const [{ createContext }, { sendMessages }, { SPLITS }] = await Promise.all([import('./context.js'), import('./messages/send.js'), import('./messages/split.js')]);
  const split = SPLITS.find((known) => known === (values.split ?? 'line'));
  if (split === undefined) return false;
  const timeoutMs = values.timeout === undefined ? undefined : (await import('./io/duration.js')).parseDuration(values.timeout);
  const context = createContext({
    profile: values.profile ?? (around.env['PROTOFLY_PROFILE'] || 'default'),
    json: values.json ?? false,
    'no-input': values['no-input'] ?? false,
    verbose: values.verbose ?? false,
  }, around);
  await sendMessages(context, {
    address, text: parsed.positionals.slice(1), from: values.from, type: values.type ?? 'create', split, timeoutMs,
    jsonBody: values['json-body'] ?? false, requireDirect: values['require-direct'] ?? false, p2p: !(values['no-p2p'] ?? false), receipt: values.receipt ?? false, store: values.store ?? false, all: values.all ?? false,
  });
  return true;
};
