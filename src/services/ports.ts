/** What more than one service needs of the outside. A port that one service needs stands in that service's folder. */
import type { Event, NewEvent } from '../model/event.ts'

/** Seals and opens secrets; `context` binds a sealed secret to the row that it belongs to. */
export interface SecretBox {
  seal(secret: string, context: string): string
  /** @throws {AppError} internal when the key or the context is another one */
  open(sealed: string, context: string): string
}

/** The one place where events that people count arrive: stored already, told to whoever listens. */
export interface EventBus {
  /** Stores an event that belongs to no other change. */
  publish(event: NewEvent): Promise<Event>
  /** Tells listeners of events that a store has just committed. */
  committed(events: readonly Event[]): void
  /** Stored events in order of their id; times in milliseconds since the epoch. */
  history(range: { sinceMs?: number; untilMs?: number; afterId?: number; subjectId?: string }): Promise<Event[]>
  /** @returns a function that ends the listening */
  listen(listener: (event: Event) => void): () => void
}
