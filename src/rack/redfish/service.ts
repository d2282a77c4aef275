/**
 * The Redfish service of one machine (DSP0266): power, boot override and virtual media of one ComputerSystem, behind sessions or
 * HTTP Basic. It is what a careful BMC does; those that misbehave are played elsewhere.
 */
import type { Now } from '../../base/clock.ts'
import { AppError, ERROR_CODES, explain } from '../../base/errors.ts'
import type { ChassisCommand, VirtualMachine } from '../machine.ts'
import { DRIVES } from '../medium.ts'
import { isSame, readBody, TooLong, type WebAnswer, type WebHandler, type WebRequest } from '../web.ts'
import { done, etagOf, names, Refusal, refused, shown } from './answers.ts'
import {
  BODY_MAX,
  parseBootChange,
  parseInsertion,
  parseLogin,
  parseNothing,
  parseReset,
  type ResetType,
} from './requests.ts'
import { collection, CONSOLE, drivePath, RESET, resources, ROOT, SESSIONS, SYSTEM, type Resource } from './resources.ts'
import { createSessions, session } from './sessions.ts'

export interface RedfishServiceOptions {
  readonly machine: VirtualMachine
  readonly user: string
  readonly password: string
  readonly now: Now
}

type Act = (request: WebRequest, body: Uint8Array) => Promise<WebAnswer>

export interface RedfishService {
  readonly answer: WebHandler
  /** Whether a request to open a WebSocket is for the console, and logged in: its status if not. */
  judgeConsole(request: Pick<WebRequest, 'path' | 'headers'>): 'open' | 401 | 404
}

export function createRedfishService({ machine, user, password, now }: RedfishServiceOptions): RedfishService {
  const sessions = createSessions(now)

  /** What may be done at a path beside reading it. */
  const actions: Readonly<Record<string, Readonly<Record<string, Act>>>> = {
    [SYSTEM]: {
      async PATCH(request, body) {
        const before = resources(machine).get(SYSTEM)!
        const match = request.headers['if-match']
        if (match !== undefined && !names(match, etagOf(before)))
          throw new Refusal(412, 'PreconditionFailed', 'The resource is another one than the ETag says.')
        await command(parseBootChange(body, machine.spec.firmware, machine))
        return shown(resources(machine).get(SYSTEM)!)
      },
    },
    [RESET]: {
      async POST(_request, body) {
        for (const one of commandsFor(parseReset(body), machine.isOn)) await command(one)
        return done()
      },
    },
    ...Object.fromEntries(
      DRIVES.flatMap((drive): [string, Record<string, Act>][] => [
        [
          `${drivePath(drive)}/Actions/VirtualMedia.InsertMedia`,
          {
            async POST(_request, body) {
              const medium = parseInsertion(body, drive)
              if (machine.media[drive] !== undefined)
                throw new Refusal(409, 'ResourceInUse', 'The drive has a medium already: eject it first.')
              await tried(() => machine.insert(drive, medium, 'redfish'))
              return done()
            },
          },
        ],
        [
          `${drivePath(drive)}/Actions/VirtualMedia.EjectMedia`,
          {
            async POST(_request, body) {
              parseNothing(body)
              await tried(() => machine.eject(drive, 'redfish'))
              return done()
            },
          },
        ],
      ]),
    ),
  }

  function command(one: ChassisCommand): Promise<void> {
    return tried(() => machine.command(one, 'redfish'))
  }

  function isLoggedIn({ headers }: Pick<WebRequest, 'headers'>): boolean {
    const token = headers['x-auth-token']
    if (typeof token === 'string') return sessions.isOpen(token)
    const basic = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
    return isSame(headers.authorization ?? '', basic)
  }

  function openSession(body: Uint8Array): WebAnswer {
    const login = parseLogin(body)
    // Both are looked at, so that the time says nothing about the name.
    const isUser = isSame(login.UserName, user)
    if (!isSame(login.Password, password) || !isUser)
      throw new Refusal(401, 'ResourceAtUriUnauthorized', 'The user name or the password is wrong.')
    const opened = sessions.open()
    if (opened === undefined) throw new Refusal(503, 'SessionLimitExceeded', 'All sessions are taken.')
    const headers = { location: `${SESSIONS}/${opened.id}`, 'x-auth-token': opened.token }
    return shown(session(opened.id, user), 201, headers)
  }

  function find(path: string): Resource | undefined {
    if (path === SESSIONS)
      return collection(
        SESSIONS,
        'Session',
        sessions.ids().map((id) => `${SESSIONS}/${id}`),
      )
    const id = path.startsWith(`${SESSIONS}/`) ? path.slice(SESSIONS.length + 1) : undefined
    if (id !== undefined) return sessions.ids().includes(id) ? session(id, user) : undefined
    return resources(machine).get(path)
  }

  async function answer(request: WebRequest): Promise<WebAnswer> {
    const { method } = request
    const path = request.path.replace(/\/$/, '')
    const isReading = method === 'GET' || method === 'HEAD'
    const body = isReading ? new Uint8Array() : await readBody(request.stream, BODY_MAX)
    if (path === '/redfish' && isReading) return shown({ v1: `${ROOT}/` })
    if (path === SESSIONS && method === 'POST') return openSession(body)
    if (!isLoggedIn(request) && !(path === ROOT && isReading))
      throw new Refusal(401, 'NoValidSession', 'There is no valid session established.', {
        'www-authenticate': 'Basic realm="Redfish"',
      })
    const option = [...request.query.keys()].find((name) => name.startsWith('$'))
    if (option !== undefined) throw new Refusal(501, 'QueryNotSupported', 'Querying is not supported.')

    const act = Object.hasOwn(actions, path) ? actions[path] : undefined
    if (act !== undefined && Object.hasOwn(act, method)) return await act[method]!(request, body)
    if (method === 'DELETE' && path.startsWith(`${SESSIONS}/`) && sessions.close(path.slice(SESSIONS.length + 1)))
      return done()
    const resource = find(path)
    if (resource === undefined && act === undefined)
      throw new Refusal(404, 'ResourceMissingAtURI', 'There is no resource at this URI.')
    if (resource === undefined || !isReading) {
      const allowed = [...(resource ? ['GET', 'HEAD'] : []), ...Object.keys(act ?? {})]
      throw new Refusal(405, 'ActionNotSupported', `${method.slice(0, 16)} is not supported here.`, {
        allow: allowed.join(', '),
      })
    }
    const known = request.headers['if-none-match']
    if (known !== undefined && names(known, etagOf(resource)))
      return { status: 304, headers: { etag: etagOf(resource), 'odata-version': '4.0' } }
    return shown(resource)
  }

  return {
    async answer(request) {
      try {
        return await answer(request)
      } catch (error) {
        if (error instanceof Refusal) return refused(error)
        if (error instanceof TooLong)
          return refused(new Refusal(413, 'PayloadTooLarge', `The request has more than ${BODY_MAX} bytes.`))
        throw error
      }
    },
    judgeConsole(request) {
      if (!isLoggedIn(request)) return 401
      return request.path === CONSOLE ? 'open' : 404
    },
  }
}

/** A machine that cannot do it says so in its own words. */
async function tried(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    const isAboutUrl = error.code === 'not_found' || error.code === 'unreachable' || error.code === 'bad_peer'
    if (isAboutUrl) throw new Refusal(400, 'CouldNotEstablishConnection', explain(error))
    throw new Refusal(ERROR_CODES[error.code].http, 'OperationFailed', explain(error))
  }
}

/**
 * What a reset type comes to, DSP2046 "ResetType".
 * @throws {Refusal} for a restart of a machine that is off
 */
export function commandsFor(type: ResetType, isOn: boolean): ChassisCommand[] {
  switch (type) {
    case 'On':
    case 'ForceOn':
      return ['power-on']
    case 'ForceOff':
      return ['power-off']
    case 'GracefulShutdown':
      return ['soft-off']
    case 'PushPowerButton':
      return [isOn ? 'soft-off' : 'power-on']
    case 'ForceRestart':
      if (isOn) return ['reset']
      throw new Refusal(409, 'OperationFailed', 'The system is off: switch it on.')
    case 'PowerCycle':
      if (isOn) return ['power-off', 'power-on']
      throw new Refusal(409, 'OperationFailed', 'The system is off: switch it on.')
    default:
      return type satisfies never
  }
}
