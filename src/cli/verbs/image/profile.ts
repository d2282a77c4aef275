import type { ImageProfileView } from '../../../model/api.ts'
import { example, JSON_OPTION } from '../../option.ts'
import { ago, humanSize } from '../../output/human.ts'
import type { Session } from '../../session.ts'
import type { Register } from '../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('profile')
    .summary('show what boots read of an image')
    .description(
      'Shows which part of an image a boot reads, and what fetching that part ahead brings. The first boot with\n--rootfs lazy takes the profile; the next ones of the same image get it.',
    )
    .argument('<image>', 'reference or id')
    .option('--forget', 'drop the profile: the next boot takes a new one')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat image profile debian:13', 'bareboat image profile --forget debian:13'))
    .action(async (image: string, flags: { forget?: boolean; json?: boolean }) => {
      const { images } = session.client()
      if (flags.forget === true) return images.forgetProfile(image, { signal: session.signal })
      const view = await images.profile(image, { signal: session.signal })
      if (flags.json === true) return session.printJson(view)
      await session.printLines(lines(view, image, session))
    })

function lines({ deviceBytes, profile, boots }: ImageProfileView, image: string, session: Session): string[] {
  if (profile === undefined || deviceBytes === undefined)
    return [`No boot of "${image}" was taken down yet; the next one with --rootfs lazy is`]
  const percent = (profile.share * 100).toFixed(1)
  const cold = boots.find(({ isAhead }) => !isAhead)
  const ahead = boots.find(({ isAhead }) => isAhead)
  const boot = (words: string, row: NonNullable<typeof cold>): string =>
    `${words}${(row.bootMs / 1000).toFixed(1)} s from initrd to running, ${humanSize(row.bytesSent)} sent (${row.containerId.slice(0, 12)})`
  return [
    `Touched:       ${humanSize(profile.touchedBytes)} of ${humanSize(deviceBytes)}, ${percent} %, in ${profile.ranges} ranges`,
    `Taken:         ${ago(profile.recordedAt, session.io.now())}`,
    ...(cold === undefined ? [] : [boot('Without it:    ', cold)]),
    ...(ahead === undefined ? [] : [boot('Fetched ahead: ', ahead)]),
    ...(cold === undefined || ahead === undefined
      ? []
      : [`Effect:        ${(cold.bootMs / Math.max(1, ahead.bootMs)).toFixed(2)} times as fast`]),
  ]
}
