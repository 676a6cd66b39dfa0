import { LruMap } from '../../kit/lru-map.js';
import { randomBytes } from 'node:crypto';
import { asProtoflyError, ProtoflyError, refuse, respond, runtimeOf, systemClock, type Address, type Clock, type Request, type Response } from '../../protocol/index.js';
import { IncomingFile, type SavedFile } from './incoming.js';
import { safeName } from './names.js';
import { checkRoom, findPart, type PartKey } from './part.js';
import { readFileMessage, type Chunk, type End, type Offer } from './wire.js';

export interface FileReceiverComponents {
  /** Sends an answer on its way. */
  readonly answer: (response: Response) => void;
  /** @default the system's */
  readonly clock?: Clock;
}

export interface FileReceiverInit {
  /** Where files go. It has to be there. */
  readonly folder: string;
  readonly onFile: (file: SavedFile) => void;
  /** Is told of a file that came to nothing here, in words. */
  readonly onFailure?: (from: Address, name: string, error: ProtoflyError) => void;
  /** How many files may be under way. An offer alone is none. @default 64 */
  readonly maxTransfers?: number;
  /** After how long without a chunk a transfer gives way to others, in milliseconds. @default 30_000 */
  readonly quietMs?: number;
}

interface Transfer {
  /**
   * `offered` until the first chunk, and again when the sender asks where to go on: another program may have answered
   * that, too, and been chosen.
   */
  state: 'offered' | 'receiving';
  file: IncomingFile;
  readonly key: string;
  /** What has been asked of it is done one after another. */
  turn: Promise<void>;
  heard: number;
}

/** How many transfers that are over are remembered, for what comes late or again. */
const MAX_PAST = 1000;
/** How many offers are remembered that no chunk has followed. */
const MAX_OFFERED = 1000;

/**
 * Takes the files that are sent to a program's hyperties and keeps them in one folder. Whatever comes, it costs at most
 * the file it belongs to. What belongs to transfers of another receiver isn't answered.
 *
 * Several receivers may get the same offer. Each answers, the sender chooses one, and the others aren't told: so an
 * offer takes no place, opens no file and reserves no name.
 */
export class FileReceiver {
  readonly #answer: FileReceiverComponents['answer'];
  readonly #clock: Clock;
  readonly #init: FileReceiverInit;
  readonly #transfers = new Map<string, Transfer>();
  /** What became of those that are over. */
  readonly #past = new LruMap<string, SavedFile | ProtoflyError>(MAX_PAST);
  #offers: Promise<void> = Promise.resolve();
  #closed = false;

  constructor({ answer, clock = systemClock }: FileReceiverComponents, init: FileReceiverInit) {
    this.#answer = answer;
    this.#clock = clock;
    this.#init = init;
  }

  /**
   * Takes one file message (`isFileMessage`) to the hyperty `to` and answers it.
   * @returns settles when the next may come; never rejects
   */
  async take(message: Request, to: Address): Promise<void> {
    if (this.#closed) return;
    try {
      const part = readFileMessage(message);
      if (part.kind === 'offer') await (this.#offers = this.#offers.then(() => this.#offer(part, message, to)));
      else if (part.kind === 'chunk') await this.#chunk(part, message, to);
      // The whole may have to be read: other messages don't wait for that.
      else void this.#end(part, message, to);
    } catch (thrown) {
      this.#refuse(message, thrown, to);
    }
  }

  /** What isn't complete stays for another attempt. Idempotent. */
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

  /** Tells how much there is by now: of a file that hasn't begun here, another program may have left a part. */
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
    // More than the whole can't be a beginning of it.
    const size = offer.size !== undefined && part.size > offer.size ? 0 : part.size;
    await checkRoom(folder, (offer.size ?? 0) - size);
    return new IncomingFile({ offer, key, part: { ...part, size }, folder, from, to });
  }

  #accept(message: Request, transfer: string, { file }: Transfer, to: Address): void {
    this.#answer(respond(message, 200, { value: { file: { transfer, offset: file.offset } } }, to));
  }

  /** An offer of the same file by another program of the same sender takes the place of an older one. */
  async #supersede(key: string): Promise<void> {
    for (const [token, { turn }] of [...this.#transfers].filter(([, transfer]) => transfer.key === key)) {
      await turn;
      await this.#over(token, new ProtoflyError('E_REFUSED', 'the same file is being sent again: that one goes on'));
    }
  }

  /** @throws ProtoflyError `E_TOO_MANY` */
  async #makeRoom(): Promise<void> {
    const { maxTransfers = 64, quietMs = 30_000 } = this.#init;
    for (;;) {
      const receiving = [...this.#transfers].filter(([, { state }]) => state === 'receiving');
      if (receiving.length < maxTransfers) return;
      const [quietest] = receiving.sort(([, a], [, b]) => a.heard - b.heard);
      if (quietest === undefined || this.#clock.now() - quietest[1].heard < quietMs) throw new ProtoflyError('E_TOO_MANY', `the receiver takes ${String(maxTransfers)} files at once`);
      await quietest[1].turn;
      await this.#over(quietest[0], new ProtoflyError('E_UNAVAILABLE', 'nothing came for a while'));
    }
  }

  /** The oldest go first: their senders have long chosen another receiver, or will ask again. */
  #forgetOffers(): void {
    const offered = [...this.#transfers].filter(([, { state }]) => state === 'offered');
    for (const [token] of offered.slice(0, Math.max(0, offered.length - MAX_OFFERED))) this.#transfers.delete(token);
  }

  /** The sender has chosen this receiver. @throws ProtoflyError `E_TOO_MANY` */
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

  /** One after another; a failure is told by `run` itself. */
  #inTurn(transfer: Transfer, run: () => Promise<void>): Promise<void> {
    transfer.turn = transfer.turn.then(run);
    return transfer.turn;
  }

  /** A transfer, for the sender who began it. */
  #mine(token: string, message: Request): Transfer | undefined {
    const transfer = this.#transfers.get(token);
    return transfer?.file.init.from === message.from ? transfer : undefined;
  }

  /** Answers what comes for a transfer that is over; what belongs to another receiver is left to that. */
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
