import { LruMap } from '../../kit/lru-map.js';
import { randomBytes } from 'node:crypto';
import { asProtoflyError, ProtoflyError, refuse, respond, runtimeOf, systemClock, type Address, type Clock, type Request, type Response } from '../../protocol/index.js';
import { IncomingFile, type SavedFile } from './incoming.js';
import { safeName } from './names.js';
import { checkRoom, findPart, type PartKey } from './part.js';
import { readFileMessage, type Chunk, type End, type Offer } from './wire.js';

export interface FileReceiverComponents {
  /** Sends a response. */
  readonly answer: (response: Response) => void;
  /** @default the system clock */
  readonly clock?: Clock;
}

export interface FileReceiverInit {
  /** The folder for received files. It must exist. */
  readonly folder: string;
  readonly onFile: (file: SavedFile) => void;
  /** Called when a transfer has failed at this receiver. */
  readonly onFailure?: (from: Address, name: string, error: ProtoflyError) => void;
  /** The maximum number of transfers in progress. An offer alone doesn't count. @default 64 */
  readonly maxTransfers?: number;
}

interface Transfer {
  /**
   * `offered` until the first chunk, and again when the sender asks where to continue. Another program may have
   * answered that request, too, and been chosen.
   */
  state: 'offered' | 'receiving';
  file: IncomingFile;
  readonly key: string;
  /** Settles when the last queued operation on this transfer is done. */
  turn: Promise<void>;
  heard: number;
}

/** Time without a chunk after which a transfer may be ended in favour of others, in milliseconds. */
const QUIET_MS = 30_000;
/** The maximum number of finished transfers remembered, to answer late or repeated messages. */
const MAX_PAST = 1000;
/** The maximum number of remembered offers without a chunk. */
const MAX_OFFERED = 1000;

/**
 * Receives the files sent to a program's hyperties and saves them in one folder. An invalid message fails at most its
 * own transfer. Messages for transfers of another receiver are not answered.
 *
 * Several receivers may get the same offer. Each answers, and the sender chooses one without telling the others. So
 * an offer counts towards no limit of transfers, opens no file and reserves no name.
 */
export class FileReceiver {
  readonly #answer: FileReceiverComponents['answer'];
  readonly #clock: Clock;
  readonly #init: FileReceiverInit;
  readonly #transfers = new Map<string, Transfer>();
  /** Outcomes of ended transfers. */
  readonly #past = new LruMap<string, SavedFile | ProtoflyError>(MAX_PAST);
  #offers: Promise<void> = Promise.resolve();
  #closed = false;

  constructor({ answer, clock = systemClock }: FileReceiverComponents, init: FileReceiverInit) {
    this.#answer = answer;
    this.#clock = clock;
    this.#init = init;
  }

  /**
   * Handles one file message (`isFileMessage`) to the hyperty `to` and answers it.
   * @returns settles when the next message may be handled; never rejects
   */
  async take(message: Request, to: Address): Promise<void> {
    if (this.#closed) return;
    try {
      const part = readFileMessage(message);
      if (part.kind === 'offer') await (this.#offers = this.#offers.then(() => this.#offer(part, message, to)));
      else if (part.kind === 'chunk') await this.#chunk(part, message, to);
      // The check may read the whole file. Other messages don't wait for it.
      else void this.#end(part, message, to);
    } catch (thrown) {
      this.#refuse(message, thrown, to);
    }
  }

  /** Closes all transfers. Incomplete files stay on disk for another attempt. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#offers;
    const open = [...this.#transfers.values()];
    this.#transfers.clear();
    await Promise.all(open.map(({ file, turn }) => turn.then(() => file.close())));
  }

  async #offer(offer: Offer, message: Request, to: Address): Promise<void> {
    try {
      const key: PartKey = { id: offer.id, owner: runtimeOf(message.from) ?? message.from, to };
      const text = JSON.stringify(key);
      const known = [...this.#transfers].find(([, { file, key: other }]) => other === text && file.init.from === message.from);
      if (known !== undefined) { await this.#offeredAgain(known, offer, message, to); return; }
      await this.#supersede(text);
      await this.#makeRoom();
      const transfer: Transfer = { state: 'offered', file: await this.#fileOf(offer, key, message.from, to), key: text, turn: Promise.resolve(), heard: this.#clock.now() };
      const token = randomBytes(9).toString('base64url');
      this.#transfers.set(token, transfer);
      this.#forgetOffers();
      this.#accept(message, token, transfer, to);
    } catch (thrown) {
      this.#refuse(message, thrown, to);
      this.#init.onFailure?.(message.from, safeName(offer.name), asProtoflyError(thrown));
    }
  }

  /**
   * Answers a repeated offer with the current offset. If nothing was received here, looks for a part left by another
   * program.
   */
  #offeredAgain([token, transfer]: readonly [string, Transfer], offer: Offer, message: Request, to: Address): Promise<void> {
    return this.#inTurn(transfer, async () => {
      try {
        transfer.state = 'offered';
        await transfer.file.close();
        if (transfer.file.offset === 0) transfer.file = await this.#fileOf(offer, transfer.file.init.key, message.from, to);
        this.#accept(message, token, transfer, to);
      } catch (thrown) {
        await this.#fail(token, transfer, message, thrown, to);
      }
    });
  }

  async #fileOf(offer: Offer, key: PartKey, from: Address, to: Address): Promise<IncomingFile> {
    const { folder } = this.#init;
    const part = await findPart(folder, safeName(offer.name), key);
    // A part longer than the file can't be its beginning.
    const size = offer.size !== undefined && part.size > offer.size ? 0 : part.size;
    await checkRoom(folder, (offer.size ?? 0) - size);
    return new IncomingFile({ offer, key, part: { ...part, size }, folder, from, to });
  }

  #accept(message: Request, transfer: string, { file }: Transfer, to: Address): void {
    this.#answer(respond(message, 200, { value: { file: { transfer, offset: file.offset } } }, to));
  }

  /** Ends an older transfer of the same file from the same sender. */
  async #supersede(key: string): Promise<void> {
    for (const [token, { turn }] of [...this.#transfers].filter(([, transfer]) => transfer.key === key)) {
      await turn;
      await this.#over(token, new ProtoflyError('E_REFUSED', 'the same file is being sent again: that one goes on'));
    }
  }

  /** Ends the quietest transfer if there are too many. @throws ProtoflyError `E_TOO_MANY` if none is quiet */
  async #makeRoom(): Promise<void> {
    const { maxTransfers = 64 } = this.#init;
    for (;;) {
      const receiving = [...this.#transfers].filter(([, { state }]) => state === 'receiving');
      if (receiving.length < maxTransfers) return;
      const [quietest] = receiving.sort(([, a], [, b]) => a.heard - b.heard);
      if (quietest === undefined || this.#clock.now() - quietest[1].heard < QUIET_MS) throw new ProtoflyError('E_TOO_MANY', `the receiver takes ${String(maxTransfers)} files at once`);
      await quietest[1].turn;
      await this.#over(quietest[0], new ProtoflyError('E_UNAVAILABLE', 'the sender was silent for too long'));
    }
  }

  /** Forgets the oldest offers. Their senders have chosen another receiver, or will ask again. */
  #forgetOffers(): void {
    const offered = [...this.#transfers].filter(([, { state }]) => state === 'offered');
    for (const [token] of offered.slice(0, Math.max(0, offered.length - MAX_OFFERED))) this.#transfers.delete(token);
  }

  /**
   * Starts the transfer: its first chunk shows that the sender has chosen this receiver.
   * @throws ProtoflyError `E_TOO_MANY`
   */
  async #begin(transfer: Transfer): Promise<void> {
    if (transfer.state === 'receiving') return;
    await this.#makeRoom();
    transfer.state = 'receiving';
  }

  async #chunk(chunk: Chunk, message: Request, to: Address): Promise<void> {
    const transfer = this.#mine(chunk.transfer, message);
    if (transfer === undefined) { this.#late(chunk.transfer, message, to); return; }
    transfer.heard = this.#clock.now();
    await this.#inTurn(transfer, async () => {
      if (this.#transfers.get(chunk.transfer) !== transfer) { this.#late(chunk.transfer, message, to); return; }
      try {
        await this.#begin(transfer);
        for (const written of await transfer.file.take(chunk, message)) this.#answer(respond(written, 200, { value: { file: { offset: transfer.file.offset } } }, to));
      } catch (thrown) {
        await this.#fail(chunk.transfer, transfer, message, thrown, to);
      }
    });
  }

  async #end(end: End, message: Request, to: Address): Promise<void> {
    const transfer = this.#mine(end.transfer, message);
    if (transfer === undefined) { this.#late(end.transfer, message, to); return; }
    transfer.heard = this.#clock.now();
    await this.#inTurn(transfer, async () => {
      if (this.#transfers.get(end.transfer) !== transfer) { this.#late(end.transfer, message, to); return; }
      try {
        await this.#begin(transfer);
        const saved = await transfer.file.finish(end);
        await this.#over(end.transfer, saved);
        this.#answer(respond(message, 200, { value: { file: { size: saved.size, sha256: saved.sha256 } } }, to));
        this.#init.onFile(saved);
      } catch (thrown) {
        await this.#fail(end.transfer, transfer, message, thrown, to);
      }
    });
  }

  /** Queues an operation on a transfer. `run` reports its own failure. */
  #inTurn(transfer: Transfer, run: () => Promise<void>): Promise<void> {
    transfer.turn = transfer.turn.then(run);
    return transfer.turn;
  }

  /** Returns a transfer if the message is from its sender. */
  #mine(token: string, message: Request): Transfer | undefined {
    const transfer = this.#transfers.get(token);
    return transfer?.file.init.from === message.from ? transfer : undefined;
  }

  /** Answers a message for a finished transfer. Ignores messages for other receivers. */
  #late(token: string, message: Request, to: Address): void {
    const outcome = this.#past.get(token);
    if (outcome instanceof ProtoflyError) this.#refuse(message, outcome, to);
    else if (outcome !== undefined) this.#answer(respond(message, 200, { value: { file: { size: outcome.size, sha256: outcome.sha256 } } }, to));
  }

  async #fail(token: string, transfer: Transfer, message: Request, thrown: unknown, to: Address): Promise<void> {
    const error = asProtoflyError(thrown);
    await this.#over(token, error);
    this.#refuse(message, error, to);
    this.#init.onFailure?.(message.from, transfer.file.init.part.name, error);
  }

  async #over(token: string, outcome: SavedFile | ProtoflyError): Promise<void> {
    const transfer = this.#transfers.get(token);
    this.#transfers.delete(token);
    this.#past.set(token, outcome);
    await transfer?.file.close().catch((thrown: unknown) => { this.#init.onFailure?.(transfer.file.init.from, transfer.file.init.part.name, asProtoflyError(thrown)); });
  }

  #refuse(message: Request, thrown: unknown, to: Address): void {
    this.#answer(refuse(message, asProtoflyError(thrown), to));
  }
}
