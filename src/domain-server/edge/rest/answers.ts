import type { ServerResponse } from 'node:http';
import type { ProtoflyError } from '../../../protocol/index.js';

/** Headers of every answer. The server has set those for pages of allowed origins already (`../web-access.ts`). */
export const HEADERS = {
  'access-control-expose-headers': 'protofly-cursor',
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
} as const;

/** Answers with JSON text. Does nothing if an answer has begun already. */
export const writeJson = (response: ServerResponse, status: number, text: string, headers: Record<string, string> = {}): void => {
  if (response.headersSent || response.destroyed) return;
  const bytes = Buffer.from(text);
  response.writeHead(status, { ...HEADERS, 'content-type': 'application/json; charset=utf-8', 'content-length': bytes.length, ...headers });
  response.end(bytes);
};

export const writeRefusal = (response: ServerResponse, error: ProtoflyError, headers: Record<string, string> = {}): void => {
  const challenge: Record<string, string> = error.status === 401 ? { 'www-authenticate': 'Bearer' } : {};
  writeJson(response, error.status, JSON.stringify({ error: error.code, description: error.message }), { ...challenge, ...headers });
};
