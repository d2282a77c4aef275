/** Calls of the API about images and what is made of them: media, the store that they lie in, kits. */
import type { Readable } from 'node:stream'
import type {
  ImageDetails,
  ImageProfileView,
  ImageSummary,
  ImportedFile,
  Kit,
  PullRequest,
  TreeChangeView,
  TreeEntryView,
} from '../model/api.ts'
import type { ExportFormatName } from '../model/export.ts'
import type { Arch } from '../model/machine.ts'
import type { BootPair, MediaOptions } from '../model/media.ts'
import type { CheckReport, CheckRequest, PruneReport, PruneRequest, StoreUsage } from '../model/store.ts'
import { at, payload, pick, type Calls, type Download, type OnProgress, type Signalled, type Source } from './calls.ts'

/** A medium as it is asked for; the size in bytes. */
export type MediaRequest = Pick<MediaOptions, 'format'> & Partial<Omit<MediaOptions, 'format'>>

export function imageCalls({ ask, download, upload, follow }: Calls) {
  return {
    images: {
      list: async (options: Signalled = {}) =>
        (await ask<{ images: ImageSummary[] }>('GET', '/v1/images', options)).images,
      inspect: (ref: string, options: Signalled = {}) =>
        ask<ImageDetails>('GET', '/v1/images/inspect', { query: { ref }, ...options }),
      remove: (ref: string, { force = false, signal }: Signalled & { force?: boolean } = {}) =>
        ask<{ untagged: string[]; deleted: string[] }>('DELETE', '/v1/images', {
          query: { ref, force: force ? true : undefined },
          ...pick(signal),
        }),
      tag: (source: string, reference: string, options: Signalled = {}) =>
        ask<ImageSummary>('POST', '/v1/images/tag', { json: { source, target: reference }, ...options }),
      pull: (request: PullRequest, onProgress: OnProgress, options: Signalled = {}) =>
        follow<ImageSummary>('POST', '/v1/images/pull', { json: request, ...options }, onProgress),
      import: (source: Source, reference: string | undefined, onProgress: OnProgress, options: Signalled = {}) =>
        follow<ImageSummary>(
          'POST',
          '/v1/images/import',
          { query: { reference }, ...payload(source), ...options },
          onProgress,
        ),
      tree: async (ref: string, path: string | undefined, options: Signalled = {}) =>
        (await ask<{ entries: TreeEntryView[] }>('GET', '/v1/images/tree', { query: { ref, path }, ...options }))
          .entries,
      profile: (ref: string, options: Signalled = {}) =>
        ask<ImageProfileView>('GET', '/v1/images/profile', { query: { ref }, ...options }),
      forgetProfile: (ref: string, options: Signalled = {}) =>
        ask<void>('DELETE', '/v1/images/profile', { query: { ref }, ...options }),
      diff: async (a: string, b: string, options: Signalled = {}) =>
        (await ask<{ changes: TreeChangeView[] }>('GET', '/v1/images/diff', { query: { a, b }, ...options })).changes,
      export: (
        ref: string,
        format: ExportFormatName,
        { devices, signal }: Signalled & { devices?: boolean } = {},
      ): Promise<Download> => download('/v1/images/export', { ref, format, devices }, pick(signal)),
      packages: async (ref: string, { signal }: Signalled = {}): Promise<string> => {
        const { bytes } = await download('/v1/images/packages', { ref }, pick(signal))
        return Buffer.concat(await Array.fromAsync(bytes)).toString('utf8')
      },
    },

    media: {
      /** The medium that has a machine fetch everything else from the server. */
      loader: (request: MediaRequest, { signal }: Signalled = {}): Promise<Download> =>
        download('/v1/media/loader', request, pick(signal)),
      /** The medium that boots an image by itself. */
      image: (ref: string, request: MediaRequest, { signal }: Signalled = {}): Promise<Download> =>
        download('/v1/media/image', { ref, ...request }, pick(signal)),
      /** The medium that boots an imported kernel and initrd. */
      pair: (
        { kernelParams, ...names }: BootPair,
        request: MediaRequest,
        { signal }: Signalled = {},
      ): Promise<Download> =>
        download('/v1/media/pair', { ...names, kernelParams: kernelParams.join(' '), ...request }, pick(signal)),
      /** @param archive the files: a tar, or an ISO image */
      files: (archive: Readable, request: MediaRequest, { signal }: Signalled = {}): Promise<Download> =>
        upload('/v1/media/files', archive, request, pick(signal)),
    },

    store: {
      usage: (options: Signalled = {}) => ask<StoreUsage>('GET', '/v1/system/df', options),
      prune: (request: PruneRequest, options: Signalled = {}) =>
        ask<PruneReport>('POST', '/v1/system/prune', { json: request, ...options }),
      check: (request: CheckRequest, onProgress: OnProgress, options: Signalled = {}) =>
        follow<CheckReport>('POST', '/v1/system/check', { json: request, ...options }, onProgress),
    },

    kits: {
      list: (options: Signalled = {}) => ask<{ kits: Kit[]; imported: ImportedFile[] }>('GET', '/v1/kits', options),
      build: (
        request: { architecture?: Arch; flavour?: 'full' | 'cloud'; force?: boolean },
        onProgress: OnProgress,
        options: Signalled = {},
      ) => follow<Kit>('POST', '/v1/kits/build', { json: request, ...options }, onProgress),
      inspect: (digest: string, options: Signalled = {}) => ask<Kit>('GET', at('kits', digest), options),
      remove: (digest: string, options: Signalled = {}) => ask<void>('DELETE', at('kits', digest), options),
      importFile: (kind: 'kernel' | 'initrd', name: string, source: Source, options: Signalled = {}) =>
        ask<ImportedFile>('POST', `/v1/${kind}s`, { query: { name }, ...payload(source), ...options }),
      removeFile: (kind: 'kernel' | 'initrd', name: string, options: Signalled = {}) =>
        ask<void>('DELETE', at(`${kind}s`, name), options),
    },
  }
}
