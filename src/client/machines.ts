/** Calls of the API about machines: what they are, how they are found and grouped, power, console, BMCs. */
import type { Readable } from 'node:stream'
import type { PowerAnswer, RebootAnswer } from '../model/api.ts'
import type {
  BmcFinding,
  BmcFru,
  BmcInfo,
  BmcReplay,
  BmcSel,
  BmcSensor,
  BmcSetupAnswer,
  BmcSetupRequest,
  BmcUser,
  IdentifyRequest,
  RecordRequest,
} from '../model/bmc.ts'
import type {
  CrawlRequest,
  CrawlResult,
  DiscoveredBmc,
  ImportAnswer,
  ImportRequest,
  ScanRequest,
} from '../model/discovery.ts'
import type { Inventory } from '../model/inventory.ts'
import type { Machine, MachineChange, MachineSpec, PowerAction, Wipe, WipeRequest } from '../model/machine.ts'
import type { AttachedMedium, AttachOptions, AttachRequest, MachineMedia } from '../model/media.ts'
import type { Group, GroupChange, GroupRequest, StaticReport } from '../model/nodes.ts'
import { at, pick, type Calls, type LogQuery, type Signalled } from './calls.ts'

export type MachineRequest = Omit<MachineChange, 'macs'> & Pick<MachineSpec, 'name' | 'macs'>
export type AttachQuestion = Partial<AttachRequest> & Pick<AttachRequest, 'source'>

export interface ConsoleOptions extends Signalled {
  /** What others are told of who looks. */
  readonly as?: string
  readonly readOnly?: boolean
  /** Takes the console from another session of the BMC, and the writing from another viewer. */
  readonly takeOver?: boolean
}

export function machineCalls({ ask, octets, channel, jsonLines, logChunks }: Calls) {
  return {
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
        setup: (machine: string, json: Partial<BmcSetupRequest>, options: Signalled = {}) =>
          ask<BmcSetupAnswer>('POST', at('machines', machine, 'bmc/setup'), { json, ...options }),
        check: async (machine: string, options: Signalled = {}) =>
          (await ask<{ findings: BmcFinding[] }>('GET', at('machines', machine, 'bmc/check'), options)).findings,
        record: async (machine: string, json: RecordRequest, options: Signalled = {}) =>
          (await ask<{ recording: string }>('POST', at('machines', machine, 'bmc/recordings'), { json, ...options }))
            .recording,
        replay: (recording: string, options: Signalled = {}) =>
          ask<BmcReplay>('POST', '/v1/bmc/replays', { json: { recording }, ...options }),
      },
      media: (machine: string, options: Signalled = {}) =>
        ask<MachineMedia>('GET', at('machines', machine, 'media'), options),
      attach: (machine: string, request: AttachQuestion, options: Signalled = {}) =>
        ask<AttachedMedium>('POST', at('machines', machine, 'media'), { json: request, ...options }),
      /** @param file as the machine is to see it */
      attachFile: (
        machine: string,
        file: Readable,
        query: Partial<AttachOptions> & { name: string },
        options: Signalled = {},
      ) =>
        ask<AttachedMedium>('POST', at('machines', machine, 'media/file'), {
          query,
          body: file,
          ...options,
        }),
      detach: async (machine: string, { drive, ...options }: Signalled & { drive?: string | undefined } = {}) =>
        (await ask<{ name: string }>('DELETE', at('machines', machine, 'media'), { query: { drive }, ...options }))
          .name,
      consoleLog: (machine: string, { follow: isFollowed, sinceMs, tail, signal }: LogQuery = {}) =>
        logChunks(at('machines', machine, 'console/log'), { follow: isFollowed, since: sinceMs, tail }, signal),
      shell: (machine: string, options: Signalled = {}) => channel(at('machines', machine, 'shell'), {}, options),
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
    },
  }
}
