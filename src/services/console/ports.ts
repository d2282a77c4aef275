/** What looks at a console, and what it is told. */

/** One thing that a viewer sees, in order. */
export type ConsoleEvent =
  | { readonly kind: 'output'; readonly bytes: Uint8Array }
  /** What is to be known of the console and is not its output: a gap, bytes that were dropped. */
  | { readonly kind: 'notice'; readonly text: string }
  /** Whether this viewer is the one that writes; `text` says why not, where it had wanted to. */
  | { readonly kind: 'writer'; readonly isWriter: boolean; readonly text: string }

export interface ViewOptions {
  /** Who looks, as others are told. Nothing follows from it. */
  readonly who: string
  /** Never writes. */
  readonly readOnly: boolean
  /** Takes the console from another session of the BMC, and the writing from another viewer. */
  readonly takeOver: boolean
}

export interface ConsoleView extends AsyncDisposable {
  /** Ends when the viewer's signal aborts. May be iterated once. */
  readonly events: AsyncIterable<ConsoleEvent>
  /** Types. What cannot be typed now, since another one writes or the BMC is away, is dropped; a notice says so. */
  write(bytes: Uint8Array): Promise<void>
  /** Sends a serial break, under the same conditions. */
  sendBreak(): Promise<void>
  /** Becomes the writer, whoever it was. */
  takeOver(): void
}
