import { isAddress, parseAddress, SESSION, type Address } from './address.js';
import { ERROR_STATUS, errorOfStatus, isErrorCode, ProtoflyError } from './errors.js';
import { MAX_DEPTH, MAX_ID_LENGTH, MAX_RECIPIENTS } from './limits.js';

/** Types that ask for something. `open`, `re-open` and `close` go to `mn:/session` only. */
export const REQUEST_TYPES = [
  'create', 'read', 'update', 'delete', 'subscribe', 'unsubscribe', 'execute', 'forward', 'ping', 'open', 're-open', 'close',
] as const;
export type RequestType = (typeof REQUEST_TYPES)[number];
export type MessageId = number | string;

/** What the sender of a request waits for; absent where it doesn't say (docs/protocol.md, "What a sender expects"). */
export type Expectation = 'receipt' | 'response';

/**
 * The body fields with a meaning of their own. Values of unknown shape stay `unknown`: whoever uses one checks it.
 * @see docs/protocol.md, "Messages"
 */
export interface Body {
  readonly value?: unknown;
  /** What the message is about, when that isn't `to` itself: an address or a path. */
  readonly resource?: unknown;
  readonly attribute?: unknown;
  /** The original sender, when `from` is a resource. */
  readonly source?: unknown;
  readonly schema?: unknown;
  /** `true`: set up P2P for this. `false`: never P2P. */
  readonly p2p?: unknown;
  /** `true`: keep for an offline receiver. */
  readonly store?: unknown;
  /** Stub addresses already passed: never deliver back there. */
  readonly via?: unknown;
  readonly expect?: unknown;
  /** How long its sender waits for a receipt, in milliseconds. */
  readonly timeout?: unknown;
  readonly [field: string]: unknown;
}

export interface ResponseBody extends Body {
  /** HTTP semantics: 1xx provisional, 2xx done, 4xx and 5xx refused. */
  readonly code: number;
  readonly description?: unknown;
  /** See `withIds`. */
  readonly receiptOf?: unknown;
}

interface Header {
  /** Unique per `from`. */
  readonly id: MessageId;
  readonly from: Address;
}

export interface Request extends Header {
  readonly type: RequestType;
  readonly to: Address | readonly Address[];
  readonly body?: Body;
}

export interface Response extends Header {
  readonly type: 'response';
  readonly to: Address;
  readonly body: ResponseBody;
}

/** Everything that travels over a link. A message is never changed once it has been sent: make another. */
export type Message = Request | Response;

export const isResponse = (message: Message): message is Response => message.type === 'response';
/** Whether a response leaves its request open (1xx). */
export const isProvisional = (response: Response): boolean => response.body.code < 200;
export const isSuccess = (response: Response): boolean => response.body.code >= 200 && response.body.code < 300;
export const recipientsOf = (message: Message): readonly Address[] => (typeof message.to === 'string' ? [message.to] : message.to);
/** The words that go with a response's code, however the other side spells the field. */
export const descriptionOf = (response: Response): string | undefined => {
  const words = response.body.description ?? response.body['desc'];
  return typeof words === 'string' ? words : undefined;
};
export const expectationOf = (message: Message): Expectation | undefined => {
  const expect = message.body?.expect;
  return expect === 'receipt' || expect === 'response' ? expect : undefined;
};

const ANSWERED: ReadonlySet<Message['type']> = new Set(['read', 'execute', 'subscribe', 'unsubscribe', 'ping']);

/** True if a program has to answer the message now: keeping it for later is of no use. */
export const needsAnswer = (message: Message): boolean => {
  const expectation = expectationOf(message);
  return expectation === 'response' || (expectation === undefined && ANSWERED.has(message.type));
};

/** True if the sender wants the message kept while its receiver can't be reached (docs/protocol.md, "Offline mail"). */
export const wantsKeeping = (message: Message): message is Request => !isResponse(message) && message.body?.store === true && !needsAnswer(message);

/**
 * A copy of a body with other fields; those that are undefined are left out. For every message's way: `{...body, field}`
 * takes V8 twenty times as long where the body was read from JSON.
 */
export const bodyWith = (body: Body | undefined, fields: Body): Body => {
  const copy: Record<string, unknown> = {};
  for (const key in body) if (!Object.hasOwn(fields, key)) copy[key] = body[key];
  for (const key in fields) if (fields[key] !== undefined) copy[key] = fields[key];
  return copy;
};

/** The stubs that a message has passed. */
export const viaOf = (message: Message): readonly string[] => {
  const via = message.body?.via;
  if (typeof via === 'string') return [via];
  return Array.isArray(via) ? via.filter((stub) => typeof stub === 'string') : [];
};

/** The response to a request. `from` defaults to the address that was asked. */
export const respond = (request: Request, code: number, body: Body = {}, from?: Address): Response => ({
  id: request.id,
  type: 'response',
  from: from ?? recipientsOf(request)[0]!,
  to: request.from,
  body: { ...body, code },
});

/** The response that tells of an error. */
export const refuse = (request: Request, error: ProtoflyError, from?: Address): Response =>
  respond(request, error.status, { description: error.message, error: error.code, ...(error.hint === undefined ? {} : { hint: error.hint }), ...(error.uncertain ? { uncertain: true } : {}), ...numberIn(request) }, from);

/** The number of a message in its flow, as a refusal names it (docs/protocol.md, FLW-6): an id may be of several messages. */
const numberIn = ({ body }: Request): { readonly flow?: readonly unknown[] } => {
  const flow = body?.['flow'];
  return Array.isArray(flow) && flow.length === 3 ? { flow: [flow[0], flow[1], flow[1]] } : {};
};

/** A refusal of a message that may have arrived all the same. */
export const asUncertain = (refusal: Response): Response => ({ ...refusal, body: { ...refusal.body, uncertain: true } });

/**
 * A response that answers several requests of one sender at once: `body.receiptOf` lists them, `id` is the last of them. Only
 * between a runtime and its programs. @see docs/control.md
 */
export const withIds = (response: Response, ids: readonly MessageId[]): Response => {
  const id = ids.at(-1) ?? response.id;
  const { flow: _flow, receiptOf: _several, ...body } = response.body;
  return { ...response, id, body: ids.length > 1 ? { ...body, receiptOf: ids } : body };
};

/** The requests that a response answers. */
export const idsOf = (response: Response): readonly MessageId[] => (Array.isArray(response.body.receiptOf) ? response.body.receiptOf as readonly MessageId[] : [response.id]);

/** The error that a refusing response stands for: the one it names, if that fits its code, else by its code. */
export const responseError = (response: Response): ProtoflyError => {
  const { code, hint, error, uncertain } = response.body;
  const details = { ...(typeof hint === 'string' ? { hint } : {}), uncertain: uncertain === true };
  const text = descriptionOf(response);
  if (isErrorCode(error) && ERROR_STATUS[error] === code) return new ProtoflyError(error, text ?? error, details);
  return errorOfStatus(code, text, details);
};

const TYPES: ReadonlyMap<string, Message['type']> = new Map([...REQUEST_TYPES, 'response' as const].map((type) => [type, type]));

const malformed = (why: string): ProtoflyError => new ProtoflyError('E_MESSAGE', `malformed message: ${why}`);

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

export const isBody = (value: unknown): value is Body => isObject(value) && !ArrayBuffer.isView(value);

/** Refuses what would hurt later: nesting that overflows a stack, keys that reach a prototype. */
const checkDepth = (value: unknown, depth: number): void => {
  if (typeof value !== 'object' || value === null) return;
  if (depth > MAX_DEPTH) throw malformed(`nested deeper than ${String(MAX_DEPTH)}`);
  if (ArrayBuffer.isView(value)) return;
  if (Array.isArray(value)) {
    for (const item of value) checkDepth(item, depth + 1);
    return;
  }
  for (const key in value) {
    if (key === '__proto__') throw malformed('a key is named __proto__');
    checkDepth((value as Record<string, unknown>)[key], depth + 1);
  }
};

/** @throws ProtoflyError `E_MESSAGE` */
export const parseId = (id: unknown): MessageId => {
  if (typeof id === 'number' && Number.isFinite(id)) return id;
  if (typeof id === 'string' && id.length > 0 && id.length <= MAX_ID_LENGTH && id.isWellFormed()) return id;
  throw malformed('id is not a finite number or a string of 1 to 256 characters');
};

const parseTo = (to: unknown): Address | readonly Address[] => {
  if (!Array.isArray(to)) return parseAddress(to);
  if (to.length === 0 || to.length > MAX_RECIPIENTS) throw malformed(`to lists ${String(to.length)} addresses, not 1 to ${String(MAX_RECIPIENTS)}`);
  return [...new Set(Array.from(to, parseAddress))];
};

/**
 * Checks a decoded frame and brings it into canonical form. Called once per message, where it enters the process.
 * @throws ProtoflyError `E_MESSAGE` or `E_ADDRESS`
 * @see docs/protocol.md, "Messages"
 */
export const parseMessage = (frame: unknown): Message => {
  if (!isObject(frame)) throw malformed('not a JSON object');
  const id = parseId(frame['id']);
  const type = typeof frame['type'] === 'string' ? TYPES.get(frame['type']) ?? TYPES.get(frame['type'].toLowerCase()) : undefined;
  if (type === undefined) throw malformed('unknown type');
  const from = parseAddress(frame['from']);
  const to = parseTo(frame['to']);
  const body = frame['body'] ?? undefined;
  if (body !== undefined && !isBody(body)) throw malformed('body is not an object');
  checkDepth(body, 0);
  if (type !== 'response') return body === undefined ? { id, type, from, to } : { id, type, from, to, body };
  if (typeof to !== 'string') throw malformed('a response goes to one address');
  if (body === undefined || !isResponseBody(body)) throw malformed('a response has no body.code from 100 to 999');
  return { id, type, from, to, body };
};

const isResponseBody = (body: Body): body is ResponseBody => {
  const { code } = body;
  return typeof code === 'number' && Number.isInteger(code) && code >= 100 && code <= 999;
};

/** Under which a message keeps the text that it was read from. Shared by the copies of this module in protostubs. */
const TEXT = Symbol.for('protofly.text');

/** A message as the text of one frame: the one that it was read from, where that was kept. */
export const encodeMessage = (message: Message): string => (message as { readonly [TEXT]?: string })[TEXT] ?? JSON.stringify(message);

/** Reads the text of one frame. @throws ProtoflyError `E_MESSAGE` or `E_ADDRESS` */
export const decodeMessage = (text: string): Message => {
  let frame: unknown;
  try {
    frame = JSON.parse(text);
  } catch (cause) {
    throw new ProtoflyError('E_MESSAGE', 'malformed message: not JSON', { cause });
  }
  return parseMessage(frame);
};

/**
 * Reads the text of one frame for somebody who passes messages on: as long as the message stays what it is, it needn't
 * be written anew. What is made of it (`{...message}`) doesn't have its text. Only for text that is in canonical form,
 * or whose next reader brings it into that.
 * @throws ProtoflyError `E_MESSAGE` or `E_ADDRESS`
 */
export const decodeToPassOn = (text: string): Message => {
  const message = decodeMessage(text);
  // Links between processes carry a frame a line.
  return text.includes('\n') ? message : Object.defineProperty(message, TEXT, { value: text });
};

/**
 * The request that a frame was meant to be, as far as it can be answered: for the 400 to somebody who got a field wrong.
 * Undefined when there is no id or sender to answer to, and for responses, which are never answered. Where `to` is
 * what was wrong, it is the session that answers.
 */
export const answerable = (text: string): Request | undefined => {
  try {
    const frame: unknown = JSON.parse(text);
    if (!isObject(frame)) return undefined;
    const { id, type, from, to } = frame;
    if (typeof type === 'string' && type.toLowerCase() === 'response') return undefined;
    const asked: unknown = Array.isArray(to) ? to.find(isAddress) : to;
    return { id: parseId(id), type: 'execute', from: parseAddress(from), to: isAddress(asked) ? parseAddress(asked) : SESSION };
  } catch {
    return undefined;
  }
};

/** The path by which a message came: from a peer, through a message node, or from a program of the same runtime. */
export type Path = 'p2p' | 'msg-node' | 'local';

/** The path of a received message. Its sender reads it in `body` of the receipt. */
export interface ReceivedVia {
  readonly path: Path;
  /** The generation of the P2P connection over which it came. */
  readonly generation?: number;
}
