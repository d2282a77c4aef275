/** The API as functions: one per route, typed by the model. */
import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { AppError, ERROR_CODES, type ErrorCode } from '../base/errors.ts'
import type {
  CommitRequest,
  ConfigEntry,
  ImageDetails,
  ImageProfileView,
  ImageSummary,
  ImportedFile,
  Kit,
  LogChunk,
  PathStat,
  PowerAnswer,
  RebootAnswer,
  Progress,
  PullRequest,
  SystemInfo,
  TopAnswer,
  TreeChangeView,
  TreeEntryView,
  WaitAnswer,
} from '../model/api.ts'
import type { BmcFinding, BmcFru, BmcInfo, BmcSel, BmcSensor, BmcUser, IdentifyRequest } from '../model/bmc.ts'
import type {
  CrawlRequest,
  CrawlResult,
  DiscoveredBmc,
  ImportAnswer,
  ImportRequest,
  ScanRequest,
} from '../model/discovery.ts'
import type { ExportFormatName, RootFormatName } from '../model/export.ts'
import type { MediaOptions } from '../model/media.ts'
import type { Container, RunOptions } from '../model/container.ts'
import type { Event } from '../model/event.ts'
import type { Group, GroupChange, GroupRequest, StaticReport } from '../model/nodes.ts'
import type { CheckReport, CheckRequest, PruneReport, PruneRequest, StoreUsage } from '../model/store.ts'
import type { Inventory } from '../model/inventory.ts'
import type { Arch, Machine, MachineChange, MachineSpec, PowerAction, Wipe, WipeRequest } from '../model/machine.ts'
import type { Channel } from './channel.ts'
import type { Endpoint } from './endpoint.ts'
import { parseJson, readEvents, readNdjson } from './lines.ts'
import { lost, requestJson, requestStream, type Query, type RequestOptions } from './transport.ts'

/** Only the image is required; the server fills in the rest. */
export type RunRequest = Partial<RunOptions> & Pick<RunOptions, 'image'>
export type MachineRequest = Omit<MachineChange, 'macs'> & Pick<MachineSpec, 'name' | 'macs'>
/** What is imported: octets from here, or an address that the server fetches. */
/** A medium as it is asked for; the size in bytes. */
export type MediaRequest = Pick<MediaOptions, 'format'> & Partial<Omit<MediaOptions, 'format'>>
export type Source = { readonly body: Readable } | { readonly url: string }

export interface Signalled {
  readonly signal?: AbortSignal
}
export interface LogQuery extends Signalled {
  readonly follow?: boolean
  readonly sinceMs?: number
  readonly tail?: number
  readonly stdout?: boolean
  readonly stderr?: boolean
  readonly console?: boolean
}
export interface ConsoleOptions extends Signalled {
  /** What others are told of who looks. */
  readonly as?: string
  readonly readOnly?: boolean
  /** Takes the console from another session of the BMC, and the writing from another viewer. */
  readonly takeOver?: boolean
}
export interface EventQuery extends Signalled {
  readonly sinceMs?: number
  readonly untilMs?: number
  readonly containerId?: string
  readonly follow?: boolean
}
/** Octets on their way here; a transfer that breaks off throws. */
export interface Download {
  /** Undefined where the server does not know it beforehand. */
  readonly sizeBytes: number | undefined
  readonly bytes: AsyncIterable<Uint8Array>
}
/** Told of each step while something long runs. */
export type OnProgress = (progress: Progress) => void

export type Client = ReturnType<typeof createClient>

/**
 * A client of the server at `endpoint`. Every function throws an AppError with the server's code and message, or
 * `unreachable`; every function stops when its signal aborts. Nothing is held open between calls.
 */
export function createClient(endpoint: Endpoint) {
  const ask = <T>(method: string, path: string, options?: RequestOptions) =>
    requestJson<T>(endpoint, method, path, options)
  const stream = (path: string, options: RequestOptions) => requestStream(endpoint, 'GET', path, options)
  const arriving = (body: IncomingMessage, signal: AbortSignal | undefined): Download => {
    const length = body.headers['content-length']
    return {
      sizeBytes: length === undefined ? undefined : Number(length),
      bytes: watched(body as AsyncIterable<Uint8Array>, endpoint, body, signal),
    }
  }
  const download = async (path: string, query: Query, { signal }: Signalled): Promise<Download> =>
    arriving(await stream(path, { query, ...pick(signal) }), signal)
  /** What is made of what is sent. */
  const upload = async (path: string, body: Readable, query: Query, { signal }: Signalled): Promise<Download> =>
    arriving(await requestStream(endpoint, 'POST', path, { query, body, ...pick(signal) }), signal)
  const octets = async (path: string, query: Query, options: Signalled): Promise<AsyncIterable<Uint8Array>> =>
    (await download(path, query, options)).bytes
  const channel = async (path: string, query: Query, { signal }: Signalled): Promise<Channel> => {
    // ws is loaded by the few commands that need it.
    const { openChannel } = await import('./channel.ts')
    return openChannel(endpoint, path, { query, ...(signal ? { signal } : {}) })
  }
  async function* jsonLines<T>(path: string, json: unknown, { signal }: Signalled): AsyncGenerator<T, void, undefined> {
    const options = { json, accept: 'application/x-ndjson', ...pick(signal) }
    const body = await requestStream(endpoint, 'POST', path, options)
    for await (const line of watched(readNdjson(body), endpoint, body, signal)) yield line as T
  }
  const follow = <T>(method: string, path: string, options: RequestOptions, onProgress: OnProgress) =>
    followProgress<T>(endpoint, method, path, options, onProgress)

  return {
    endpoint,
    system: (options: Signalled = {}) => ask<SystemInfo>('GET', '/v1/system', options),
    config: async (options: Signalled = {}) =>
      (await ask<{ entries: ConfigEntry[] }>('GET', '/v1/config', options)).entries,

    async *events({
      sinceMs,
      untilMs,
      containerId,
      follow: isFollowed,
      signal,
    }: EventQuery = {}): AsyncGenerator<Event> {
      const query = { since: sinceMs, until: untilMs, container: containerId, follow: isFollowed }
      const body = await stream('/v1/events', { query, accept: 'text/event-stream', ...pick(signal) })
      for await (const { event, data } of watched(readEvents(body), endpoint, body, signal))
        if (event === 'event') yield parseJson(data, 'an event') as Event
    },

    machines: {
      list: async (options: Signalled = {}) =>
        (await ask<{ machines: Machine[] }>('GET', '/v1/machines', options)).machines,
      add: (spec: MachineRequest, options: Signalled = {}) =>
        ask<Machine>('POST', '/v1/machines', { json: spec, ...options }),
      inspect: (machine: string, options: Signalled = {}) => ask<Machine>('GET', at('machines', machine), options),
      set: (machine: string, change: MachineChange, options: Signalled = {}) =>
        ask<Machine>('PATCH', at('machines', machine), { json: change, ...options }),
      remove: (machine: string, options: Signalled = {}) => ask<void>('DELETE', at('machines', machine), options),
      accept: (machine: string, { name, ...options }: Signalled & { name?: string } = {}) =>
        ask<Machine>('POST', at('machines', machine, 'accept'), {
          json: name === undefined ? {} : { name },
          ...options,
        }),
      decide: (machine: string, decision: 'reject' | 'cordon' | 'uncordon', options: Signalled = {}) =>
        ask<Machine>('POST', at('machines', machine, decision), options),
      reboot: (machine: string, options: Signalled = {}) =>
        ask<RebootAnswer>('POST', at('machines', machine, 'reboot'), options),
      wipe: async (machine: string, request: WipeRequest, options: Signalled = {}) =>
        (await ask<{ wipes: Wipe[] }>('POST', at('machines', machine, 'wipes'), { json: request, ...options })).wipes,
      wipes: async (machine: string, options: Signalled = {}) =>
        (await ask<{ wipes: Wipe[] }>('GET', at('machines', machine, 'wipes'), options)).wipes,
      inventories: async (machine: string, options: Signalled = {}) =>
        (await ask<{ inventories: Inventory[] }>('GET', at('machines', machine, 'inventories'), options)).inventories,
      power: async (machine: string, options: Signalled = {}) =>
        (await ask<PowerAnswer>('GET', at('machines', machine, 'power'), options)).state,
      setPower: async (machine: string, action: PowerAction, options: Signalled = {}) =>
        (await ask<PowerAnswer>('POST', at('machines', machine, 'power'), { json: { action }, ...options })).state,
      bmc: {
        info: (machine: string, options: Signalled = {}) =>
          ask<BmcInfo>('GET', at('machines', machine, 'bmc'), options),
        sensors: async (machine: string, options: Signalled = {}) =>
          (await ask<{ sensors: BmcSensor[] }>('GET', at('machines', machine, 'bmc/sensors'), options)).sensors,
        fru: async (machine: string, options: Signalled = {}) =>
          (await ask<{ frus: BmcFru[] }>('GET', at('machines', machine, 'bmc/fru'), options)).frus,
        sel: (machine: string, options: Signalled = {}) =>
          ask<BmcSel>('GET', at('machines', machine, 'bmc/sel'), options),
        clearSel: (machine: string, options: Signalled = {}) =>
          ask<void>('DELETE', at('machines', machine, 'bmc/sel'), options),
        identify: (machine: string, json: IdentifyRequest, options: Signalled = {}) =>
          ask<void>('POST', at('machines', machine, 'bmc/identify'), { json, ...options }),
        users: async (machine: string, options: Signalled = {}) =>
          (await ask<{ users: BmcUser[] }>('GET', at('machines', machine, 'bmc/users'), options)).users,
        check: async (machine: string, options: Signalled = {}) =>
          (await ask<{ findings: BmcFinding[] }>('GET', at('machines', machine, 'bmc/check'), options)).findings,
      },
      consoleLog: (machine: string, { follow: isFollowed, sinceMs, tail, signal }: LogQuery = {}) =>
        chunks(endpoint, at('machines', machine, 'console/log'), { follow: isFollowed, since: sinceMs, tail }, signal),
      console: (machine: string, { signal, ...query }: ConsoleOptions = {}) =>
        channel(at('machines', machine, 'console'), query, pick(signal)),
    },

    groups: {
      list: async (options: Signalled = {}) => (await ask<{ groups: Group[] }>('GET', '/v1/groups', options)).groups,
      create: (request: GroupRequest, options: Signalled = {}) =>
        ask<Group>('POST', '/v1/groups', { json: request, ...options }),
      change: (group: string, change: GroupChange, options: Signalled = {}) =>
        ask<Group>('PATCH', at('groups', group), { json: change, ...options }),
      remove: (group: string, options: Signalled = {}) => ask<Group>('DELETE', at('groups', group), options),
    },

    discover: {
      static: (
        body: Readable,
        { source, overwrite, dryRun, signal }: Signalled & { source: string; overwrite: boolean; dryRun: boolean },
      ) =>
        ask<StaticReport>('POST', '/v1/discover/static', {
          query: { source, overwrite: overwrite ? true : undefined, dryRun: dryRun ? true : undefined },
          body,
          ...pick(signal),
        }),
      nodesFile: async (machines: readonly string[], format: 'yaml' | 'json', { signal }: Signalled = {}) =>
        octets('/v1/discover/static', { machine: machines, format }, pick(signal)),
    },

    discovery: {
      scan: (request: Partial<ScanRequest> & Pick<ScanRequest, 'subnets'>, options: Signalled = {}) =>
        jsonLines<DiscoveredBmc>('/v1/discovery/scan', request, options),
      crawl: (request: Partial<CrawlRequest> & Pick<CrawlRequest, 'user' | 'password'>, options: Signalled = {}) =>
        jsonLines<CrawlResult>('/v1/discovery/crawl', request, options),
      import: (request: Partial<ImportRequest>, options: Signalled = {}) =>
        ask<ImportAnswer>('POST', '/v1/discovery/import', { json: request, ...options }),
      list: async (options: Signalled = {}) =>
        (await ask<{ bmcs: DiscoveredBmc[] }>('GET', '/v1/discovery/bmcs', options)).bmcs,
      forget: (address: string, options: Signalled = {}) => ask<void>('DELETE', at('discovery/bmcs', address), options),
      inventory: (machine: string, options: Signalled = {}) =>
        ask<Inventory>('GET', at('machines', machine, 'inventory'), options),
    },

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

    containers: {
      list: async ({ all = false, filters = [], signal }: Signalled & { all?: boolean; filters?: string[] } = {}) =>
        (
          await ask<{ containers: Container[] }>('GET', '/v1/containers', {
            query: { all: all ? true : undefined, filter: filters },
            ...pick(signal),
          })
        ).containers,
      create: (request: RunRequest, options: Signalled = {}) =>
        ask<Container>('POST', '/v1/containers', { json: request, ...options }),
      inspect: (container: string, options: Signalled = {}) =>
        ask<Container>('GET', at('containers', container), options),
      remove: (container: string, { force = false, signal }: Signalled & { force?: boolean } = {}) =>
        ask<void>('DELETE', at('containers', container), {
          query: { force: force ? true : undefined },
          ...pick(signal),
        }),
      stop: (container: string, timeoutSeconds: number | undefined, options: Signalled = {}) =>
        ask<Container>('POST', at('containers', container, 'stop'), { json: { timeoutSeconds }, ...options }),
      kill: (container: string, signalName: string | undefined, options: Signalled = {}) =>
        ask<Container>('POST', at('containers', container, 'kill'), { json: { signal: signalName }, ...options }),
      restart: (container: string, timeoutSeconds: number | undefined, options: Signalled = {}) =>
        ask<Container>('POST', at('containers', container, 'restart'), { json: { timeoutSeconds }, ...options }),
      rename: (container: string, name: string, options: Signalled = {}) =>
        ask<Container>('POST', at('containers', container, 'rename'), { json: { name }, ...options }),
      wait: (container: string, options: Signalled = {}) =>
        ask<WaitAnswer>('GET', at('containers', container, 'wait'), options),
      logs: (
        container: string,
        { follow: isFollowed, sinceMs, tail, stdout, stderr, console, signal }: LogQuery = {},
      ) =>
        chunks(
          endpoint,
          at('containers', container, 'logs'),
          { follow: isFollowed, since: sinceMs, tail, stdout, stderr, console },
          signal,
        ),
      atimes: (container: string, options: Signalled = {}) =>
        octets(at('containers', container, 'atimes'), {}, options),
      top: (container: string, options: Signalled = {}) =>
        ask<TopAnswer>('GET', at('containers', container, 'top'), options),
      readArchive: (container: string, path: string, options: Signalled = {}) =>
        octets(at('containers', container, 'archive'), { path }, options),
      writeArchive: (container: string, path: string, body: Readable, options: Signalled = {}) =>
        ask<void>('PUT', at('containers', container, 'archive'), { query: { path }, body, ...options }),
      stat: (container: string, path: string, options: Signalled = {}) =>
        ask<PathStat>('GET', at('containers', container, 'archive/stat'), { query: { path }, ...options }),
      export: (container: string, format: RootFormatName, { signal }: Signalled = {}) =>
        download(at('containers', container, 'export'), { format }, pick(signal)),
      commit: (container: string, request: CommitRequest, onProgress: OnProgress, options: Signalled = {}) =>
        follow<ImageSummary>('POST', at('containers', container, 'commit'), { json: request, ...options }, onProgress),
      exec: (container: string, options: Signalled = {}) => channel(at('containers', container, 'exec'), {}, options),
      attach: (container: string, query: { stdin?: boolean; logs?: boolean }, options: Signalled = {}) =>
        channel(at('containers', container, 'attach'), query, options),
    },
  }
}

/** A route; `name` may be anything that a person typed. */
function at(collection: string, name: string, rest?: string): string {
  // encodeURIComponent leaves dots alone, and `..` would climb out of the route.
  if (/^\.*$/.test(name))
    throw new AppError('not_found', `Cannot find "${name}" in ${collection}: it is not a name or id`)
  return `/v1/${collection}/${encodeURIComponent(name)}${rest === undefined ? '' : `/${rest}`}`
}

function pick(signal: AbortSignal | undefined): Signalled {
  return signal ? { signal } : {}
}

function payload(source: Source): RequestOptions {
  return 'url' in source ? { json: { url: source.url } } : { body: source.body }
}

async function* chunks(
  endpoint: Endpoint,
  path: string,
  query: Query,
  signal: AbortSignal | undefined,
): AsyncGenerator<LogChunk, void, undefined> {
  const body = await requestStream(endpoint, 'GET', path, { query, accept: 'application/x-ndjson', ...pick(signal) })
  for await (const chunk of watched(readNdjson(body), endpoint, body, signal)) yield chunk as LogChunk
}

/** Passes values on; a broken connection becomes an AppError, and the body is let go however reading ends. */
async function* watched<T>(
  source: AsyncIterable<T>,
  endpoint: Endpoint,
  body: IncomingMessage,
  signal: AbortSignal | undefined,
): AsyncGenerator<T, void, undefined> {
  const values = source[Symbol.asyncIterator]()
  try {
    for (;;) {
      const next = await values.next().catch((cause: unknown) => {
        signal?.throwIfAborted()
        throw body.errored ? lost(cause, endpoint) : cause
      })
      if (next.done === true) return
      yield next.value
    }
  } finally {
    body.destroy()
  }
}

/** Follows a progress stream to its end: `done` is the result, `error` is thrown. */
async function followProgress<T>(
  endpoint: Endpoint,
  method: string,
  path: string,
  options: RequestOptions,
  onProgress: OnProgress,
): Promise<T> {
  const body = await requestStream(endpoint, method, path, { accept: 'text/event-stream', ...options })
  for await (const { event, data } of watched(readEvents(body), endpoint, body, options.signal)) {
    const value = parseJson(data, `event "${event}"`)
    if (event === 'progress') onProgress(value as Progress)
    else if (event === 'done') return value as T
    else if (event === 'error') throw streamError(value)
  }
  throw lost(undefined, endpoint)
}

function streamError(value: unknown): AppError {
  const error = (value as { error?: { code?: unknown; message?: unknown } } | null)?.error
  const code = typeof error?.code === 'string' && Object.hasOwn(ERROR_CODES, error.code) ? error.code : 'internal'
  return new AppError(
    code as ErrorCode,
    typeof error?.message === 'string' ? error.message : 'the server gave no reason',
  )
}
