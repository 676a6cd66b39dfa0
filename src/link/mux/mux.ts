import { asProtoflyError, MAX_MESSAGE_BYTES, ProtoflyError, systemClock, type Message } from '../../protocol/index.js';
import { messageCodec } from '../codec.js';
import { Fifo } from '../../kit/fifo.js';
import { LINK_DEFAULTS, type Codec, type Link, type LinkEnd, type LinkInit } from '../link.js';
import { Channel, type ChannelHost, type ChannelInit } from './channel.js';
import { channelEnd, channelOf, closeFrame, creditFrame, isChannelName, isMessageFrame, openFrame, parseControl, type MuxFrame } from './frames.js';

/** Settings of the mux and of each channel. `highWater` and `maxBuffered` bound the send queue of one channel. */
export interface MuxInit extends Omit<LinkInit, 'name'> {
  /**
   * Receive window of one channel: sent by the other side and not taken here yet, in code units of JSON.
   * @default 1 MiB
   */
  readonly window?: number;
  /** Encodes and decodes messages. @default messageCodec */
  readonly codec?: Codec<Message>;
  /** Maximum number of open channels for each side. @default 1024 */
  readonly maxChannels?: number;
}

export type OnChannel = (name: string, link: Link<Message>) => void;

/**
 * Many links on one. Each channel has flow control of its own, so a channel that isn't read doesn't stop
 * another. Channels share the link below message by message.
 */
export class Mux {
  /** Resolves once, when the mux and all its channels have ended. */
  readonly closed: Promise<LinkEnd>;
  readonly #link: Link<string>;
  readonly #init: ChannelInit;
  readonly #maxChannels: number;
  readonly #channels = new Map<number, Channel>();
  readonly #parked = new Fifo<Channel>();
  readonly #isParked = new Set<Channel>();
  readonly #host: ChannelHost;
  #congestion: Promise<void> | undefined;
  /** The highest channel numbers used so far: opened here, and accepted from the other side. */
  #opened = 0;
  #accepted = 0;
  #openHere = 0;
  #openThere = 0;
  #onChannel: OnChannel | undefined;
  #end: LinkEnd | undefined;
  #closing: Promise<void> | undefined;

  /** @param link owned by the mux from now on; its `maxFrame` must hold a message plus 64 bytes */
  constructor(link: Link<string>, init: MuxInit = {}) {
    this.#link = link;
    this.#maxChannels = init.maxChannels ?? 1024;
    this.#init = {
      clock: init.clock ?? systemClock,
      codec: init.codec ?? messageCodec,
      window: init.window ?? 1024 * 1024,
      maxFrame: init.maxFrame ?? MAX_MESSAGE_BYTES,
      highWater: LINK_DEFAULTS.highWater,
      maxBuffered: init.maxBuffered ?? LINK_DEFAULTS.maxBuffered,
      lingerMs: init.lingerMs ?? LINK_DEFAULTS.lingerMs,
      onReject: init.onReject,
    };
    this.#host = this.#makeHost();
    this.closed = link.closed.then((end) => this.#linkEnded(end));
    link.receive((frame) => { this.#onFrame(frame); });
  }

  /** Number of open channels. */
  get size(): number {
    return this.#channels.size;
  }

  /**
   * Opens a channel. It can be used at once. If the other side refuses it, it ends with the reason.
   * @throws ProtoflyError `E_LINK_CLOSED`, `E_TOO_MANY`, `E_USAGE` for a name that is empty, too long or has
   *   control characters
   */
  open(name: string): Link<Message> {
    if (!isChannelName(name)) throw new ProtoflyError('E_USAGE', 'a channel\'s name is 1 to 2048 characters without control characters');
    if (this.#closing !== undefined || this.#end !== undefined) throw new ProtoflyError('E_LINK_CLOSED', `${this.#link.name} is closed${this.#end === undefined ? '' : `: ${this.#end.reason}`}`);
    if (this.#openHere >= this.#maxChannels) throw new ProtoflyError('E_TOO_MANY', `${String(this.#maxChannels)} channels are open already`);
    const key = this.#opened + 1;
    this.#write(openFrame(key, this.#init.window, name));
    this.#opened = key;
    return this.#add(key, name, 0);
  }

  /**
   * Sets the handler for channels that the other side opens. Without a handler they are refused. A channel is
   * also refused if the handler throws.
   */
  onChannel(handler: OnChannel): void {
    this.#onChannel = handler;
  }

  /** Closes every channel, then the link. Idempotent. */
  close(reason = 'closed here'): Promise<void> {
    this.#closing ??= Promise.all([...this.#channels.values()].map((channel) => channel.close(reason)))
      .then(() => this.#link.close(reason))
      .then(() => this.closed)
      .then(() => undefined);
    return this.#closing;
  }

  #makeHost(): ChannelHost {
    const congestion = (): Promise<void> | undefined => this.#congestion;
    return {
      get congestion() { return congestion(); },
      write: (frame) => { this.#write(frame); },
      park: (channel) => { this.#park(channel); },
      forget: (channel) => { this.#forget(channel); },
    };
  }

  #add(key: number, name: string, credit: number): Channel {
    const channel = new Channel({ host: this.#host, key, name, credit }, this.#init);
    this.#channels.set(key, channel);
    if (key > 0) this.#openHere += 1;
    else this.#openThere += 1;
    return channel;
  }

  #forget(channel: Channel): void {
    if (!this.#channels.delete(channel.key)) return;
    if (channel.key > 0) this.#openHere -= 1;
    else this.#openThere -= 1;
  }

  #write(frame: string): void {
    const backpressure = this.#link.send(frame);
    if (backpressure === undefined || this.#congestion !== undefined) return;
    this.#congestion = backpressure;
    void backpressure.then(() => {
      this.#congestion = undefined;
      this.#drain();
    });
  }

  #park(channel: Channel): void {
    if (!this.#isParked.has(channel)) {
      this.#isParked.add(channel);
      this.#parked.push(channel);
    }
    if (this.#congestion === undefined) this.#drain();
  }

  /** Writes one message of each parked channel in turn, until the link below exerts backpressure. */
  #drain(): void {
    while (this.#congestion === undefined) {
      const channel = this.#parked.shift();
      if (channel === undefined) return;
      this.#isParked.delete(channel);
      if (!channel.flushOne()) continue;
      this.#isParked.add(channel);
      this.#parked.push(channel);
    }
  }

  #onFrame(frame: string): void {
    try {
      if (!isMessageFrame(frame)) {
        this.#onControl(parseControl(frame));
        return;
      }
      const end = channelEnd(frame);
      const channel = this.#find(channelOf(frame, end));
      if (channel !== undefined) channel.onMessage(frame.slice(end + 1));
    } catch (thrown) {
      this.#fail(asProtoflyError(thrown));
    }
  }

  #onControl(frame: MuxFrame): void {
    if (frame.kind === 'open') {
      this.#accept(frame);
      return;
    }
    const channel = this.#find(frame.channel);
    if (channel === undefined) return;
    if (frame.kind === 'close') channel.onClose(frame.reason);
    else channel.onCredit(frame.amount);
  }

  /**
   * Finds the channel that the other side's number refers to. Returns undefined for a channel that has ended:
   * frames in flight may still refer to it.
   * @throws ProtoflyError `E_MESSAGE` for a number that was never used
   */
  #find(number: number): Channel | undefined {
    const channel = this.#channels.get(-number);
    if (channel === undefined && (number < 0 ? -number > this.#opened : number > this.#accepted)) {
      throw new ProtoflyError('E_MESSAGE', `channel ${String(number)} was never opened`);
    }
    return channel;
  }

  #accept({ channel: number, name, window }: MuxFrame & { kind: 'open' }): void {
    if (number !== this.#accepted + 1) throw new ProtoflyError('E_MESSAGE', `channel ${String(number)} isn't the next`);
    this.#accepted = number;
    const key = -number;
    if (this.#closing !== undefined) this.#write(closeFrame(key, 'refused: about to close'));
    else if (this.#onChannel === undefined) this.#write(closeFrame(key, 'refused: no channels are taken here'));
    else if (this.#openThere >= this.#maxChannels) this.#write(closeFrame(key, `refused: ${String(this.#maxChannels)} channels are open already`));
    else {
      this.#write(creditFrame(key, this.#init.window));
      const channel = this.#add(key, name, window);
      const handler = this.#onChannel;
      try {
        handler(name, channel);
      } catch (thrown) {
        channel.fail(`refused: ${asProtoflyError(thrown).message}`);
      }
    }
  }

  /** Ends everything, after the other side broke the framing or the link below broke. */
  #fail(error: ProtoflyError): void {
    this.#endAll({ how: 'gone', reason: error.message });
    void this.#link.close(error.message);
  }

  #linkEnded(end: LinkEnd): LinkEnd {
    this.#endAll(end);
    return this.#end ?? end;
  }

  #endAll(end: LinkEnd): void {
    this.#end ??= end;
    for (const channel of this.#channels.values()) channel.onLinkEnd(this.#end);
  }
}
