/** Virtual drives of the simulated Redfish service, and the habits that real ones have with them. */
import { request } from 'node:http'

export interface MediaSimOptions {
  /** Whose drives they are; default the manager's. */
  readonly at?: 'manager' | 'system' | 'nobody'
  /** `none`: properties are written (PATCH) in their place. */
  readonly actions?: 'both' | 'none'
  /** Parameters beside Image that are a bad request. */
  readonly refuses?: readonly string[]
  /** How such a refusal says what it is about. */
  readonly refusesBy?: 'text' | 'arguments' | 'nothing'
  /** Parameters without which there is nothing. */
  readonly wants?: readonly string[]
  /** Takes writable media for a bad request. */
  readonly isReadOnly?: boolean
  /** Suffix that the path of the image must have. */
  readonly wantsSuffix?: string
  readonly protocols?: readonly string[]
  /** Answers 2xx and does nothing. */
  readonly ignores?: 'insert' | 'eject'
  /** So much later it shows, milliseconds. */
  readonly lagMs?: number
  /** What it shows of the image's URL. */
  readonly shows?: 'url' | 'name' | 'cut' | 'without-scheme'
  /** Keeps Image when it is taken out (Supermicro). */
  readonly keepsImage?: boolean
  /** Leaves out Inserted. */
  readonly hasNoInserted?: boolean
  /** All that is in its drives goes when the machine is switched on. */
  readonly dropsAtPower?: boolean
  /** Answers 202 with a task. */
  readonly hasTask?: boolean
  /** What is in the CD drive from the beginning. */
  readonly holds?: string
  /** Repeats the URL in refusals. */
  readonly repeats?: boolean
  /** Reads the first bytes of what is inserted, as BMCs do to look what it is. */
  readonly fetches?: boolean
  readonly ids?: readonly [cd: string, usb: string]
}

type Json = Record<string, any>
export interface MediaWords {
  readonly say: (status: number, body?: unknown, headers?: Record<string, string>) => unknown
  readonly refuse: (status: number, id: string, message?: string) => void
  /** Begins a task, and yields where it is. */
  readonly task: () => string
}

const ROOT = '/redfish/v1'

export function createMediaSim(tree: Map<string, unknown>, options: MediaSimOptions) {
  const { at = 'manager', actions = 'both', ids = ['CD1', 'USB1'] } = options
  const inserts: Json[] = []
  const timers = new Set<NodeJS.Timeout>()
  if (at === 'nobody') return { inserts, powered() {}, end() {}, answer: () => false, drive: (): Json => ({}) }

  const system = tree.get(`${ROOT}/Systems/1`) as Json
  const owner = at === 'system' ? `${ROOT}/Systems/1` : `${ROOT}/Managers/BMC`
  if (at === 'manager') {
    system['Links'] = { ManagedBy: [{ '@odata.id': owner }] }
    tree.set(owner, { '@odata.id': owner, Id: 'BMC' })
  }
  ;(tree.get(owner) as Json)['VirtualMedia'] = { '@odata.id': `${owner}/VirtualMedia` }
  tree.set(`${owner}/VirtualMedia`, { Members: ids.map((id) => ({ '@odata.id': `${owner}/VirtualMedia/${id}` })) })
  const shown = options.hasNoInserted ? {} : { Inserted: false }
  for (const [i, id] of ids.entries()) {
    const path = `${owner}/VirtualMedia/${id}`
    const target = (name: string) => ({ target: `${path}/Actions/VirtualMedia.${name}` })
    const protocols = options.protocols && { 'TransferProtocolType@Redfish.AllowableValues': options.protocols }
    tree.set(path, {
      '@odata.id': path,
      Id: id,
      MediaTypes: i === 0 ? ['CD', 'DVD'] : ['USBStick'],
      Image: '',
      ImageName: null,
      ConnectedVia: 'NotConnected',
      WriteProtected: true,
      ...shown,
      ...(actions === 'none'
        ? {}
        : {
            Actions: {
              '#VirtualMedia.InsertMedia': { ...target('InsertMedia'), ...protocols },
              '#VirtualMedia.EjectMedia': target('EjectMedia'),
            },
          }),
    })
  }
  const drive = (id: string = ids[0]): Json => tree.get(`${owner}/VirtualMedia/${id}`) as Json
  if (options.holds !== undefined) put(drive(), options.holds, true)

  function put(one: Json, image: string, isWriteProtected: boolean): void {
    const name = image.replace(/.*\//, '')
    const as = { url: image, name, cut: image.slice(0, -4), 'without-scheme': image.replace(/^https?:\/\//, '') }
    one['Image'] = options.shows === 'name' ? null : as[options.shows ?? 'url']
    one['ImageName'] = name
    one['ConnectedVia'] = 'URI'
    one['WriteProtected'] = isWriteProtected
    if (!options.hasNoInserted) one['Inserted'] = true
    if (options.fetches) request(image, { headers: { range: 'bytes=0-2047' } }, (answer) => answer.resume()).end()
  }

  function takeOut(one: Json): void {
    if (!options.keepsImage) Object.assign(one, { Image: null, ImageName: null })
    one['ConnectedVia'] = 'NotConnected'
    if (!options.hasNoInserted) one['Inserted'] = false
  }

  function later(work: () => void): void {
    if (options.lagMs === undefined) return work()
    timers.add(setTimeout(work, options.lagMs))
  }

  function insert(one: Json, body: Json, { say, refuse, task }: MediaWords): void {
    inserts.push(body)
    const image = String(body['Image'])
    const about = (property: string, id: string, word: string) => {
      const by = options.refusesBy ?? 'text'
      if (by === 'arguments')
        return say(400, {
          error: { '@Message.ExtendedInfo': [{ MessageId: `Base.0.10.${id}`, MessageArgs: [property] }] },
        })
      return refuse(400, id, by === 'nothing' ? 'Bad request.' : `The property ${property} ${word}.`)
    }
    const unknown = (options.refuses ?? []).find((property) => property in body)
    if (unknown !== undefined) return void about(unknown, 'PropertyUnknown', 'is not in the list of valid properties')
    const missing = (options.wants ?? []).find((property) => !(property in body))
    if (missing !== undefined) return void about(missing, 'ActionParameterMissing', 'is required')
    if (options.isReadOnly && body['WriteProtected'] === false)
      return void about('WriteProtected', 'ActionParameterValueNotInList', 'has a value that is not supported')
    if (options.wantsSuffix !== undefined && !new URL(image).pathname.endsWith(options.wantsSuffix))
      return void about('Image', 'ActionParameterValueFormatError', 'has a value of another format')
    if (options.repeats) return refuse(400, 'PropertyValueFormatError', `The value ${image} of Image is refused.`)
    if (one['ConnectedVia'] !== 'NotConnected') return refuse(409, 'ResourceInUse', 'It is in use.')
    if (options.ignores !== 'insert') later(() => put(one, image, body['WriteProtected'] !== false))
    if (options.hasTask) return void say(202, { TaskState: 'Running' }, { location: task(), 'retry-after': '0' })
    say(204)
  }

  function eject(one: Json, { say }: MediaWords): void {
    if (options.ignores !== 'eject') later(() => takeOut(one))
    say(204)
  }

  return {
    /** Bodies of InsertMedia or PATCH, as they came. */
    inserts,
    drive,
    /** The machine was switched on. */
    powered(): void {
      if (options.dropsAtPower) for (const id of ids) takeOut(drive(id))
    },
    end(): void {
      for (const timer of timers) clearTimeout(timer)
    },
    /** Whether the request was for a drive. */
    answer(method: string, path: string, body: Json, words: MediaWords): boolean {
      const match = new RegExp(`^${owner}/VirtualMedia/([^/]+)(?:/Actions/VirtualMedia.(Insert|Eject)Media)?$`).exec(
        path,
      )
      const one = match && (tree.get(`${owner}/VirtualMedia/${match[1]}`) as Json | undefined)
      if (!one || method === 'GET') return false
      if (method === 'POST' && actions === 'both' && match[2] === 'Insert') insert(one, body, words)
      else if (method === 'POST' && actions === 'both' && match[2] === 'Eject') eject(one, words)
      else if (method === 'PATCH' && actions === 'none' && match[2] === undefined)
        if (body['Image'] === null) eject(one, words)
        else insert(one, body, words)
      else return false
      return true
    },
  }
}
