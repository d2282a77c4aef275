/** Names for containers that nobody named. */
const MOODS =
  `able brisk calm deft eager fair gusty hardy idle jaunty keen lively merry nimble open proud quiet ready salty trim
  upwind vivid wary yare zesty bold crisp dry early fleet glad high`.split(/\s+/)
const CRAFT =
  `barque brig caravel catboat clipper cog cutter dhow dinghy dory felucca frigate galleon gig hooker junk ketch lugger
  packet pinnace pram punt schooner scow skiff sloop smack snow tender trawler wherry xebec yawl`.split(/\s+/)

/** @param random 0 (inclusive) to 1 (exclusive)  @param isTaken whether a container has the name */
export function makeName(random: () => number, isTaken: (name: string) => boolean): string {
  const pick = (words: readonly string[]): string => words[Math.trunc(random() * words.length)]!
  for (let tries = 0; tries < 20; tries++) {
    const name = `${pick(MOODS)}_${pick(CRAFT)}`
    if (!isTaken(name)) return name
  }
  return `${pick(MOODS)}_${pick(CRAFT)}_${Math.trunc(random() * 1e6)}`
}
