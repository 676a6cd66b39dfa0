import { ProtoflyError } from '../protocol/index.js';

/**
 * Guards the operations of a node, which need its link to the runtime. If they fail because it ends, and their promise is
 * ignored, the rejection doesn't end the program. Other ignored rejections do, as usual.
 */
export class UntilEnd {
  #isEnding = false;

  /** The node ends: whatever fails from now on fails because of that. */
  begin(): void {
    this.#isEnding = true;
  }

  /** Runs an operation. @throws what `run` throws */
  run<T>(run: () => Promise<T>): Promise<T> {
    const result: Promise<T> = run().catch((thrown: unknown) => {
      if (this.#isEnding || (thrown instanceof ProtoflyError && thrown.code === 'E_LINK_CLOSED')) result.catch(() => undefined);
      throw thrown;
    });
    return result;
  }
}
