const WINDOW = 32

/**
 * Which packets of a session were seen. A packet is taken once: if it is newer than all before, or at most 31 older and not seen.
 *
 * IPMI v2.0 §6.12.13 also drops packets that are more than 16 ahead; we do not, since a forged number would not pass the integrity
 * check and a BMC that sent 17 packets into a broken link would never be heard again.
 */
export class SequenceWindow {
  #highest = 0
  /** Bit n: `#highest - n` was seen. */
  #seen = 1

  /** True when the packet is to be used. Session sequence numbers count from 1; 0 is outside of any session. */
  take(sequence: number): boolean {
    if (sequence === 0) return false
    const ahead = sequence - this.#highest
    if (ahead > 0) {
      this.#seen = ahead >= WINDOW ? 1 : ((this.#seen << ahead) | 1) >>> 0
      this.#highest = sequence
      return true
    }
    const bit = -ahead >= WINDOW ? 0 : (1 << -ahead) >>> 0
    if (bit === 0 || (this.#seen & bit) !== 0) return false
    this.#seen = (this.#seen | bit) >>> 0
    return true
  }
}
