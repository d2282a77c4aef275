import type { Register } from '../verbs.ts'
import { register as build } from './media/build.ts'

export const register: Register = (program, session) => {
  const media = program.command('media').summary('make virtual media: bootable files that a BMC shows as a drive')
  build(media, session)
  return media
}
