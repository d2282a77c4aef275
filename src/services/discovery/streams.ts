/** Streams of results of many things that are done at once. */

/**
 * Does `work` for each item, at most `limit` at once, and yields results as they come, in no order. What `work` throws ends it all;
 * leaving the loop lets no more begin and waits for those that run.
 */
export async function* eachOf<T, R>(
  items: Iterable<T>,
  limit: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R, void, undefined> {
  const waiting = items[Symbol.iterator]()
  const running = new Map<number, Promise<readonly [id: number, result: R]>>()
  let count = 0
  const begin = (): boolean => {
    const { value, done } = waiting.next()
    if (done === true) return false
    const id = count++
    running.set(
      id,
      work(value).then((result) => [id, result] as const),
    )
    return true
  }
  try {
    while (running.size < limit && begin());
    while (running.size > 0) {
      const [id, result] = await Promise.race(running.values())
      running.delete(id)
      begin()
      yield result
    }
  } finally {
    await Promise.allSettled(running.values())
  }
}

/** Values of all sources as they come. What one throws ends all. */
export async function* merged<T>(...sources: AsyncIterable<T>[]): AsyncGenerator<T, void, undefined> {
  const iterators = sources.map((source) => source[Symbol.asyncIterator]())
  const next = new Map(iterators.map((iterator) => [iterator, step(iterator)]))
  try {
    while (next.size > 0) {
      const { iterator, result } = await Promise.race(next.values())
      // To the end of the queue: a source that always has a value does not silence the others.
      next.delete(iterator)
      if (result.done === true) continue
      next.set(iterator, step(iterator))
      yield result.value
    }
  } finally {
    await Promise.allSettled([...next.values(), ...iterators.map((iterator) => iterator.return?.())])
  }
}

async function step<T>(iterator: AsyncIterator<T>) {
  return { iterator, result: await iterator.next() }
}
