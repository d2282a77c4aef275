import type { Register } from '../verbs.ts'
import { register as attach } from './media/attach.ts'
import { register as build } from './media/build.ts'
import { register as detach } from './media/detach.ts'
import { register as ls } from './media/ls.ts'

export const register: Register = (program, session) => {
  const media = program
    .command('media')
    .summary('virtual media: bootable files that a BMC shows to its machine as a drive')
  build(media, session)
  attach(media, session)
  detach(media, session)
  ls(media, session)
  return media
}
