import { decodeMessage, decodeToPassOn, MAX_ID_LENGTH, TEXT, type Body, type Message, type Request } from '../protocol/index.js';

/**
 * The text of a message, cut after its id and before its body. The middle is the part in between: type, sender and
 * receiver. The text is `{"id":` + id + middle + rest.
 */
export interface CutText {
  readonly id: string;
  readonly middle: string;
  readonly rest: string;
}

export const CUT_START = '{"id":';
/** Maximum length of a middle, in UTF-16 code units: two addresses of the maximum length, and the text around them. */
export const MAX_MIDDLE = 8192;
const BODY = ',"body":';
const RESPONSE = ',"type":"response"';
const QUOTE = 0x22;

/** Copies a part of a text. A slice would keep the whole text in memory. */
export const copied = (part: string): string => JSON.parse(JSON.stringify(part)) as string;

/** Cuts a text into its parts. Returns undefined for an unusual text. */
export const cutText = (text: string): CutText | undefined => {
  if (!text.startsWith(CUT_START)) return undefined;
  const end = text.charCodeAt(CUT_START.length) === QUOTE ? text.indexOf('"', CUT_START.length + 1) + 1 : text.indexOf(',', CUT_START.length);
  if (end <= CUT_START.length) return undefined;
  const id = text.slice(CUT_START.length, end);
  if (id.includes('\\') || id.includes('\t')) return undefined;
  // Quotes in strings are escaped, so this can't be inside an address.
  const body = text.indexOf(BODY, end);
  const at = body < 0 ? text.length - 1 : body;
  return at < end || at - end > MAX_MIDDLE ? undefined : { id, middle: text.slice(end, at), rest: text.slice(at) };
};

type Header = Pick<Request, 'type' | 'from' | 'to'>;

/** A request of which only the header has been read. Its body is parsed when somebody asks for it. */
class CarriedRequest {
  /** Makes `body` a property like the others, which copies and `JSON.stringify` see. */
  static readonly #BODY: PropertyDescriptor & ThisType<CarriedRequest> = { enumerable: true, configurable: true, get() { return this.#read(); } };
  readonly id: Request['id'];
  readonly type: Request['type'];
  readonly from: Request['from'];
  readonly to: Request['to'];
  /** @throws ProtoflyError `E_MESSAGE` for a malformed body */
  declare readonly body: Body;
  readonly #text: string;
  #body: Body | undefined;

  constructor(id: Request['id'], { type, from, to }: Header, text: string) {
    this.id = id;
    this.type = type;
    this.from = from;
    this.to = to;
    this.#text = text;
    Object.defineProperty(this, 'body', CarriedRequest.#BODY);
  }

  get [TEXT](): string {
    return this.#text;
  }

  #read(): Body {
    this.#body ??= decodeMessage(this.#text).body ?? {};
    return this.#body;
  }
}

/** Maximum number of known headers. */
const MAX_HEADERS = 1024;

/**
 * Decodes messages for a carrier, which passes them on unread. Of a request it reads the header alone; its body is
 * checked when somebody asks for it. So use it only if the next reader checks the whole text.
 */
export class CarrierDecoder {
  readonly #headers = new Map<string, Header>();

  /** @throws ProtoflyError `E_MESSAGE`, `E_ADDRESS` or `E_TOO_LARGE` */
  decode(text: string): Message {
    const parts = cutText(text);
    if (parts === undefined || parts.rest.length <= 1 || text.includes('\n')) return decodeToPassOn(text);
    const header = this.#headers.get(parts.middle) ?? this.#read(parts);
    const id: unknown = parts.id.charCodeAt(0) === QUOTE ? parts.id.slice(1, -1) : Number(parts.id);
    return header === undefined || !isPlainId(id) ? decodeToPassOn(text) : new CarriedRequest(id, header, text);
  }

  /** @returns undefined for a text that has to be read as a whole: a response, or an unusual one */
  #read({ middle }: CutText): Header | undefined {
    if (middle.startsWith(RESPONSE)) return undefined;
    let header: Message;
    try {
      header = decodeMessage(`${CUT_START}0${middle}}`);
    } catch {
      return undefined;
    }
    if (header.type === 'response' || header.body !== undefined) return undefined;
    if (this.#headers.size >= MAX_HEADERS) this.#headers.clear();
    const { type, from, to } = header;
    this.#headers.set(copied(middle), { type, from, to });
    return { type, from, to };
  }
}

const isPlainId = (id: unknown): id is Request['id'] => (typeof id === 'number' ? Number.isFinite(id) : typeof id === 'string' && id.length > 0 && id.length <= MAX_ID_LENGTH && id.isWellFormed());
