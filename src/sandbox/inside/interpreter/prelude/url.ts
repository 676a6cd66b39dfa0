import { host } from './host.js';

type Part = 'href' | 'protocol' | 'username' | 'password' | 'host' | 'hostname' | 'port' | 'pathname' | 'search' | 'hash' | 'origin';
type Pair = [string, string];

const decoded = (text: string): string => {
  const spaced = text.replaceAll('+', ' ');
  try {
    return decodeURIComponent(spaced);
  } catch {
    return spaced;
  }
};
const encoded = (text: string): string => encodeURIComponent(text).replaceAll('%20', '+').replaceAll(/[!'()~]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);

const pairsOf = (init: unknown): Pair[] => {
  if (typeof init === 'object' && init !== null) {
    const entries = Symbol.iterator in init ? [...(init as Iterable<Pair>)] : Object.entries(init);
    return entries.map(([name, value]) => [String(name), String(value)]);
  }
  const text = String(init ?? '').replace(/^\?/, '');
  return text === '' ? [] : text.split('&').filter((part) => part !== '').map((part) => {
    const [name = '', ...value] = part.split('=');
    return [decoded(name), decoded(value.join('='))];
  });
};

export class URLSearchParams {
  #pairs: Pair[];
  #onChange: () => void = () => undefined;

  constructor(init?: unknown) {
    this.#pairs = pairsOf(init);
  }

  /** Creates the parameters of a URL. */
  static of(search: string, onChange: (search: string) => void): URLSearchParams {
    const params = new URLSearchParams(search);
    params.#onChange = () => { onChange(params.toString()); };
    return params;
  }

  get size(): number { return this.#pairs.length; }
  get(name: unknown): string | null { return this.#pairs.find(([own]) => own === String(name))?.[1] ?? null; }
  getAll(name: unknown): string[] { return this.#pairs.filter(([own]) => own === String(name)).map(([, value]) => value); }
  has(name: unknown): boolean { return this.#pairs.some(([own]) => own === String(name)); }

  append(name: unknown, value: unknown): void {
    this.#pairs.push([String(name), String(value)]);
    this.#onChange();
  }

  set(name: unknown, value: unknown): void {
    const at = this.#pairs.findIndex(([own]) => own === String(name));
    this.#pairs = this.#pairs.filter(([own], index) => own !== String(name) || index === at);
    if (at < 0) this.#pairs.push([String(name), String(value)]);
    else this.#pairs[at] = [String(name), String(value)];
    this.#onChange();
  }

  delete(name: unknown): void {
    this.#pairs = this.#pairs.filter(([own]) => own !== String(name));
    this.#onChange();
  }

  sort(): void {
    this.#pairs.sort(([one], [other]) => (one < other ? -1 : one > other ? 1 : 0));
    this.#onChange();
  }

  forEach(run: (value: string, name: string) => void): void { for (const [name, value] of this.#pairs) run(value, name); }
  *entries(): Generator<Pair> { for (const [name, value] of this.#pairs) yield [name, value]; }
  *keys(): Generator<string> { for (const [name] of this.#pairs) yield name; }
  *values(): Generator<string> { for (const [, value] of this.#pairs) yield value; }
  [Symbol.iterator](): Generator<Pair> { return this.entries(); }
  toString(): string { return this.#pairs.map(([name, value]) => `${encoded(name)}=${encoded(value)}`).join('&'); }
}

const paramsOf = URLSearchParams.of;
delete (URLSearchParams as { of?: unknown }).of;

/** The web's URL. Parsed outside, so it means the same as there. */
export class URL {
  #parts: Readonly<Record<Part, string>>;
  #params: URLSearchParams | undefined;

  constructor(url: unknown, base?: unknown) {
    const parsed = host.parseUrl(String(url), base === undefined ? '' : String(base));
    if (parsed === '') throw new TypeError('Invalid URL');
    this.#parts = JSON.parse(parsed) as Readonly<Record<Part, string>>;
  }

  static canParse(url: unknown, base?: unknown): boolean {
    return host.parseUrl(String(url), base === undefined ? '' : String(base)) !== '';
  }

  #change(part: Part, value: unknown): void {
    const changed = host.changeUrl(this.#parts.href, part, String(value));
    if (changed === '') throw new TypeError('Invalid URL');
    this.#parts = JSON.parse(changed) as Readonly<Record<Part, string>>;
  }

  get origin(): string { return this.#parts.origin; }
  get href(): string { return this.#parts.href; }
  set href(value: unknown) {
    const parsed = host.parseUrl(String(value), '');
    if (parsed === '') throw new TypeError('Invalid URL');
    this.#parts = JSON.parse(parsed) as Readonly<Record<Part, string>>;
    this.#params = undefined;
  }
  get protocol(): string { return this.#parts.protocol; }
  set protocol(value: unknown) { this.#change('protocol', value); }
  get username(): string { return this.#parts.username; }
  set username(value: unknown) { this.#change('username', value); }
  get password(): string { return this.#parts.password; }
  set password(value: unknown) { this.#change('password', value); }
  get host(): string { return this.#parts.host; }
  set host(value: unknown) { this.#change('host', value); }
  get hostname(): string { return this.#parts.hostname; }
  set hostname(value: unknown) { this.#change('hostname', value); }
  get port(): string { return this.#parts.port; }
  set port(value: unknown) { this.#change('port', value); }
  get pathname(): string { return this.#parts.pathname; }
  set pathname(value: unknown) { this.#change('pathname', value); }
  get hash(): string { return this.#parts.hash; }
  set hash(value: unknown) { this.#change('hash', value); }
  get search(): string { return this.#parts.search; }
  set search(value: unknown) {
    this.#change('search', value);
    this.#params = undefined;
  }

  get searchParams(): URLSearchParams {
    this.#params ??= paramsOf(this.#parts.search, (search) => { this.#change('search', search); });
    return this.#params;
  }

  toString(): string { return this.href; }
  toJSON(): string { return this.href; }
}
