/**
 * A Redfish BMC of our own. It serves a tree, recorded or a small one, keeps sessions, power, the boot override and tasks, and goes
 * wrong as real ones do: structural habits are options, and what may happen to one request is a mischief.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { randomUUID } from 'node:crypto'
import { createMediaSim, type MediaSimOptions } from './redfish-media.ts'

/** What happens to one request. Those that begin with `acts` are done before they go wrong. */
export type Mischief =
  | 'busy' // 503, Retry-After: 0
  | 'server-error' // 500
  | 'in-post' // 400, UnableToModifyDuringSystemPOST
  | 'conflict' // 409, ResourceInUse
  | 'dropped' // the connection is closed, nothing was done
  | 'acts-and-drops' // done, and the connection is closed
  | 'acts-and-500' // done, and 500
  | 'ignored' // success, and nothing was done
  | 'forgotten' // all sessions are forgotten first
  | 'truncated' // a body that ends in the middle, with the right length
  | 'cut' // a body that ends in the middle, with the wrong length
  | 'huge' // a body without end
  | 'elsewhere' // a redirect to another host
  | 'stale' // 412
  | 'other-system' // the resource of another system
  | 'silent' // no answer at all

export interface RedfishSimOptions {
  readonly user?: string
  readonly password?: string
  readonly tls?: { readonly key: string; readonly cert: string }
  /** From path to resource. Default: one system "1". */
  readonly tree?: Readonly<Record<string, unknown>>
  /** Last parts of the paths of the systems in the default tree. */
  readonly systems?: readonly string[]
  readonly isOn?: boolean
  readonly mischief?: (question: { method: string; path: string; count: number }) => Mischief | undefined
  /** How long power takes to change, milliseconds. Meanwhile PoweringOn or PoweringOff is shown, unless `hidesTransitions`. */
  readonly powerDelayMs?: number
  readonly hidesTransitions?: boolean
  readonly ignoresPower?: boolean
  /** Reset types that are taken and have no effect. */
  readonly ignoresTypes?: readonly string[]
  /** Ignores the request to shut down, as an operating system without ACPI does. */
  readonly ignoresSoftOff?: boolean
  readonly resetTypes?: readonly string[] | undefined
  readonly usesActionInfo?: boolean
  /** Sessions that may be open at once; 0 has none to spare. */
  readonly maxSessions?: number
  readonly hasNoSessions?: boolean
  /** Where sessions are, if not where most services have them. */
  readonly sessionsPath?: string
  /** Locations begin with this host, by which nobody else knows it. */
  readonly ownName?: string
  readonly refusesBasic?: boolean
  /** PATCH needs If-Match (428). */
  readonly wantsIfMatch?: boolean
  /** Gives weak ETags and compares them with strong ones. */
  readonly comparesStrongly?: boolean
  /** Refuses every If-Match. */
  readonly refusesIfMatch?: boolean
  readonly boot?: Readonly<Record<string, unknown>> | undefined
  readonly bootPatch?:
    | 'keeps'
    | 'ignores'
    | 'mode-is-fixed'
    | 'in-settings'
    | 'target-first'
    | 'forgets-once'
    | 'wants-mode'
  /** How a reset is answered; default 204. */
  readonly resetAnswer?: 200 | 202 | 204
  /** SerialConsole of the first system, and properties of its manager. */
  readonly serialConsole?: unknown
  readonly manager?: Readonly<Record<string, unknown>>
  /** Ports on loopback that what asks for a WebSocket is handed to, by path, once it has shown who it is. */
  readonly webSockets?: Readonly<Record<string, number>>
  /** How the task of a 202 ends. */
  readonly taskEnds?: 'Completed' | 'Exception' | 'never' | 'vanishes'
  /** Virtual drives of the default tree; default: none. */
  readonly media?: MediaSimOptions
}

export interface RedfishSim extends AsyncDisposable {
  readonly port: number
  readonly origin: string
  /** Effects on power, in order: `on`, `off`. */
  readonly trace: string[]
  /** Reset types as they were taken. */
  readonly resets: string[]
  /** `METHOD path` of every request. */
  readonly requests: string[]
  isOn: boolean
  /** PowerState as it is shown. */
  readonly powerState: string
  /** The boot override of the first system. */
  readonly boot: Record<string, unknown>
  readonly sessions: number
  readonly media: ReturnType<typeof createMediaSim>
  forgetSessions(): void
  /** Changes the tree behind the client's back: its ETags are old. */
  touch(): void
}

const SESSIONS_PATH = '/redfish/v1/SessionService/Sessions'

type Json = Record<string, any>

export async function startRedfishSim(options: RedfishSimOptions = {}): Promise<RedfishSim> {
  const user = options.user ?? 'admin'
  const password = options.password ?? 'secret'
  const tree = new Map(Object.entries(structuredClone(options.tree ?? smallTree(options))))
  const systemPaths = [...tree.keys()].filter((path) => /^\/redfish\/v1\/Systems\/[^/]+$/.test(path))
  const tokens = new Map<string, string>()
  const trace: string[] = []
  const resets: string[] = []
  const requests: string[] = []
  const tasks = new Map<string, number>()
  const media = createMediaSim(tree, options.media ?? { at: 'nobody' })
  let version = 1
  const first = tree.get(systemPaths[0]!) as Json
  let isOn = options.isOn ?? false
  let changes: NodeJS.Timeout | undefined
  show(isOn ? 'On' : 'Off')

  const listener = (request: IncomingMessage, response: ServerResponse) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => answer(request, response, Buffer.concat(parts).toString()))
  }
  const server = options.tls ? createTlsServer(options.tls, listener) : createServer(listener)
  server.on('upgrade', (request: IncomingMessage, client: Socket, head: Buffer) => {
    const to = options.webSockets?.[request.url!]
    const isLoggedIn = mayAsk(request)
    requests.push(`UPGRADE ${request.url}${isLoggedIn ? '' : ' refused'}`)
    if (to === undefined || !isLoggedIn)
      return void client.end(
        `HTTP/1.1 ${isLoggedIn ? '404 Not Found' : '401 Unauthorized'}\r\ncontent-length: 0\r\n\r\n`,
      )
    const upstream = connect(to, '127.0.0.1')
    const headers = request.rawHeaders.map((text, at) => (at % 2 === 0 ? `${text}: ` : `${text}\r\n`)).join('')
    upstream.write(`GET ${request.url} HTTP/1.1\r\n${headers}\r\n`)
    upstream.write(head)
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.pipe(other)
      one.on('error', () => other.destroy())
      one.on('close', () => other.destroy())
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo

  return {
    port,
    origin: `${options.tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    trace,
    resets,
    requests,
    get isOn() {
      return isOn
    },
    set isOn(to) {
      isOn = to
      show(to ? 'On' : 'Off')
    },
    get powerState() {
      return first['PowerState'] as string
    },
    get boot() {
      return first['Boot'] as Json
    },
    get sessions() {
      return tokens.size
    },
    media,
    forgetSessions: () => tokens.clear(),
    touch: () => void version++,
    async [Symbol.asyncDispose]() {
      clearTimeout(changes)
      media.end()
      server.closeAllConnections()
      await new Promise<void>((resolve) => void server.close(() => resolve()))
    },
  }

  function show(state: string): void {
    for (const path of systemPaths) (tree.get(path) as Json)['PowerState'] = state
  }

  function answer(request: IncomingMessage, response: ServerResponse, text: string): void {
    const path = request.url!.replace(/\/$/, '').replace(/\?.*/, '')
    const method = request.method!
    requests.push(`${method} ${path}`)
    const mischief = options.mischief?.({ method, path, count: requests.length })
    const say = (status: number, body?: unknown, headers: Record<string, string> = {}) => {
      const bytes = body === undefined ? '' : JSON.stringify(body)
      if (mischief === 'acts-and-drops') return request.socket.destroy()
      if (mischief === 'acts-and-500') return response.writeHead(500).end()
      const shown = mischief === 'truncated' || mischief === 'cut' ? bytes.slice(0, bytes.length / 2) : bytes
      const length = String(mischief === 'cut' ? bytes.length : shown.length)
      response.writeHead(status, { 'content-type': 'application/json', 'content-length': length, ...headers })
      if (mischief !== 'cut') return response.end(shown)
      response.write(shown)
      return setTimeout(() => request.socket.destroy(), 5)
    }
    const refuse = (status: number, id: string, message = '', headers: Record<string, string> = {}) =>
      say(status, { error: { '@Message.ExtendedInfo': [{ MessageId: `Base.1.8.${id}`, Message: message }] } }, headers)

    switch (mischief) {
      case 'busy':
        return void refuse(503, 'ServiceTemporarilyUnavailable', 'Retry in 0 seconds.', { 'retry-after': '0' })
      case 'server-error':
        return void refuse(500, 'InternalError', 'Internal error.')
      case 'in-post':
        return void refuse(400, 'UnableToModifyDuringSystemPOST', 'POST in progress.')
      case 'conflict':
        return void refuse(409, 'ResourceInUse', 'In use.')
      case 'dropped':
        return void request.socket.destroy()
      case 'silent':
        return
      case 'elsewhere':
        return void response.writeHead(307, { location: 'http://192.0.2.1/redfish/v1' }).end()
      case 'stale':
        return void refuse(412, 'PreconditionFailed', 'The ETag is old.')
      case 'huge':
        response.writeHead(200, { 'content-type': 'application/json' })
        return flood(response)
      case 'forgotten':
        tokens.clear()
        break
      case 'ignored':
        if (method === 'POST' || method === 'PATCH') return void say(204)
        break
    }

    const sessionsPath = options.sessionsPath ?? SESSIONS_PATH
    if (method === 'POST' && path === SESSIONS_PATH && path !== sessionsPath)
      return void refuse(404, 'ResourceMissingAtURI')
    if (method === 'POST' && path === sessionsPath) {
      if (options.hasNoSessions) return void refuse(404, 'ResourceMissingAtURI')
      const login = JSON.parse(text) as Json
      if (login['UserName'] !== user || login['Password'] !== password)
        return void refuse(401, 'NoValidSession', `The password ${login['Password']} is wrong.`)
      if (tokens.size >= (options.maxSessions ?? 16)) return void refuse(503, 'SessionLimitExceeded', 'Too many.')
      const id = randomUUID()
      tokens.set(id, randomUUID())
      return void say(
        201,
        { Id: id },
        {
          'x-auth-token': tokens.get(id)!,
          location: `${options.ownName ? `https://${options.ownName}` : ''}${sessionsPath}/${id}`,
        },
      )
    }
    // Versions and service root are for everybody (DSP0266 §13.3.1).
    if (method === 'GET' && path === '/redfish') return void say(200, { v1: '/redfish/v1/' })
    const isOpen = method === 'GET' && path === '/redfish/v1'
    if (!isOpen && !mayAsk(request)) return void refuse(401, 'NoValidSession', String(request.headers['x-auth-token']))
    if (method === 'DELETE' && path.startsWith(sessionsPath)) {
      tokens.delete(path.slice(sessionsPath.length + 1))
      return void say(204)
    }
    const task = tasks.get(path)
    if (task !== undefined) {
      if (options.taskEnds === 'vanishes' && task > 0) return void refuse(404, 'ResourceMissingAtURI')
      tasks.set(path, task + 1)
      const end = task < 2 || options.taskEnds === 'never' ? 'Running' : (options.taskEnds ?? 'Completed')
      return void say(end === 'Running' ? 202 : 200, {
        '@odata.id': path,
        TaskState: end,
        Messages: end === 'Exception' ? [{ MessageId: 'Base.1.8.InternalError', Message: 'The fuse is blown.' }] : [],
      })
    }
    const at = mischief === 'other-system' ? (systemPaths.find((other) => other !== path) ?? '/redfish/v1') : path
    const resource = tree.get(at) as Json | undefined
    if (method === 'GET')
      return resource === undefined
        ? void refuse(404, 'ResourceMissingAtURI')
        : void say(200, resource, { etag: etag() })
    const taskOf = () => {
      const monitor = `/redfish/v1/TaskService/TaskMonitors/m${tasks.size}`
      tasks.set(monitor, 0)
      return monitor
    }
    const words = { say, refuse, task: taskOf }
    if (method === 'POST' || method === 'PATCH') {
      const { media: habits } = options
      if (habits && media.answer(method, path, JSON.parse(text === '' ? '{}' : text) as Json, words))
        return void version++
    }
    const target = systemPaths.find(
      (it) => (tree.get(it) as Json)['Actions']?.['#ComputerSystem.Reset']?.target === path,
    )
    if (method === 'POST' && target !== undefined) return reset((JSON.parse(text) as Json)['ResetType'], say, refuse)
    if (method === 'PATCH' && resource !== undefined) return patch(request, path, JSON.parse(text) as Json, say, refuse)
    refuse(405, 'ActionNotSupported')
  }

  function mayAsk({ headers }: IncomingMessage): boolean {
    const basic = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
    if (!options.refusesBasic && headers.authorization === basic) return true
    return [...tokens.values()].includes(String(headers['x-auth-token']))
  }

  function etag(): string {
    return options.comparesStrongly ? `W/"${version}"` : `"${version}"`
  }

  function reset(type: string, say: Say, refuse: Refuse): void {
    const types = options.resetTypes ?? ['On', 'ForceOff', 'GracefulShutdown']
    if (!options.tree && !types.includes(type))
      return refuse(400, 'ActionParameterValueNotInList', `The value '${type}' is not in the list.`)
    resets.push(type)
    const status = options.resetAnswer ?? 204
    const monitor = `/redfish/v1/TaskService/TaskMonitors/${resets.length}`
    if (options.taskEnds !== 'Exception') act(type)
    if (status !== 202)
      return void say(status, status === 204 ? undefined : { '@odata.type': '#Message.v1_0_0.Message' })
    tasks.set(monitor, 0)
    say(202, { TaskState: 'Running' }, { location: monitor, 'retry-after': '0' })
  }

  function act(type: string): void {
    if (options.ignoresPower || options.ignoresTypes?.includes(type)) return
    if (type === 'GracefulShutdown' && options.ignoresSoftOff) return
    const to = type === 'On' || type === 'ForceOn'
    if (to === isOn && changes === undefined) return
    trace.push(to ? 'on' : 'off')
    clearTimeout(changes)
    const done = () => {
      changes = undefined
      isOn = to
      version++
      if (to) media.powered()
      show(to ? 'On' : 'Off')
    }
    if (options.powerDelayMs === undefined) return done()
    if (!options.hidesTransitions) show(to ? 'PoweringOn' : 'PoweringOff')
    changes = setTimeout(done, options.powerDelayMs)
  }

  function patch(request: IncomingMessage, path: string, change: Json, say: Say, refuse: Refuse): void {
    const match = request.headers['if-match']
    if (options.refusesIfMatch && match !== undefined) return refuse(412, 'PreconditionFailed')
    if (options.wantsIfMatch && match === undefined) return refuse(428, 'PreconditionRequired')
    const wanted = options.comparesStrongly ? `"${version}"` : etag()
    if (match !== undefined && match !== '*' && match !== wanted) return refuse(412, 'PreconditionFailed')
    const resource = tree.get(path) as Json
    const boot = change['Boot'] as Json
    const how = options.bootPatch ?? 'keeps'
    if (how === 'in-settings' && systemPaths.includes(path))
      return refuse(400, 'OperationSupportedInFutureStateURI', 'Use the future state URI.')
    if (how === 'mode-is-fixed' && 'BootSourceOverrideMode' in boot)
      return refuse(400, 'PropertyNotWritable', 'The property BootSourceOverrideMode is read-only.')
    if (how === 'wants-mode' && !('BootSourceOverrideMode' in boot))
      return refuse(400, 'PropertyMissing', 'The property BootSourceOverrideMode is missing.')
    if (how === 'target-first' && 'BootSourceOverrideTarget' in boot && 'BootSourceOverrideEnabled' in boot)
      return refuse(400, 'PropertyValueConflict', 'BootSourceOverrideEnabled conflicts with BootSourceOverrideTarget.')
    if (how === 'ignores') return void say(204)
    Object.assign(resource['Boot'] as Json, boot)
    if (how === 'forgets-once' && boot['BootSourceOverrideEnabled'] === 'Once')
      Object.assign(resource['Boot'] as Json, { BootSourceOverrideEnabled: 'Continuous' })
    version++
    say(204)
  }
}

type Say = (status: number, body?: unknown, headers?: Record<string, string>) => unknown
type Refuse = (status: number, id: string, message?: string) => void

function flood(response: ServerResponse): void {
  const more = () => {
    if (response.destroyed) return
    if (response.write(' '.repeat(64 << 10))) setImmediate(more)
    else response.once('drain', more)
  }
  more()
}

function smallTree({
  systems = ['1'],
  resetTypes,
  usesActionInfo,
  boot,
  bootPatch,
  sessionsPath = SESSIONS_PATH,
  serialConsole,
  manager,
}: RedfishSimOptions): Json {
  const root = '/redfish/v1'
  const types = resetTypes ?? ['On', 'ForceOff', 'GracefulShutdown']
  const tree: Json = {
    [root]: {
      '@odata.id': root,
      RedfishVersion: '1.15.0',
      Systems: { '@odata.id': `${root}/Systems` },
      Links: { Sessions: { '@odata.id': sessionsPath } },
    },
    [`${root}/Systems`]: { Members: systems.map((id) => ({ '@odata.id': `${root}/Systems/${id}` })) },
  }
  for (const id of systems) {
    const path = `${root}/Systems/${id}`
    const settings = `${path}/SD`
    tree[path] = {
      '@odata.id': path,
      Id: id,
      Boot: boot ?? {
        BootSourceOverrideEnabled: 'Disabled',
        BootSourceOverrideMode: 'UEFI',
        BootSourceOverrideTarget: 'None',
        'BootSourceOverrideTarget@Redfish.AllowableValues': ['None', 'Pxe', 'Hdd', 'Cd', 'Usb', 'UefiHttp'],
      },
      Actions: {
        '#ComputerSystem.Reset': {
          target: `${path}/Actions/ComputerSystem.Reset`,
          ...(usesActionInfo
            ? { '@Redfish.ActionInfo': `${path}/ResetActionInfo` }
            : { 'ResetType@Redfish.AllowableValues': types }),
        },
      },
    }
    tree[`${path}/ResetActionInfo`] = { Parameters: [{ Name: 'ResetType', AllowableValues: types }] }
    if (bootPatch !== 'in-settings') continue
    tree[path]['@Redfish.Settings'] = { SettingsObject: { '@odata.id': settings } }
    tree[settings] = { '@odata.id': settings, Boot: structuredClone(tree[path].Boot) }
  }
  const [first] = systems.map((id) => tree[`${root}/Systems/${id}`])
  if (serialConsole !== undefined) first.SerialConsole = serialConsole
  if (manager === undefined) return tree
  first.Links = { ManagedBy: [{ '@odata.id': `${root}/Managers/bmc` }] }
  tree[`${root}/Managers/bmc`] = { '@odata.id': `${root}/Managers/bmc`, ...manager }
  return tree
}
