import {
  isAddress, parseAddress, ProtoflyError, type Address, type Body,
} from './index.js';
import { makeObject, parsePath, type Change, type DataObject } from './data-object.js';

/**
 * The attributes that the sync manager adds to the reporter's own in a data object's messages.
 * @see docs/protocol.md, "P2P connection set-up"
 */
export interface Meta {
  readonly url: Address;
  readonly reporter: Address;
  readonly schema: string;
  /** ISO 8601 */
  readonly created: string;
  readonly lastModified: string;
  /** Number of changes; 0 for a new object. */
  readonly version: number;
}

const META: ReadonlySet<string> = new Set<keyof Meta>(['url', 'reporter', 'schema', 'created', 'lastModified', 'version']);

/** An object at some version. The version is undefined if a plain reTHINK reporter didn't send it. */
export interface Snapshot {
  readonly object: DataObject;
  readonly version: number | undefined;
}

const bad = (why: string): ProtoflyError => new ProtoflyError('E_MESSAGE', `malformed message: ${why}`);

const parseVersion = (version: unknown): number | undefined => {
  if (version === undefined || version === null) return undefined;
  if (!Number.isSafeInteger(version) || (version as number) < 0) throw bad('version is not a whole number');
  return version as number;
};

/** Reads an object from a message, without the sync manager's own attributes. @throws ProtoflyError `E_MESSAGE`, `E_TOO_LARGE` */
export const parseSnapshot = (value: unknown): Snapshot => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad('value is not an object');
  const given = Object.entries(value);
  return {
    object: makeObject(Object.fromEntries(given.filter(([key]) => !META.has(key)))),
    version: parseVersion((value as Record<string, unknown>)['version']),
  };
};

/**
 * Reads a change from a message's body. Doesn't check that the change fits; applying it does.
 * @throws ProtoflyError `E_MESSAGE`
 */
export const parseChange = (body: Body | undefined): { readonly change: Change; readonly version: number | undefined } => {
  const { attribute, value } = body ?? {};
  const { attributeType, operation } = (body ?? {}) as Partial<Change>;
  if (typeof attribute !== 'string') throw bad('attribute is not a path');
  return {
    change: {
      attribute,
      ...(attributeType === undefined || attributeType === null ? {} : { attributeType }),
      ...(operation === undefined || operation === null ? {} : { operation }),
      ...(value === undefined ? {} : { value }),
    },
    version: parseVersion(body?.['version']),
  };
};

/** Refuses a reporter's change of the sync manager's attributes. @throws ProtoflyError `E_MESSAGE` */
export const checkWritable = ({ attribute, value }: Change): void => {
  const [first] = parsePath(attribute);
  const touched = first === undefined && typeof value === 'object' && value !== null ? Object.keys(value) : [first ?? ''];
  const reserved = touched.find((name) => META.has(name));
  if (reserved !== undefined) throw new ProtoflyError('E_MESSAGE', `bad data: ${reserved} is set by the sync manager`);
};

/** Reads an address from a body field. @throws ProtoflyError `E_MESSAGE` */
export const addressIn = (body: Body | undefined, field: string): Address => {
  const given = body?.[field];
  if (!isAddress(given)) throw bad(`${field} is not an address`);
  return parseAddress(given);
};

const MAX_SCHEMA_LENGTH = 2048;
/** @throws ProtoflyError `E_MESSAGE` */
export const schemaIn = (body: Body | undefined): string => {
  const { schema } = body ?? {};
  if (typeof schema !== 'string' || schema === '' || schema.length > MAX_SCHEMA_LENGTH) throw bad('schema is not the address of a data schema');
  return schema;
};
