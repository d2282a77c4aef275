/**
 * One byte range of a Range header (RFC 9110 §14.1.2, §14.2). Several ranges in one header are answered with the whole file,
 * which the RFC allows.
 * @returns undefined for the whole file; `to` is exclusive
 */
export function parseRange(
  header: string | undefined,
  sizeBytes: number,
): { from: number; to: number } | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '')
  if (!match) return undefined
  const [, first = '', last = ''] = match
  if (first === '' && last === '') return undefined
  if (first === '') {
    const from = Math.max(0, sizeBytes - Number(last))
    return from < sizeBytes ? { from, to: sizeBytes } : 'unsatisfiable'
  }
  const from = Number(first)
  if (from >= sizeBytes) return 'unsatisfiable'
  if (last === '') return { from, to: sizeBytes }
  return Number(last) < from ? undefined : { from, to: Math.min(Number(last) + 1, sizeBytes) }
}
