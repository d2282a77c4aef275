/** An imported kernel and initrd, as options. */
import { AppError } from '../../../base/errors.ts'
import type { BootPair } from '../../../model/media.ts'

export interface PairFlags {
  kernel?: string
  initrd?: string
  kernelParam: string[]
}

/** Undefined where none is named. @throws {AppError} invalid where half of it is missing */
export function pairOf({ kernel, initrd, kernelParam }: PairFlags): BootPair | undefined {
  if (kernel !== undefined && initrd !== undefined) return { kernel, initrd, kernelParams: kernelParam }
  if (kernel !== undefined || initrd !== undefined)
    throw new AppError('invalid', 'Cannot use --kernel or --initrd alone: a medium has both')
  if (kernelParam.length > 0) throw new AppError('invalid', 'Cannot use --kernel-param without --kernel and --initrd')
  return undefined
}
