import { Client } from '../../src/client/client.js';
import type { Address, Body, RequestType } from '../../src/protocol/index.js';

/** Sends a request of the operator to a domain server's local socket. @returns the value of the response @throws ProtoflyError */
export const askAdmin = async (socket: string, domain: string, type: RequestType, body: Body): Promise<unknown> => {
  const { client } = await Client.connect(socket);
  try {
    return (await client.ask(`domain://msg-node.${domain}/admin` as Address, type, body)).body.value;
  } finally {
    await client.close();
  }
};
