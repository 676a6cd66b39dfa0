import { isAddress, parseAddress, SESSION, UNNAMED_CLIENT, type Address } from './address.js';
import { ERROR_STATUS, errorOfStatus, isErrorCode, ProtoflyError } from './errors.js';
import { parseJson } from './json.js';
import { MAX_DEPTH, MAX_ID_LENGTH, MAX_RECIPIENTS } from './limits.js';

/** Types of requests. `open`, `re-open` and `close` go to `mn:/session` only. */
export const REQUEST_TYPES = [
  'create', 'read', 'update', 'delete', 'subscribe', 'unsubscribe', 'execute', 'forward', 'ping', 'open', 're-open', 'close',
] as const;
export type RequestType = (typeof REQUEST_TYPES)[number];
export type MessageId = number | string;

/** The answer that a request's sender waits for; absent if not stated (docs/protocol.md, "What a sender expects"). */
export type Expectation = 'receipt' | 'response';

/**
 * The body fields with a meaning of their own. Fields of unchecked shape are `unknown`: check them before use.
 * @see docs/protocol.md, "Messages"
 */
export interface Body {
  readonly value?: unknown;
  /** The subject of the message, if it isn't `to` itself: an address or a path. */
  readonly resource?: unknown;
  readonly attribute?: unknown;
  /** The original sender, if `from` is a resource. */
  readonly source?: unknown;
  readonly schema?: unknown;
  /** `true`: set up P2P for this receiver. `false`: never use P2P. */
  readonly p2p?: unknown;
  /** `true`: keep for an offline receiver. */
  readonly store?: unknown;
  /** Addresses of the stubs that the message has passed: never deliver it back there. */
  readonly via?: unknown;
  readonly expect?: unknown;
  /** Time for which the sender waits for a receipt, in milliseconds. */
  readonly timeout?: unknown;
  readonly [field: string]: unknown;
}

export interface ResponseBody extends Body {
  /** Status as in HTTP: 1xx provisional, 2xx done, 4xx and 5xx refused. */
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

/** Everything that travels over a link. Never change a message after it was sent: make a new one. */
export type Message = Request | Response;

export const isResponse = (message: Message): message is Response => message.type === 'response';
/** True for a provisional response (1xx), which more responses follow. */
export const isProvisional = (response: Response): boolean => response.body.code < 200;
export const isSuccess = (response: Response): boolean => response.body.code >= 200 && response.body.code < 300;
export const recipientsOf = (message: Message): readonly Address[] => (typeof message.to === 'string' ? [message.to] : message.to);
/** Returns the description in a response, from either spelling of the field. */
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
 * Copies a body with other fields; undefined fields are left out. On the hot path: for bodies parsed from JSON,
 * `{...body, field}` takes V8 twenty times as long.
 */
export const bodyWith = (body: Body | undefined, fields: Body): Body => {
  const copy: Record<string, unknown> = {};
  for (const key in body) if (!Object.hasOwn(fields, key)) copy[key] = body[key];
  for (const key in fields) if (fields[key] !== undefined) copy[key] = fields[key];
  return copy;
};

/** Returns the addresses of the stubs that a message has passed. */
export const viaOf = (message: Message): readonly string[] => {
  const via = message.body?.via;
  if (typeof via === 'string') return [via];
  return Array.isArray(via) ? via.filter((stub) => typeof stub === 'string') : [];
};

/** Creates the response to a request. `from` defaults to the first receiver of the request. */
export const respond = (request: Request, code: number, body: Body = {}, from?: Address): Response => ({
  id: request.id,
  type: 'response',
  from: from ?? recipientsOf(request)[0]!,
  to: request.from,
  body: { ...body, code },
});

/** Creates the response that reports an error. */
export const refuse = (request: Request, error: ProtoflyError, from?: Address): Response =>
  respond(request, error.status, { description: error.message, error: error.code, ...(error.hint === undefined ? {} : { hint: error.hint }), ...(error.uncertain ? { uncertain: true } : {}), ...numberIn(request) }, from);

/** Names a refused message by its number in its flow (docs/protocol.md, FLW-6), since an id may not be unique. */
const numberIn = ({ body }: Request): { readonly flow?: readonly unknown[] } => {
  const flow = body?.['flow'];
  return Array.isArray(flow) && flow.length === 3 ? { flow: [flow[0], flow[1], flow[1]] } : {};
};

/** Marks a refusal: the message may have arrived nevertheless. */
export const asUncertain = (refusal: Response): Response => ({ ...refusal, body: { ...refusal.body, uncertain: true } });

/**
 * Makes a response answer several requests of one sender at once: `body.receiptOf` lists them, `id` is the
 * last. Used only between a runtime and its programs.
 * @see docs/control.md
 */
export const withIds = (response: Response, ids: readonly MessageId[]): Response => {
  const id = ids.at(-1) ?? response.id;
  const { flow: _flow, receiptOf: _several, ...body } = response.body;
  return { ...response, id, body: ids.length > 1 ? { ...body, receiptOf: ids } : body };
};

/** Returns the ids of the requests that a response answers. */
export const idsOf = (response: Response): readonly MessageId[] => (Array.isArray(response.body.receiptOf) ? response.body.receiptOf as readonly MessageId[] : [response.id]);

/** Creates the error for a refusing response. It has the response's error code if that fits its status, else one by status. */
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

/** Refuses dangerous bodies: nesting that would overflow the stack, and keys that would reach a prototype. */
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
 * Checks a decoded frame and brings it into canonical form. Call it once per message, where it enters the
 * process.
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

/** Key under which a message keeps its original text. All copies of this module in protostubs share it. */
const TEXT = Symbol.for('protofly.text');

/**
 * Returns a message of which only the text is known, for a link that checks it at its other end.
 * @throws ProtoflyError `E_MESSAGE` for text of several lines
 */
export const textMessage = (text: string): Message => {
  if (text.includes('\n')) throw new ProtoflyError('E_MESSAGE', 'malformed message: its text has several lines');
  return { [TEXT]: text } as unknown as Message;
};

/** Encodes a message as the text of one frame. Reuses the original text if the message has kept it. */
export const encodeMessage = (message: Message): string => (message as { readonly [TEXT]?: string })[TEXT] ?? JSON.stringify(message);

const withText = (message: Message, text: string): Message => Object.defineProperty(message, TEXT, { value: text });

/** Encodes a message that goes to several links, so that it isn't encoded for each. Keeps its text. */
export const encodedOnce = (message: Message): Message => ((message as { readonly [TEXT]?: string })[TEXT] === undefined ? withText(message, JSON.stringify(message)) : message);

/** Returns a message for each receiver of a request with a list (MSG-4). Their common body is encoded once. */
export const splitByReceiver = (message: Message): readonly Message[] => {
  const { id, type, from, body } = message;
  const rest = body === undefined ? '}' : `,"body":${JSON.stringify(body)}}`;
  return recipientsOf(message).map((to) => withText({ ...message, to } as Message, JSON.stringify({ id, type, from, to }).slice(0, -1) + rest));
};

/** Decodes the text of one frame. @throws ProtoflyError `E_MESSAGE`, `E_ADDRESS` or `E_TOO_LARGE` */
export const decodeMessage = (text: string): Message => {
  let frame: unknown;
  try {
    frame = parseJson(text);
  } catch (thrown) {
    if (thrown instanceof ProtoflyError && thrown.code === 'E_MESSAGE') throw new ProtoflyError('E_MESSAGE', `malformed message: ${thrown.message}`, { cause: thrown });
    throw thrown;
  }
  return parseMessage(frame);
};

/**
 * Decodes the text of one frame for a relay: the unchanged message keeps its text and isn't encoded again. A
 * copy (`{...message}`) doesn't keep the text. Use it only for text in canonical form, or if the next reader
 * canonicalises it.
 * @throws ProtoflyError `E_MESSAGE` or `E_ADDRESS`
 */
export const decodeToPassOn = (text: string): Message => {
  const message = decodeMessage(text);
  // Links between processes carry one frame per line.
  return text.includes('\n') ? message : withText(message, text);
};

/** Length of the part of a frame in which its header is looked for, in UTF-16 code units. */
const HEADER_LENGTH = 64 * 1024;
const BODY = ',"body":';

/**
 * Returns the fields of a malformed frame, as far as they can be told; none if it is no object. Of a frame that is too
 * expensive to parse, only those before its body.
 */
export const fieldsOf = (text: string): Readonly<Record<string, unknown>> => {
  const readable = (part: string): Readonly<Record<string, unknown>> | undefined => {
    try {
      const frame = parseJson(part);
      return isObject(frame) ? frame : {};
    } catch {
      return undefined;
    }
  };
  const whole = readable(text);
  if (whole !== undefined) return whole;
  const end = text.slice(0, HEADER_LENGTH).indexOf(BODY);
  return (end < 0 ? undefined : readable(`${text.slice(0, end)}}`)) ?? {};
};

/** True if the fields of a malformed frame say that it is a response. Those are never answered. */
export const namesResponse = ({ type }: Readonly<Record<string, unknown>>): boolean => typeof type === 'string' && type.toLowerCase() === 'response';

/** Stands in for a malformed frame without a usable id and sender. */
export const NAMELESS: Request = { id: 0, type: 'execute', from: UNNAMED_CLIENT, to: SESSION };

/**
 * Reconstructs the request behind a malformed frame from its fields, so that it can be answered with 400. Returns
 * undefined if they have no valid id or sender, and for responses, which are never answered. If `to` is invalid, the
 * session answers.
 */
export const answerable = (fields: Readonly<Record<string, unknown>>): Request | undefined => {
  try {
    if (namesResponse(fields)) return undefined;
    const { id, from, to } = fields;
    const asked: unknown = Array.isArray(to) ? to.find(isAddress) : to;
    return { id: parseId(id), type: 'execute', from: parseAddress(from), to: isAddress(asked) ? parseAddress(asked) : SESSION };
  } catch {
    return undefined;
  }
};

/** The path by which a message came: from a peer, through a message node, or from a program of the same runtime. */
export type Path = 'p2p' | 'msg-node' | 'local';

/** The path and connection that a message came by. Its sender finds this in the `body` of the receipt. */
export interface ReceivedVia {
  readonly path: Path;
  /** The generation of the P2P connection that it came over. */
  readonly generation?: number;
}
