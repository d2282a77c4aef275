import type { Register } from '../verbs.ts'
import { register as diff } from './image/diff.ts'
import { register as exportImage } from './image/export.ts'
import { register as inspect } from './image/inspect.ts'
import { register as profile } from './image/profile.ts'
import { register as rm } from './image/rm.ts'
import { register as tag } from './image/tag.ts'
import { register as tree } from './image/tree.ts'
import { register as ls } from './images.ts'

export const register: Register = (program, session) => {
  const image = program.command('image').summary('work with images')
  ls(image, session).name('ls')
  for (const add of [inspect, rm, tree, diff, tag, exportImage, profile]) add(image, session)
  return image
}
