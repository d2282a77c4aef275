import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError, WireError } from '../../../../base/errors.ts'
import type { GuestProcess } from '../../../../services/containers/ports.ts'
import { openInbandBmc } from './inband-bmc.ts'

/** An `ipmi-raw` that answers each line with what `answer` makes of it; undefined: it ends, having said `complaint`. */
function program(answer: (request: string) => string | undefined, complaint = ''): GuestProcess & { asked: string[] } {
  const asked: string[] = []
  const out: Uint8Array[] = []
  let wake = (): void => undefined
  let isOver = false
  async function* stdout() {
    for (;;) {
      while (out.length > 0) yield out.shift()!
      if (isOver) return
      await new Promise<void>((resolve) => (wake = resolve))
    }
  }
  async function* stderr() {
    yield Buffer.from(complaint)
  }
  return {
    asked,
    stdout: stdout(),
    stderr: stderr(),
    exit: Promise.resolve(0),
    async write(bytes) {
      const line = Buffer.from(bytes).toString()
      asked.push(line.trimEnd())
      const said = answer(line.trimEnd())
      if (said === undefined) isOver = true
      // In two pieces, as a network may bring it.
      else out.push(Buffer.from(`${said}\n`.slice(0, 5)), Buffer.from(`${said}\n`.slice(5)))
      wake()
    },
    endInput: () => undefined,
    resize: () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  }
}

const isError = (code: string, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof AppError && error.code === code, String(error))
  assert.match(error.message, message)
  return true
}

/** Answers of ipmi_sim 2.0.33 behind QEMU 7.2, by the request's network function, command and first bytes. */
const SIM: Readonly<Record<string, string>> = {
  '06 01': 'rcvd: 01 00 00 03 09 08 02 9F 91 12 00 02 0F 00 00 00 00 ',
  '06 42 01': 'rcvd: 42 00 01 04 01 81 F2 1B 00 00 00 ',
  '0c 02 01 03': 'rcvd: 02 00 11 0A 4E 09 09 ',
  '0c 02 01 05': 'rcvd: 02 00 11 02 00 00 00 78 09 ',
  '0c 02 01 06': 'rcvd: 02 00 11 FF FF FF 00 ',
  '0c 02 01 0c': 'rcvd: 02 00 11 00 00 00 00 ',
  '0c 02 01 14': 'rcvd: 02 00 11 00 00 ',
}
function sim(request: string): string {
  const [, netFn, command] = request.split(' ')
  const found = Object.keys(SIM).find((key) => request.slice(3).startsWith(key))
  // Anything else is a command, or a parameter, that it does not have.
  return found === undefined ? `rcvd: ${command!.toUpperCase()} ${netFn === '0c' ? '80' : 'CC'} ` : SIM[found]!
}

test('in-band: identity and LAN channels as ipmi_sim tells them', async () => {
  await using bmc = openInbandBmc(program(sim))
  // At once: one command waits for the other.
  const [identity, lans] = await Promise.all([bmc.identity(), bmc.lans()])
  assert.deepEqual(identity, { manufacturer: 'MontaVista', firmware: '9.08' })
  assert.deepEqual(lans, [
    { channel: 1, ip: '10.78.9.9', netmask: '255.255.255.0', mac: '02:00:00:00:78:09', ipv6: [] },
  ])
})

test('in-band: a program that ends says why; a BMC that declines, or garbles, is told apart', async () => {
  await using none = openInbandBmc(program(() => undefined, 'the machine has no /dev/ipmi0: it has no BMC\n'))
  await assert.rejects(none.identity(), isError('unreachable', /the machine has no \/dev\/ipmi0: it has no BMC$/))
  await using declining = openInbandBmc(program((line) => `rcvd: ${line.slice(6, 8).toUpperCase()} C1 `))
  await assert.rejects(
    declining.identity(),
    isError('unsupported', /Get Device ID: does not know this command \(C1h\)/),
  )
  await using garbling = openInbandBmc(program(() => 'rcvd: 55 00 '))
  await assert.rejects(garbling.identity(), (error: Error) => {
    isError('bad_peer', /Cannot understand the BMC from inside/)(error)
    return error.cause instanceof WireError
  })
})

test('in-band: the first free place is offered, and none that has a fixed name; grant fails where the BMC shows something else', async () => {
  const users = ['', 'admin', '', '']
  const answer = (line: string): string | undefined => {
    const [, , command, first, second] = line.split(' ')
    if (command === '44') return `rcvd: 44 00 04 00 03 ${second === '02' ? '14' : '0F'} `
    if (command === '46') {
      const name = Buffer.from(users[Number.parseInt(first!, 16) - 1]!.padEnd(16, '\0')).toString('hex')
      return `rcvd: 46 00 ${name.toUpperCase().replaceAll(/../g, '$& ')}`
    }
    return command === '01' ? SIM['06 01'] : `rcvd: ${command!.toUpperCase()} 00 `
  }
  const raw = program(answer)
  await using bmc = openInbandBmc(raw)
  const { users: taken, vacancy } = await bmc.users(1)
  assert.deepEqual([taken, vacancy], [[{ id: 2, name: 'admin', privilege: 'administrator' }], 4])
  const account = { userId: 4, user: 'bareboat', password: 'Secret0123456789', privilege: 'administrator' } as const
  await assert.rejects(bmc.grant(account, 1), (error: Error) => {
    isError('bad_peer', /it took all, and shows something else/)(error)
    return !error.message.includes(account.password)
  })
  assert.deepEqual(
    raw.asked.filter((line) => line.startsWith('00 06 47 04 02')).map((line) => line.slice(15)),
    [
      Buffer.from(account.password)
        .toString('hex')
        .replaceAll(/..(?=.)/g, '$& '),
    ],
  )
})
